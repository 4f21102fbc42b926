"""Draw contact sheets of fixed photos, for one or several weights files side by side.

    python scripts/paper/contact_sheet.py photos-dev.zip
    python scripts/paper/contact_sheet.py examples/*.jpg --weights before.safetensors after.safetensors

Draws one row for each of 24 photos, evenly spaced among those given and cropped to squares: the original,
then for each weights file samples at temperature 1 and as many at the default temperature, with the seeds
0, 1, ... Writes samples-1.jpg, samples-2.jpg and so on, with up to six photos each.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from figures import colorizers, photos, shown, square

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.methods.contact_sheet import Tile, contact_sheet, save_sheet

PHOTOS, ROWS, TILE, QUALITY = 24, 6, 160, 80
WEIGHTS = "weights files, labelled by their names or folders (default: the packaged ones)"


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="photos: files, folders, zips")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help=WEIGHTS)
    parser.add_argument("--number", type=int, default=2, help="samples at each temperature")
    parser.add_argument("--output-dir", type=Path, default=Path("colorized"))
    arguments = parser.parse_args()
    if arguments.number < 1:
        parser.error("--number must be 1 or more")
    rows = rows_of(arguments.data, arguments.weights, arguments.number)
    save_pages(rows, ROWS, arguments.output_dir, "samples")


def save_pages(rows: list[list[Tile]], most: int, folder: Path, name: str) -> None:
    """Write sheets of at most so many rows each, ``name-1.jpg`` and so on, and print their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, page in enumerate(np.array_split(np.arange(len(rows)), math.ceil(len(rows) / most)), start=1):
        path, shown_tiles = folder / f"{name}-{k}.jpg", [tile for row in page for tile in rows[row]]
        save_sheet(contact_sheet(shown_tiles, len(rows[0])), path, quality=QUALITY)
        print(path)


def rows_of(data: list[Path], weights: list[Path], number: int) -> list[list[Tile]]:
    models, rows = colorizers(weights), []
    for photo_name, photo in photos(data, PHOTOS):
        middle = square(photo)
        row = [(middle.thumbnail(TILE), photo_name)]
        for name, colorizer in models.items():
            conditioned = colorizer.condition(middle)
            samples = conditioned.sample(number, 1.0) + conditioned.sample(number)
            of_model = f"{name}, " if len(models) > 1 else ""
            labels = [f"{of_model}{label}" for label in ("T = 1", "default T") for _ in range(number)]
            row += shown(colorizer, middle, samples, labels, TILE)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
