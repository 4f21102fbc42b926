"""``--model mnist``: what ``sample`` and ``transfer`` do with digits."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import typer

from cinn_colorize.cli.common import FolderOptions, GeneralOptions, ModelOptions, device_of, temperature_of
from cinn_colorize.cli.console import print_path
from cinn_colorize.cli.summary import claim
from cinn_colorize.errors import printable_name
from cinn_colorize.files.atomic import check_output, mode_like
from cinn_colorize.imaging.options import option
from cinn_colorize.latents.levels import by_level
from cinn_colorize.models.registry import MODELS

if TYPE_CHECKING:
    from PIL import Image

    from cinn_colorize.methods.digits import Digits

log = logging.getLogger(__name__)

MODEL = "mnist"
PANEL = "Digits, with --model mnist"
_SAMPLES = 8
Writing = tuple[FolderOptions, ModelOptions, GeneralOptions]  # how a picture of digits is drawn and written
_COMMON = ("model", "weights", "device", "digit", "output_dir", "overwrite", "quiet", "verbose", "debug")


def digit_option(help: str) -> Any:
    """Declare ``--digit``."""
    return option(None, "D", help, panel=PANEL, min=0, max=9)


@dataclass(frozen=True)
class DigitOptions:
    """What ``sample`` draws of digits."""

    panel: ClassVar[str] = PANEL

    digit: int | None = digit_option("Digit to draw.")
    pca: bool = option(False, None, "Draw walks along the first principal components of the latent codes.")


def refuse(given: Mapping[str, Any], reason: str) -> None:
    """Refuse options that do not apply; those left out are None or False."""
    if names := [name for name, value in given.items() if value is not None and value is not False]:
        raise typer.BadParameter(f"{', '.join(names)}: {reason}")


def refuse_all_but(context: typer.Context, known: Iterable[str]) -> None:
    """Refuse what was given on the command line but for ``known`` and what all commands of digits take."""
    names = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source and source.name == "COMMANDLINE" and parameter.name not in {*known, *_COMMON}:
            is_option = parameter.param_type_name == "option"
            names.append(max(parameter.opts, key=len) if is_option else parameter.opts[0].upper())
    refuse(dict.fromkeys(names, True), f"not with --model {MODEL}")


def sample_digits(
    number: int | None, temperature: str | None, seed: int, chosen: DigitOptions, by: Writing
) -> None:
    """Draw digits, or walks through the latent space, and print the path of the picture."""
    (scale,) = by_level(temperature_of(temperature, MODELS[MODEL]), MODELS[MODEL].levels).values()
    digit = chosen.digit

    def draw(digits: "Digits") -> "Image.Image":
        from cinn_colorize.methods.digits import samples_picture, walks_picture

        if chosen.pca:
            return walks_picture(digits, digit)
        return samples_picture(digits, number or _SAMPLES, scale, seed, digit)

    stem = "digits" + ("_axes" if chosen.pca else "") + ("" if digit is None else f"_{digit}")
    _write(draw, f"{stem}.png", by)


def transfer_digits(images: Sequence[Path], digit: int | None, by: Writing) -> None:
    """Write all digits in the style of each image, and print the path of the picture."""

    def draw(digits: "Digits") -> "Image.Image":
        from cinn_colorize.methods.digits import transfer_picture

        return transfer_picture(digits, images, digit)

    _write(draw, f"digits_like_{images[0].stem}.png", by, images)


def _write(
    draw: "Callable[[Digits], Image.Image]", name: str, by: Writing, images: Sequence[Path] = ()
) -> None:
    out, network, general = by
    with general.reporting():
        path, mode = out.output_dir / name, mode_like(*images)
        check_output(path, "another folder with -o")
        from cinn_colorize.methods.contact_sheet import is_saved, save_sheet
        from cinn_colorize.methods.digits import Digits

        device_of(network.device)
        picture = draw(Digits(MODEL, weights=network.weights, device=network.device))
        if not out.overwrite and is_saved(picture, path):
            log.info(f"{printable_name(path)}: there already")
            return
        claim([path], out.overwrite)
        save_sheet(picture, path, mode=mode)
        print_path(path)
