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

    For example, join the sky of one with the rest of another. A and B are seeds as colorize shows them, or
    pictures that colorize, transfer or mix made of PHOTO, which are drawn again from their recipes. A rough
    mask is enough: the model draws the border between the two along the edges of the photo. MASK may be
    smaller than PHOTO but must have its shape. The result is called PHOTO_mix_A_B.

    Examples:
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png
        cinn-colorize mix photo.jpg --of red.jpg,blue.jpg --mask 310,120
    """
    with common.usage_errors("--seeds"):
        inside, outside = request.both
        if inside == outside:
            raise ValueError("both are the same sample; choose two different ones")
        if request.temperature is not None and not any(isinstance(one, int) for one in request.both):
            raise ValueError("results have temperatures of their own; leave out --temperature")
    name = "{stem}_mix"
    for one in request.both:
        added = f"{one:03d}" if isinstance(one, int) else one.stem.removeprefix(f"{photo.stem}_")
        name += f"_{added}".replace("{", "{{").replace("}", "}}")
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
