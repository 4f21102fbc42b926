"""Measure whether a hint recolours the thing that it lies on, and nothing else.

    python scripts/measure/things.py photos-dev.zip

In each photo, read as ``hints.py`` reads it, a random pixel gives an object of 2 to 25 % of the photo: the
places (64 x 64) whose own ab differs by less than 8 from that at the pixel, and that are connected to it. A
hint asks for a random hue there, at a chroma of 35 or what sRGB can show. Prints, of two samples a photo for
either reach, the mean difference of the object's ab from that wanted, the mean change of ab farther than 3
places from the object, and the median of the change of the object divided by that. Photo k has the seeds from
8 k; photos without such an object are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from hints import object_at, pixels_of, recolor_things
from scipy import ndimage

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Reader, evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import read_square
from cinn_colorize.imaging import color
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import ensemble
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint

_TRIES = 200  # pixels


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, default=60, help="number of photos")
    arguments = parser.parse_args()
    colorizer, read, rows = Colorizer(device="cpu"), Reader(), []
    for k, source in enumerate(evenly_spaced(find_photos(arguments.photos, None), arguments.n)):
        square, generator = read_square(source, read), np.random.default_rng(k)
        for x, y in generator.integers(0, 256, (_TRIES, 2)).tolist():
            inside, _ = object_at(square, x, y)
            if 0.02 <= inside.mean() <= 0.25:
                break
        else:
            continue
        hue = generator.uniform(0, 2 * np.pi)
        wanted = 35 * np.array([[[np.cos(hue)]], [[np.sin(hue)]]], np.float32)
        rgb = color.compose(square.L[y : y + 1, x : x + 1], wanted, 8)
        photo = open_photo(pixels_of(square.rgb))
        hints = HintMap.of(photo, [Hint(x, y, tuple(rgb.ravel().tolist()))])
        conditioned = colorizer.condition(photo)
        own, seen = conditioned.sample(2, seed=8 * k), color.reduce_chroma(hints.guide, wanted + 0 * hints.ab)
        rest = ndimage.distance_transform_edt(~inside) > 3
        for move in (ensemble.move, recolor_things):
            for before, after in zip(own, move(conditioned, own, hints), strict=True):
                change, error = np.hypot(*(after.ab - before.ab)), np.hypot(*(after.ab - seen))
                moved = change[rest].mean()
                rows.append((error[inside].mean(), moved, change[inside].mean() / max(moved, 1e-6)))
    print("| | object to wanted | rest moved | object / rest, median |\n|---|---|---|---|")
    for reach, values in zip(("photo", "thing"), np.reshape(rows, (-1, 2, 2, 3)).swapaxes(0, 1), strict=True):
        error, moved, ratio = values.reshape(-1, 3).T
        found = f"{error.mean():.1f} | {moved.mean():.1f} | {np.median(ratio):.1f}"
        print(f"| `--hint-reach {reach}` | {found} |")


if __name__ == "__main__":
    main()
