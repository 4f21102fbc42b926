"""Contact sheets (a photo and its samples, labelled) and charts (sheets that a recipe makes again)."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cinn_colorize import __version__
from cinn_colorize.files.atomic import PUBLIC
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.imaging import color, vips
from cinn_colorize.imaging.options import Encoding
from cinn_colorize.imaging.photo import Photo
from cinn_colorize.imaging.picture import Picture, fitted
from cinn_colorize.methods.samples import Colorization, in_file

if TYPE_CHECKING:
    from cinn_colorize.latents.latent import Latent

TILE = 400  # pixels on the longer side of a tile
QUALITY = 92  # of JPEG, WebP and AVIF
_GAP, _LABEL = 12, 34
_PAPER, _INK, _MARK = "#fafafa", "#333333", "#ff5a1f"

Tile = tuple[Image.Image, str]


def tiles(photo: Photo, colorizations: Sequence[Colorization]) -> list[Tile]:
    """Return the tile of the photo, then those of the samples."""
    return [original_tile(photo), *(tile(colorization) for colorization in colorizations)]


def original_tile(photo: Photo, size: int = TILE) -> Tile:
    """Return a tile of the photo as it is."""
    return _with_frame(photo, photo.thumbnail(size), "original")


def gray_tile(photo: Photo, size: int = TILE) -> Tile:
    """Return a tile of the photo's luminance."""
    L = photo.whole.luminance(*fitted(photo.height, photo.width, size))
    gray = Image.fromarray(color.compose(L, np.zeros((2, *L.shape), np.float32), depth=8))
    return _with_frame(photo, gray, "gray")


def _with_frame(photo: Photo, picture: Image.Image, label: str) -> Tile:
    """Outline the picture inside a frame on a tile of the whole photo, and say where it lies."""
    if photo.frame is None:
        return picture, label
    box = photo.frame.scaled((photo.height, photo.width), (picture.height, picture.width))
    ImageDraw.Draw(picture).rectangle((box.left, box.top, box.right - 1, box.bottom - 1), outline=_MARK)
    return picture, f"{label}   frame {photo.frame}"


def tile(colorization: Colorization) -> Tile:
    """Return a tile of a sample, labelled with its seed and log-likelihood (nats per dimension)."""
    name = "mix" if colorization.recipe["method"] == "mix" else f"seed {colorization.seed}"
    density = colorization.sample.log_prob_per_dimension
    label = name if density is None else f"{name}   log-likelihood {density:.3f}"
    return colorization.picture.thumbnail(TILE), label


def contact_sheet(tiles: Sequence[Tile], columns: int | None = None) -> Image.Image:
    """Arrange pictures in rows, labels below; by default about 4:3, and up to three in one row."""
    widest = max(tile.width for tile, _ in tiles)
    font = _font_within(widest, [label for _, label in tiles])
    width = max(widest, *(math.ceil(font.getlength(label)) for _, label in tiles))
    if columns is None and len(tiles) <= 3:
        columns = len(tiles)
    elif columns is None:
        shape = (max(tile.height for tile, _ in tiles) + _LABEL) / (width + _GAP)
        columns = max(1, min(len(tiles), round(math.sqrt(len(tiles) * 4 / 3 * shape))))
        columns = math.ceil(len(tiles) / math.ceil(len(tiles) / columns))  # balance the rows
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile, _ in row) + _LABEL for row in rows]
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, sum(heights) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    bottom = _GAP - _LABEL  # of the pictures of a row, which stand on one line, close to their labels
    for row, height in zip(rows, heights, strict=True):
        bottom += height
        for column, (tile, label) in enumerate(row):
            x = _GAP + column * (width + _GAP)
            sheet.paste(tile.convert("RGB"), (x + (width - tile.width) // 2, bottom - tile.height))
            draw.text((x + width / 2, bottom + _LABEL / 2 - 4), label, fill=_INK, font=font, anchor="mm")
    return sheet


def _font_within(width: int, labels: Sequence[str]) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the default font, smaller if a label would be wider than its picture, but legible."""
    font = ImageFont.load_default(size=16)
    widest = max(font.getlength(label) for label in labels)
    return font if widest <= width else ImageFont.load_default(size=max(9.0, 16 * width / widest))


def save_sheet(
    sheet: Image.Image,
    path: Path,
    recipe: Mapping[str, str] | None = None,
    quality: int = QUALITY,
    mode: int = PUBLIC,
) -> None:
    """Write a sheet in the format of the suffix; PhotoError if the file cannot be written.

    A sheet without a recipe gets a mark in its place, which tells it from photos.
    """
    pixels = np.asarray(sheet.convert("RGB"))
    recipe = recipe or {"version": __version__, "sheet": "true"}
    Picture(pixels, None, vips.Metadata(), color.SRGB, mode).save(path, quality=quality, recipe=recipe)


def is_saved(sheet: Image.Image, path: Path) -> bool:
    """Return whether a lossless file has the very pixels of a sheet."""
    try:
        with Image.open(path) as found:
            return np.array_equal(np.asarray(found.convert("RGB")), np.asarray(sheet.convert("RGB")))
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Chart:
    """Picture of many samples with a recipe that makes it again."""

    image: Image.Image
    recipe: Mapping[str, str]  # what was drawn and how; :meth:`save` adds how it was written
    codes: "Latent | None" = None  # of the samples, where the method gives them
    mode: int = PUBLIC  # permission bits of the file; see :attr:`Photo.mode`

    def save(self, path: str | os.PathLike[str], *, quality: int = QUALITY, strip: bool = False) -> None:
        """Write the picture with its recipe, its only metadata; see :func:`save_sheet`."""
        save_sheet(self.image, Path(path), self.recipe_at(path, quality, strip), quality, self.mode)

    def recipe_at(
        self, path: str | os.PathLike[str], quality: int = QUALITY, strip: bool = False
    ) -> dict[str, str]:
        """Return the recipe in the file that :meth:`save` writes."""
        return in_file(self.recipe, format_of_name(path), Encoding(quality, strip))
