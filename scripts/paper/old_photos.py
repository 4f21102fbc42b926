"""Draw sheets of old photographs, as they are colorized at the defaults.

    python scripts/paper/old_photos.py oldphotos.zip

Draws one row for each photo, its frame left gray: the photo, the first picture (the most typical of eight
samples), and two more of the eight, typical and different. Writes old-1.jpg and so on, with up to seven
photos each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from contact_sheet import save_pages
from figures import photos

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import typical
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.imaging.options import TYPICAL_OF
from cinn_colorize.methods.contact_sheet import Tile, gray_tile

ROWS, TILE = 7, 200


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="photos: files, folders, zips")
    parser.add_argument("--output-dir", type=Path, default=Path("colorized"))
    arguments = parser.parse_args()
    save_pages(rows_of(arguments.data), ROWS, arguments.output_dir, "old")


def rows_of(data: list[Path]) -> list[list[Tile]]:
    colorizer, labels, rows = Colorizer(), ["first", "another", "another"], []
    for name, scan in photos(data):
        photo = scan.framed()
        drawn = colorizer.condition(photo).sample(TYPICAL_OF)
        first = typical(drawn, 1)
        others = [sample for sample in typical(drawn, len(labels)) if sample is not first[0]]
        made = colorizer.compose(photo, [*first, *others][: len(labels)])
        tiles = [(c.picture.thumbnail(TILE), label) for c, label in zip(made, labels, strict=True)]
        rows.append([(gray_tile(photo, TILE)[0], name), *tiles])
    return rows


if __name__ == "__main__":
    main()
