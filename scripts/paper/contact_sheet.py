"""Draw contact sheets of fixed photos, for one or several weights files side by side, or of old photographs.

    python scripts/paper/contact_sheet.py photos-dev.zip
    python scripts/paper/contact_sheet.py examples/*.jpg --weights before.safetensors after.safetensors
    python scripts/paper/contact_sheet.py oldphotos.zip --old

Draws a row for each of 24 photos, evenly spaced among those given and cropped to squares: the original, then
for each weights file samples at temperature 1 and as many at the default, with the seeds 0, 1, ...; with
--old, one for each of all photos, its frame left gray: the photo, the first picture (the most typical of
eight samples), and two more of the eight, typical and different. Writes samples-1.jpg or old-1.jpg and so on.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from figures import colorizers, photos, shown, square

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import typical
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.imaging.options import TYPICAL_OF
from cinn_colorize.methods.contact_sheet import Tile, contact_sheet, gray_tile, save_sheet

PHOTOS, ROWS, TILE, QUALITY = 24, 6, 160, 80
OLD_ROWS, OLD_TILE = 7, 200
WEIGHTS = "weights files, labelled by their names or folders (default: the packaged ones)"


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="photos: files, folders, zips")
    parser.add_argument("--old", action="store_true", help="draw old photographs at the defaults")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help=WEIGHTS)
    parser.add_argument("--number", type=int, default=2, help="samples at each temperature")
    parser.add_argument("--output-dir", type=Path, default=Path("colorized"))
    arguments = parser.parse_args()
    if arguments.number < 1:
        parser.error("--number must be 1 or more")
    if arguments.old:
        save_pages(old_rows(arguments.data), OLD_ROWS, arguments.output_dir, "old")
    else:
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


def old_rows(data: list[Path]) -> list[list[Tile]]:
    colorizer, labels, rows = Colorizer(), ["first", "another", "another"], []
    for name, scan in photos(data):
        photo = scan.framed()
        drawn = colorizer.condition(photo).sample(TYPICAL_OF)
        first, others = typical(drawn, 1), typical(drawn, len(labels))
        chosen = [*first, *(sample for sample in others if sample is not first[0])][: len(labels)]
        tiles = [one.picture.thumbnail(OLD_TILE) for one in colorizer.compose(photo, chosen)]
        rows.append([(gray_tile(photo, OLD_TILE)[0], name), *zip(tiles, labels, strict=True)])
    return rows


if __name__ == "__main__":
    main()
