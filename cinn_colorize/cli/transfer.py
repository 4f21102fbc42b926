"""``cinn-colorize transfer``: paper Fig. 15."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.common import (
    LEVELS,
    AnyModelOptions,
    BatchOutputOptions,
    GeneralOptions,
    PhotoOptions,
    check_seeds,
    device_of,
    frame_option,
    pages_option,
    seed_option,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.digits import MODEL, digit_option, refuse, refuse_all_but, transfer_digits
from cinn_colorize.cli.many import checked
from cinn_colorize.cli.summary import report
from cinn_colorize.imaging.options import DRAWING, OUTPUT, Rendering, option
from cinn_colorize.latents.levels import MAX_TEMPERATURE, PerLevel, parse_noise, short_levels, transfer_noise
from cinn_colorize.methods.transfer import TEMPERATURE, Transfer, check_reference
from cinn_colorize.models.registry import DEFAULT, MODELS


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Options of ``transfer``."""

    panel: ClassVar[str] = DRAWING

    number: int = option(1, "N", "Number of variants per photo.", "-n --number", min=1)
    strength: float | None = option(
        None, "S", "Share of REF's code in all levels, 0 to 1; the rest is noise.", min=0, max=1
    )
    levels: str | None = option(
        None,
        "S|LEVEL:S,...",
        "Share of noise by level, 0 to 1, instead of --strength.",
        show_default=short_levels(transfer_noise(MODELS[DEFAULT].levels)),
    )
    temperature: str = option(
        f"{TEMPERATURE:g}",
        "T|LEVEL:T,...",
        f"Temperature of the noise, 0 to {MAX_TEMPERATURE:g}; 32:0.6,16:0.7 sets it by level. {LEVELS}",
        "-t --temperature",
    )
    seed: int = seed_option()
    rendering: Rendering
    frame: str = frame_option()
    pages: str | None = pages_option()
    digit: int | None = digit_option("Digit that the images show.")
    out: BatchOutputOptions
    sheet: bool = option(
        False, None, "Write a sheet with REF, TARGET and the results too.", "--sheet/--no-sheet", panel=OUTPUT
    )
    reading: PhotoOptions
    network: AnyModelOptions
    general: GeneralOptions


def transfer(
    context: typer.Context,
    reference: Annotated[
        Path,
        typer.Argument(metavar="REF", help="Colour photo whose colours are transferred.", show_default=False),
    ],
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TARGET",
            help="Photos, or folders of photos, that receive the colours.",
            show_default=False,
        ),
    ] = None,
    *,
    options: TransferOptions,
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
    if options.network.model == MODEL:
        refuse_all_but(context, ["reference", "targets"])
        transfer_digits(
            [reference, *(targets or [])], options.digit, options.out, options.network, options.general
        )
        return
    refuse({"--digit": options.digit}, "only with --model mnist")
    if not targets:
        raise typer.BadParameter("Missing argument 'TARGET...'")
    options.out.check()
    chosen = values.pages(options.pages)
    if options.strength is not None and options.levels is not None:
        raise typer.BadParameter("--strength and --levels exclude each other")
    check_seeds(options.seed, options.number)
    temperatures = temperature_of(options.temperature, options.network.info, TEMPERATURE)
    known = options.network.info.levels
    noise: PerLevel = transfer_noise(known) if options.strength is None else 1 - options.strength
    with usage_errors("--levels"):
        noise = parse_noise(options.levels, known, noise)
    show_log(options.general.quiet, options.general.verbose)

    from cinn_colorize.batch.inputs import find_inputs
    from cinn_colorize.batch.processes import usable_cores
    from cinn_colorize.batch.run import Batch

    stem = reference.stem.replace("{", "{{").replace("}", "}}")
    plan = options.out.plan(
        method=Transfer(reference, noise, options.reading.limit),
        number=options.number,
        temperature=temperatures,
        seed=options.seed,
        rendering=options.rendering,
        frame=options.frame,
        pages=chosen,
        pattern=f"{{stem}}_like_{stem}_{{seed:03d}}{{ext}}",
        sheet=options.sheet,
        sheet_pattern=f"{{stem}}_like_{stem}_sheet.jpg",
        max_pixels=options.reading.limit,
    )
    with fatal(options.general.debug):
        others: list[Path] = []
        inputs = checked(find_inputs(targets, output=options.out.output_dir, others=others))
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.base import check_file

        check_file(reference)
        check_reference(open_photo(reference, max_pixels=options.reading.limit))
        spec = options.network.spec(plan.method.encodes)
        device_of(options.network.device)
        batch = Batch(inputs, plan, spec, usable_cores())
        failed = report(batch, options.out.as_json, options.general, others=others)
    if failed:
        raise typer.Exit(1)
