"""Count the samples of gray photos that are a mere tint: one colour for each brightness, as in a sepia print.

    python scripts/measure/tones.py oldphotos.zip 0.7,8:0.8@0.3 0.7,8:0.8,1:0.4@0.3

Settings are those of settings.py. A sample is in a single tone if its ab at 64 px lie within 3 units, root
mean square, of the cubic polynomial of L that fits them best; the mean of that distance is its colour beyond
brightness, in units of ab, as chroma is. The picture inside a frame counts alone. All settings have the same
noise; ± is one standard error over photos, and differences from the first setting are photo by photo.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from paired import print_table
from settings import Settings

from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.metrics import Statistics, Term
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.photo import open_photo

NEAR = 3.0  # units of ab
COLUMNS = ("single tone, %", "colour beyond brightness", "chroma")


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("settings", nargs="+", metavar="T@GUIDANCE")
    arguments = parser.parse_args()

    settings = Settings(arguments.settings)
    measured = defaultdict[str, list[Statistics]](list)
    read, photos = Reader(), find_photos(arguments.photos, pattern=None)
    for i, source in enumerate(photos):
        photo = open_photo(read.file(source), name=str(source)).framed()
        seen = NetworkInput.of(photo, settings.any.info.luminance_size)
        for text, ab in settings.drawn(seen, i):
            found = tones(ab, seen.square).mean(0)
            measured[text].append(dict(zip(COLUMNS, map(Term, found), strict=True)))

    print(f"{len(photos)} photos\n")
    print_table("setting", dict.fromkeys(COLUMNS, 1), measured)


def tones(ab: Floats, L: Floats) -> Floats:
    """Return what :data:`COLUMNS` show of samples (N, 2, s, s) of a photo with L* (S, S), as (N, 3)."""
    s, by = ab.shape[-1], len(L) // ab.shape[-1]
    small = L.reshape(s, by, s, by).mean((1, 3)).ravel() / 100
    powers = np.stack([small**k for k in range(4)], axis=1)
    found = []
    for colours in ab.reshape(len(ab), 2, -1):
        rest = colours.T - powers @ np.linalg.lstsq(powers, colours.T, rcond=None)[0]
        beyond = np.sqrt((rest**2).sum(1).mean())
        found.append((100 * (beyond < NEAR), beyond, np.hypot(*colours).mean()))
    return np.array(found)


if __name__ == "__main__":
    main()
