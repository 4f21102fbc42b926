"""``cinn-colorize transfer``: paper Fig. 15."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.common import (
    AnyModelOptions,
    BatchOutputOptions,
    GeneralOptions,
    PhotoOptions,
    check_seeds,
    device_of,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.digits import MODEL, digit_option, refuse, refuse_all_but, transfer_digits
from cinn_colorize.cli.many import checked
from cinn_colorize.cli.summary import report
from cinn_colorize.imaging.options import option
from cinn_colorize.methods.transfer import TEMPERATURE, Transfer, check_reference
from cinn_colorize.request import TransferRequest

Reference = Annotated[
    Path,
    typer.Argument(metavar="REF", help="Colour photo whose colours are transferred.", show_default=False),
]
Targets = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="TARGET",
        help="Photos, or folders of photos, that receive the colours.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class TransferOutputOptions(BatchOutputOptions):
    """What files a transfer makes of each photo."""

    sheet: bool = option(
        False, None, "Write a sheet with REF, TARGET and the results too.", "--sheet/--no-sheet"
    )


@dataclass(frozen=True)
class DigitOptions:
    """What applies to digits alone."""

    digit: int | None = digit_option("Digit that the images show.")


def transfer(
    context: typer.Context,
    reference: Reference,
    targets: Targets = None,
    *,
    request: TransferRequest,
    digits: DigitOptions,
    out: TransferOutputOptions,
    reading: PhotoOptions,
    network: AnyModelOptions,
    general: GeneralOptions,
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
        transfer_digits([reference, *(targets or [])], digits.digit, out, network, general)
        return
    refuse({"--digit": digits.digit}, "only with --model mnist")
    out.check()
    method = _method(request, targets, network, reading.limit)
    show_log(general.quiet, general.verbose)

    from cinn_colorize.batch.inputs import find_inputs
    from cinn_colorize.batch.processes import usable_cores
    from cinn_colorize.batch.run import Batch

    stem = reference.stem.replace("{", "{{").replace("}", "}}")
    plan = out.plan(
        request=request,
        method=method,
        pattern=f"{{stem}}_like_{stem}_{{seed:03d}}{{ext}}",
        sheet=out.sheet,
        sheet_pattern=f"{{stem}}_like_{stem}_sheet.jpg",
        max_pixels=reading.limit,
    )
    with fatal(general.debug):
        others: list[Path] = []
        inputs = checked(find_inputs(targets or [], output=out.output_dir, not_taken=others))
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.base import check_file

        check_file(reference)
        check_reference(open_photo(reference, max_pixels=reading.limit))
        device_of(network.device)
        batch = Batch(inputs, plan, network.spec(plan.method.encodes), usable_cores())
        failed = report(batch, out.as_json, general, others)
    if failed:
        raise typer.Exit(1)


def _method(
    request: TransferRequest, targets: list[Path] | None, network: AnyModelOptions, limit: int
) -> Transfer:
    """Return what draws; options that cannot be used are usage errors."""
    if not targets:
        raise typer.BadParameter("Missing argument 'TARGET...'")
    values.pages(request.pages)
    if request.strength is not None and request.levels is not None:
        raise typer.BadParameter("--strength and --levels exclude each other")
    check_seeds(request.seed, request.number)
    temperature_of(request.temperature, network.info, TEMPERATURE)
    with usage_errors("--levels"):
        return request.method(network.info, limit)
