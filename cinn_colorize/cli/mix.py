"""``cinn-colorize mix``."""

from __future__ import annotations

from dataclasses import dataclass
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
    *,
    request: MixRequest,
    out: MixOutputOptions,
    reading: common.PhotoOptions,
    network: common.ModelOptions,
    general: common.GeneralOptions,
) -> None:
    """Join two samples of a photo by a mask.

    For example, join the sky of one with the rest of another. A and B are seeds as colorize shows them. A
    rough mask is enough: the model draws the border between the two along the edges of the photo. MASK may be
    smaller than PHOTO but must have its shape. The result is called PHOTO_mix_A_B.

    Examples:
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png
        cinn-colorize mix photo.jpg --seeds 17,22 --mask sky.png -t 1 --no-sheet
    """
    with common.usage_errors("--seeds"):
        inside, outside = request.both
        if inside == outside:
            raise ValueError("both seeds give the same sample; choose two different ones")
    method = common.method_of(request, network.info, reading, "--seeds")
    name = f"{{stem}}_mix_{inside:03d}_{outside:03d}"
    sheet = f"{name}_sheet.jpg" if out.sheet else ""
    with general.reporting():
        from cinn_colorize.batch.inputs import Input
        from cinn_colorize.batch.run import Batch

        method.open_files()  # an unreadable mask is reported before torch is imported
        plan = out.plan(request, method, reading, pattern=f"{name}{{ext}}", sheet=sheet)
        spec = network.spec(plan.method.encodes)
        common.device_of(network.device)
        report(Batch([Input(photo)], plan, spec), out.as_json, general)
