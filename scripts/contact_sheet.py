"""Contact sheets of fixed photos, to look at weights, or at several side by side.

    python scripts/contact_sheet.py ../shared/data/photos-dev.zip
    python scripts/contact_sheet.py examples --weights before.safetensors after.safetensors

A row each for 24 photos, evenly spaced in a zip or folder and cut square: the original, then of each weights
file samples at temperature 1 and as many at the default temperature, with the seeds 0, 1, ... Written are
DATA-1.jpg, DATA-2.jpg and so on, with six photos each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from figures import colorizers, photos, shown, square

from cinn_colorize.errors import CinnError
from cinn_colorize.sheet import Tile, contact_sheet, save_sheet

PHOTOS, ROWS, TILE, QUALITY = 24, 6, 160, 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder or zip of photos")
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[], help="files; the packaged ones if none"
    )
    parser.add_argument("--number", type=int, default=2, help="of samples at each temperature")
    parser.add_argument("--output-dir", type=Path, default=Path("colorized"))
    arguments = parser.parse_args()
    tiles: list[Tile] = []
    try:
        models = colorizers(arguments.weights)
        for name, photo in photos([arguments.data], PHOTOS):
            photo = square(photo)
            tiles.append((photo.thumbnail(TILE), name))
            for model, colorizer in models.items():
                conditioned = colorizer.condition(photo)
                samples = conditioned.sample(arguments.number, 1.0) + conditioned.sample(arguments.number)
                prefix = f"{model}, " if len(models) > 1 else ""
                labels = [prefix + label for label in ("T = 1", "default T") for _ in range(arguments.number)]
                tiles += shown(colorizer, photo, samples, labels, TILE)
        columns = 1 + 2 * arguments.number * len(models)
        page = ROWS * columns
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(tiles), page):
            path = arguments.output_dir / f"{arguments.data.stem}-{start // page + 1}.jpg"
            save_sheet(contact_sheet(tiles[start : start + page], columns), path, quality=QUALITY)
            print(path)
    except CinnError as error:
        sys.exit(f"contact_sheet.py: {error}")


if __name__ == "__main__":
    main()
