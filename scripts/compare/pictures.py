"""Draw colorizations of all methods, as in the paper's Figs. 9 and 13: a column for each photo.

python scripts/compare/pictures.py photos PHOTOS docs/images/comparison.jpg
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from evaluate import rows
from PIL import Image

from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import Doubles, read_square, to_rgb
from cinn_colorize.methods.contact_sheet import Tile, contact_sheet, save_sheet

SIDE, SAMPLES, COLUMNS = 168, 2, 8  # pixels of a tile; of a method; at most


def tile(rgb: Doubles, label: str) -> Tile:
    """Make a smaller tile of a picture (3, 256, 256) in [0, 1]."""
    image = Image.fromarray(np.rint(255 * np.moveaxis(rgb, 0, -1)).astype(np.uint8))
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), label


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=["photos", "rooms"])
    parser.add_argument("photos", type=Path, help="folder or zip of colour photos")
    parser.add_argument("output", type=Path)
    parser.add_argument("--names", nargs="+", help="names of the photos to draw, without suffix")
    parser.add_argument("--run", type=Path, default=Path("runs/compare"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = [(row, row.open()) for row in rows(arguments)]
    read, columns = Reader(), list[list[Tile]]()
    sources = find_photos(arguments.photos, pattern=None)
    if arguments.names:
        sources = [source for source in sources if Path(str(source)).stem in arguments.names]
    for source in sources[:COLUMNS]:
        photo = read_square(source, read)
        column = [tile(photo.rgb, "original"), tile(to_rgb(photo.L, 0 * photo.ab), "gray")]
        for row, model in models:
            drawn = model.condition(NetworkInput(photo.L)).sample(SAMPLES if row.differ else 1, 1.0, 0)
            column += [tile(to_rgb(photo.L, sample.ab), row.title) for sample in drawn]
        columns.append(column)
    shown = [one for row in zip(*columns, strict=True) for one in row]
    save_sheet(contact_sheet(shown, columns=len(columns)), arguments.output, quality=80)
    print(arguments.output)


if __name__ == "__main__":
    main()
