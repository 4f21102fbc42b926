"""``cinn-colorize transfer``: paper Fig. 15."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli import common
from cinn_colorize.cli.digits import MODEL, digit_option, refuse, refuse_all_but, transfer_digits
from cinn_colorize.cli.summary import report
from cinn_colorize.methods.transfer import TEMPERATURE, check_reference
from cinn_colorize.request import TransferRequest


@dataclass(frozen=True)
class TransferOutputOptions(common.BatchOutputOptions):
    """What files a transfer makes of each photo."""

    recursive: bool = common.recursive_option("results go into the same tree")
    sheet: bool = common.sheet_option("Write a sheet with REF, TARGET and the results too.", default=False)


@dataclass(frozen=True)
class DigitOptions:
    """What applies to digits alone."""

    digit: int | None = digit_option("Digit that the images show.")


def transfer(
    context: typer.Context,
    reference: Annotated[Path, common.argument("REF", "Colour photo whose colours are transferred.")],
    targets: Annotated[
        list[Path] | None,
        common.argument("TARGET", "Photos, or folders of photos, that receive the colours."),
    ] = None,
    *,
    request: TransferRequest,
    digits: DigitOptions,
    out: TransferOutputOptions,
    reading: common.PhotoOptions,
    network: common.AnyModelOptions,
    general: common.GeneralOptions,
) -> None:
    """Give photos the colours of another.

    REF's colours are encoded under its own luminance, and the latent code is decoded under that of each
    TARGET. Most of its coarsest level, which holds the mood of REF, is kept; the finer ones are drawn anew
    unless --strength or --levels says otherwise. REF and TARGET may have any size and shape. The results are
    called TARGET_like_REF_SEED. With --model mnist, all arguments are images of a handwritten digit, and all
    ten digits are written in the style of each, in one picture called digits_like_REF.png.

    Examples:
        cinn-colorize transfer sunset.jpg harbour.jpg
        cinn-colorize transfer sunset.jpg scans -n 4 --strength 0.8
    """
    request = replace(request, reference=reference)
    if network.model == MODEL:
        refuse_all_but(context, ["reference", "targets"])
        transfer_digits([reference, *(targets or [])], digits.digit, (out, network, general))
        return
    refuse({"--digit": digits.digit}, "only with --model mnist")
    if not targets:
        raise typer.BadParameter("Missing argument 'TARGET...'")
    common.pages_of(request.pages)
    if request.strength is not None and request.levels is not None:
        raise typer.BadParameter("--strength and --levels exclude each other")
    common.check_seeds(request.seed, request.number)
    method = common.method_of(request, network.info, reading, "--levels", TEMPERATURE)
    name = f"{{stem}}_like_{reference.stem.replace('{', '{{').replace('}', '}}')}_"
    sheet = f"{name}sheet.jpg" if out.sheet else ""
    with general.reporting():
        from cinn_colorize.batch.inputs import checked, find_inputs
        from cinn_colorize.batch.run import Batch
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.base import check_file

        not_taken: list[Path] = []
        found = find_inputs(targets, recursive=out.recursive, output=out.output_dir, not_taken=not_taken)
        inputs = checked(found)
        check_file(reference)
        check_reference(open_photo(reference, max_pixels=reading.limit))
        common.device_of(network.device)
        plan = out.plan(request, method, reading, pattern=f"{name}{{seed:03d}}{{ext}}", sheet=sheet)
        batch = Batch(inputs, plan, network.spec(plan.method.encodes))
        report(batch, out.as_json, general, not_taken)
