"""``cinn-colorize recreate``."""

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinn_colorize import __version__
from cinn_colorize.cli import common
from cinn_colorize.cli.console import print_path, say
from cinn_colorize.cli.summary import claim
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.errors import PhotoError, printable_name
from cinn_colorize.imaging.options import option

if TYPE_CHECKING:
    from cinn_colorize.methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class RecreateOptions:
    """Options of ``recreate``."""

    output: Path | None = option(
        None,
        "FILE",
        "File of the new picture, not its folder.",
        "-o --output",
        show_default="OUT_again beside OUT",
    )
    overwrite: bool = option(False, None, "Replace FILE if it exists.")
    force: bool = option(False, None, "Use the files given even if they have changed.")
    reading: common.PhotoOptions
    weights: str | None = common.weights_option()
    device: str = common.device_option()
    engine: Engine = common.engine_option()
    general: common.GeneralOptions


def recreate(
    picture: Annotated[Path, common.argument("OUT", "Picture with a recipe in it.")],
    original: Annotated[Path, common.argument("ORIGINAL", "Photo that it was made from.")],
    others: Annotated[
        list[Path] | None, common.argument("OTHER", "Reference, mask, hints or codes that it was made with.")
    ] = None,
    *,
    options: RecreateOptions,
) -> None:
    """Make a picture again from the recipe inside it.

    The same version, weights and kind of machine give the same file, byte for byte. If the
    file differs with onnxruntime, torch is tried. The exit code is 1 if the bytes differ.

    Examples:
        cinn-colorize recreate colorized/photo_005.jpg photo.jpg
        cinn-colorize recreate colorized/photo_mix_017_022.jpg photo.jpg sky.png
    """
    with options.general.reporting():
        from cinn_colorize.methods.recipe import Recipe

        recipe = Recipe.read(picture, max_pixels=options.reading.limit)
        output = options.output or picture.with_stem(f"{picture.stem}_again")
        is_new = not _is_there(recipe, picture, original, output, options)
        if is_new:
            _make(recipe, picture, original, output, others or [], options)
        same = filecmp.cmp(picture, output, shallow=False)
        if is_new:
            print_path(output)
    if not same:
        say(f"{printable_name(output)}: the bytes differ from those of {printable_name(picture)}")
        raise typer.Exit(1)
    if not options.general.quiet:
        say(f"{printable_name(output)}: the same bytes as {printable_name(picture)}")


def _is_there(
    recipe: "Recipe", picture: Path, original: Path, output: Path, options: RecreateOptions
) -> bool:
    """Return whether the new picture exists, made in the same way from the same photo."""
    from cinn_colorize.imaging.photo import open_photo, recipe_at
    from cinn_colorize.methods.recipe import differences

    limit = options.reading.limit
    if options.overwrite or not output.exists() or output.samefile(picture):
        return False
    if differences(recipe_at(output, limit), recipe_at(picture, limit)):
        return False
    return open_photo(original, max_pixels=limit).sha256 == recipe.original


def _make(
    recipe: "Recipe",
    picture: Path,
    original: Path,
    output: Path,
    others: Sequence[Path],
    options: RecreateOptions,
) -> None:
    from cinn_colorize.methods.recipe import recreate as follow
    from cinn_colorize.models import find_weights

    claim([output], options.overwrite, "another file (not folder) with -o")
    common.check_engine(options.engine, options.device, recipe.precision)
    network = options.device, recipe.precision, recipe.guidance, recipe.method.encodes, options.engine
    file, digest = find_weights(recipe.model, options.weights)
    spec = ModelSpec(recipe.model, file, digest, *network)
    specs = [spec]
    if options.engine is Engine.auto and spec.graphs and recipe.version == __version__:
        specs.append(replace(spec, engine=Engine.torch))  # that of the library and the studio
    for each in specs:
        try:
            colorizer = common.colorizer_of(each)
        except ValueError as error:
            problem = f"its recipe cannot be followed: {error}"
            raise PhotoError(f"{printable_name(picture)}: {problem}") from error
        limit = options.reading.limit
        follow(recipe, colorizer, original, output, others=others, force=options.force, max_pixels=limit)
        if filecmp.cmp(picture, output, shallow=False):
            return
