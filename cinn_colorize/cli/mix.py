"""``cinn-colorize mix``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cinn_colorize.cli import common
from cinn_colorize.cli.summary import report
from cinn_colorize.request import MixRequest


@dataclass(frozen=True)
class MixOutputOptions(common.OutputOptions):
    """What files a mix makes."""

    sheet: bool = common.sheet_option("Write a sheet with the mask, both samples and the mix too.")


def mix(
    photo: Annotated[Path, common.argument("PHOTO", "Photo to colorize.")],
    others: Annotated[
        list[Path] | None, common.argument("OTHER", "Reference, mask or hints that results were made with.")
    ] = None,
    *,
    request: MixRequest,
    out: MixOutputOptions,
    reading: common.PhotoOptions,
    network: common.ModelOptions,
    general: common.GeneralOptions,
) -> None:
    """Join two samples of a photo by a mask.

    For example, join the sky of one with the rest of another. Seeds A and B are those that colorize shows;
    with --of, A and B are pictures that colorize, transfer or mix made of PHOTO, drawn again from their
    recipes. A rough mask is enough: the model draws the border between the two along the edges of the photo.
    MASK may be smaller than PHOTO but must have its shape. The result is called PHOTO_mix_A_B.

    Examples:
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png
        cinn-colorize mix photo.jpg --of red.jpg,colorized/photo_012.jpg --mask 310,120
    """
    with common.usage_errors("--seeds" if request.of is None else "--of"):
        results = request.results
        inside, outside = results or request.both
        if inside == outside:
            raise ValueError("both are the same sample; choose two different ones")
        if results and request.temperature is not None:
            raise ValueError("results have temperatures of their own; leave out --temperature")
    names = [_named(result, photo) for result in results] or [f"{seed:03d}" for seed in request.both]
    name = f"{{stem}}_mix_{names[0]}_{names[1]}"
    sheet = f"{name}_sheet.jpg" if out.sheet else ""
    with general.reporting():
        from cinn_colorize.batch.inputs import Input
        from cinn_colorize.batch.run import Batch

        request = replace(request, others=(photo, *(others or [])))
        method = common.method_of(request, network.info, reading, "--seeds")
        method.open_files()  # an unreadable mask is reported before torch is imported
        plan = out.plan(request, method, reading, pattern=f"{name}{{ext}}", sheet=sheet)
        spec = network.spec(plan.method.encodes)
        common.device_of(network.device)
        report(Batch([Input(photo)], plan, spec), out.as_json, general)


def _named(result: Path, photo: Path) -> str:
    """Return what the name of a result adds to that of its photo, for a pattern."""
    return result.stem.removeprefix(f"{photo.stem}_").replace("{", "{{").replace("}", "}}")
