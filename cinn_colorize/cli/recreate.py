"""``cinn-colorize recreate``."""

from __future__ import annotations

import filecmp
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cinn_colorize import __version__
from cinn_colorize.cli.console import fatal, print_path, say, show_log
from cinn_colorize.cli.engine import EngineOption, check_engine, colorizer_of
from cinn_colorize.cli.options import (
    DeviceOption,
    GeneralOptions,
    PhotoOptions,
    WeightsOption,
)
from cinn_colorize.cli.report import claim
from cinn_colorize.engines import Engine, ModelSpec
from cinn_colorize.errors import PhotoError
from cinn_colorize.messages import printable_name


def recreate(
    picture: Annotated[
        Path, typer.Argument(metavar="OUT", help="Picture with a recipe in it.", show_default=False)
    ],
    original: Annotated[
        Path, typer.Argument(metavar="ORIGINAL", help="Photo that it was made from.", show_default=False)
    ],
    others: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="OTHER", help="Reference, mask, hints or codes that it was made with.", show_default=False
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="File of the new picture.",
            show_default="OUT_again beside OUT",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Use the files given even if they have changed.")
    ] = False,
    reading: PhotoOptions,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = Engine.auto,
    general: GeneralOptions,
) -> None:
    """Make a picture again from the recipe inside it.

    The same version, weights and kind of machine give the same file, byte for byte. If that of
    onnxruntime differs, torch is tried. The exit code is 1 if the bytes differ.

    Examples:
        cinn-colorize recreate colorized/photo_005.jpg photo.jpg
        cinn-colorize recreate colorized/photo_mix_017_022.jpg photo.jpg sky.png
    """
    show_log(general.quiet, general.verbose)
    with fatal(general.debug):
        from cinn_colorize.imaging.photo import open_photo
        from cinn_colorize.methods.differences import differences, recipe_at
        from cinn_colorize.methods.recipe import Recipe
        from cinn_colorize.methods.recipe import recreate as make_again
        from cinn_colorize.models import find_weights

        recipe = Recipe.read(picture, max_pixels=reading.limit)
        output = output or picture.with_stem(f"{picture.stem}_again")
        is_there = (
            not overwrite
            and output.exists()
            and not output.samefile(picture)
            and not differences(recipe_at(output, reading.limit), recipe_at(picture, reading.limit))
            and open_photo(original, max_pixels=reading.limit).sha256 == recipe.original
        )
        if not is_there:
            claim([output], overwrite, "another -o")
            check_engine(engine, device, recipe.precision)
            file, digest = find_weights(recipe.model, weights)
            spec = ModelSpec(
                recipe.model,
                file,
                digest,
                device,
                recipe.precision,
                recipe.guidance,
                recipe.method.encodes,
                engine,
            )
            specs = [spec]
            if engine is Engine.auto and spec.graphs and recipe.version == __version__:
                specs.append(replace(spec, engine=Engine.torch))  # that of the library and the studio
            for one in specs:
                try:
                    colorizer = colorizer_of(one)
                except ValueError as error:
                    name = printable_name(picture)
                    raise PhotoError(f"{name}: its recipe cannot be followed: {error}") from error
                make_again(
                    recipe,
                    colorizer,
                    original,
                    output,
                    others=others or (),
                    force=force,
                    max_pixels=reading.limit,
                )
                if filecmp.cmp(picture, output, shallow=False):
                    break
        same = filecmp.cmp(picture, output, shallow=False)
        if not is_there:
            print_path(output)
    if not same:
        say(f"{printable_name(output)}: the bytes differ from those of {printable_name(picture)}")
        raise typer.Exit(1)
    if not general.quiet:
        say(f"{printable_name(output)}: the same bytes as {printable_name(picture)}")
