"""``cinn-colorize transfer``: paper Fig. 15."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize.cli import values
from cinn_colorize.cli.console import fatal, show_log
from cinn_colorize.cli.digits import MODEL, ShownDigitOption, refuse, refuse_all_but, transfer_digits
from cinn_colorize.cli.many import checked
from cinn_colorize.cli.options import (
    LEVELS,
    AnyModelOptions,
    BatchOutputOptions,
    FrameOption,
    GeneralOptions,
    PagesOption,
    PhotoOptions,
    SeedOption,
    check_seeds,
    device_of,
    temperature_of,
    usage_errors,
)
from cinn_colorize.cli.report import report
from cinn_colorize.latents.levels import MAX_TEMPERATURE, PerLevel, parse_noise, short_levels, transfer_noise
from cinn_colorize.methods.transfer import TEMPERATURE, Transfer, check_reference
from cinn_colorize.models.registry import DEFAULT, MODELS
from cinn_colorize.options import DRAWING, OUTPUT, Rendering


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
    number: Annotated[
        int,
        typer.Option(
            "-n",
            "--number",
            metavar="N",
            min=1,
            help="Number of variants per photo.",
            rich_help_panel=DRAWING,
        ),
    ] = 1,
    strength: Annotated[
        float | None,
        typer.Option(
            "--strength",
            metavar="S",
            min=0,
            max=1,
            help="Share of REF's code in all levels, 0 to 1; the rest is noise.",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            "--levels",
            metavar="S|LEVEL:S,...",
            help="Share of noise by level, 0 to 1, instead of --strength.",
            show_default=short_levels(transfer_noise(MODELS[DEFAULT].levels)),
            rich_help_panel=DRAWING,
        ),
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            "-t",
            "--temperature",
            metavar="T|LEVEL:T,...",
            help=f"Temperature of the noise, 0 to {MAX_TEMPERATURE:g}; 32:0.6,16:0.7 sets it by level. "
            f"{LEVELS}",
            rich_help_panel=DRAWING,
        ),
    ] = f"{TEMPERATURE:g}",
    seed: SeedOption = 0,
    rendering: Rendering,
    frame: FrameOption = "auto",
    pages: PagesOption = None,
    digit: ShownDigitOption = None,
    out: BatchOutputOptions,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet/--no-sheet",
            help="Write a sheet with REF, TARGET and the results too.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
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
    if network.model == MODEL:
        refuse_all_but(context, ["reference", "targets"])
        transfer_digits([reference, *(targets or [])], digit, out, network, general)
        return
    refuse({"--digit": digit}, "only with --model mnist")
    if not targets:
        raise typer.BadParameter("Missing argument 'TARGET...'")
    out.check()
    chosen = values.pages(pages)
    if strength is not None and levels is not None:
        raise typer.BadParameter("--strength and --levels exclude each other")
    check_seeds(seed, number)
    temperatures = temperature_of(temperature, network.info, TEMPERATURE)
    known = network.info.levels
    noise: PerLevel = transfer_noise(known) if strength is None else 1 - strength
    with usage_errors("--levels"):
        noise = parse_noise(levels, known, noise)
    show_log(general.quiet, general.verbose)

    from cinn_colorize.batch.inputs import find_inputs
    from cinn_colorize.batch.processes import usable_cores
    from cinn_colorize.batch.run import Batch

    stem = reference.stem.replace("{", "{{").replace("}", "}}")
    plan = out.plan(
        method=Transfer(reference, noise, reading.limit),
        number=number,
        temperature=temperatures,
        seed=seed,
        rendering=rendering,
        frame=frame,
        pages=chosen,
        pattern=f"{{stem}}_like_{stem}_{{seed:03d}}{{ext}}",
        sheet=sheet,
        sheet_pattern=f"{{stem}}_like_{stem}_sheet.jpg",
        max_pixels=reading.limit,
    )
    with fatal(general.debug):
        others: list[Path] = []
        inputs = checked(find_inputs(targets, output=out.output_dir, others=others))
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.base import check_file

        check_file(reference)
        check_reference(open_photo(reference, max_pixels=reading.limit))
        spec = network.spec(plan.method.encodes)
        device_of(network.device)
        batch = Batch(inputs, plan, spec, usable_cores())
        failed = report(batch, out.as_json, general, others=others)
    if failed:
        raise typer.Exit(1)
