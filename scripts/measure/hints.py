"""Measure what hints do to samples: at the hints, to the objects they lie on, and to the rest of the photo.

    python scripts/measure/hints.py photos-dev.zip
    python scripts/measure/hints.py photos-dev.zip --things

Takes photos evenly spaced in the file, at 256 px as in ``evaluate``; three random pixels give their true
colours as hints. Prints, without hints and with them:

- ``hints``: mean Delta E76 between picture and photo at the hinted pixels
- ``rmse``: 100 * RMSE of the whole photo, ``best_of_1`` of ``evaluate``
- ``object``: mean error of ab (64 x 64) on the hinted objects: around a hint, where the photo has its colour
- ``moved``: mean change of ab by the hints in the rest, where the photo is unlike all hints

With ``--things``, a hint recolours a thing: a random pixel gives an object of 2 to 25 % of the photo, and the
hint asks for a random hue there, at a chroma of 35 or what sRGB can show. Prints, of two samples a photo for
either reach, the mean difference of the object's ab from that wanted, the mean change of ab farther than 3
places from the object, and the median of the change of the object divided by that. Photos without such an
object are left out.

An object is where the photo's own ab (64 x 64) differ by less than 8 from that at the pixel, connected to it.
Photo k has the seeds from 8 k. Seconds are process time on one core, for four samples.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy import ndimage

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Reader, evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import Square, read_square, to_rgb
from cinn_colorize.imaging import color
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import ensemble, things
from cinn_colorize.methods.conditioned import Conditioned
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint
from cinn_colorize.methods.samples import Sample

HINTS = 3  # of a photo
TRIES = 200  # pixels in search of an object
LIKE, UNLIKE = 8.0, 20.0  # differences of ab that are nearly none, and that another object has


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, help="number of photos (default: 20, with --things 60)")
    parser.add_argument("--things", action="store_true", help="recolour one object of each photo")
    arguments = parser.parse_args()
    colorizer, read = Colorizer(device="cpu"), Reader()
    number = arguments.n or (60 if arguments.things else 20)
    sources = evenly_spaced(find_photos(arguments.photos, None), number)
    squares = (read_square(source, read) for source in sources)
    (measure_things if arguments.things else measure_hints)(colorizer, squares)


def measure_hints(colorizer: Colorizer, squares: Iterable[Square]) -> None:
    rows = []
    columns = ["hints", "rmse", "object", "moved", "seconds"]
    print("photo" + "".join(f"{name:>9}" for name in columns * 3), file=sys.stderr)
    for k, square in enumerate(squares):
        pixels = pixels_of(square.rgb)
        photo, generator = open_photo(pixels), np.random.default_rng(k)
        places = generator.integers(0, 256, (HINTS, 2)).tolist()
        wanted = HintMap.of(photo, [Hint(x, y, tuple(pixels[y, x].tolist())) for x, y in places])
        conditioned = colorizer.condition(photo)
        own = conditioned.sample(4, seed=8 * k)
        row = [measured(square, own, own, places, 0)]
        for move in (recolor_things, ensemble.move):
            start = time.process_time()
            hinted = move(conditioned, conditioned.sample(4, seed=8 * k), wanted)
            row.append(measured(square, own, hinted, places, time.process_time() - start))
        rows.append(row)
        print(f"{k:>5}" + "".join(f"{v:9.2f}" for v in np.ravel(row)), file=sys.stderr, flush=True)
    heads = "Delta E76 at the hints | 100 RMSE from the photo | error of ab on the hinted objects"
    print(f"| | {heads} | rest moved |\n|---|---|---|---|---|")
    names = ("without hints", "**with hints**", "with `--hint-reach photo`")
    found = np.nanmean(rows, axis=0)
    for name, values in zip(names, found, strict=True):
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values[:-1])} |")
    _, thing, of_photo = found[:, -1]
    print(f"\nPhotos: {len(rows)}.")
    print(f"four samples: {thing:.1f} s, or {of_photo:.1f} s", file=sys.stderr)


def measure_things(colorizer: Colorizer, squares: Iterable[Square]) -> None:
    rows = []
    for k, square in enumerate(squares):
        generator = np.random.default_rng(k)
        for x, y in generator.integers(0, 256, (TRIES, 2)).tolist():
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


def recolor_things(conditioned: Conditioned, samples: list[Sample], hints: HintMap) -> list[Sample]:
    return things.follow(samples, things.find(things.drawn(conditioned), hints), hints)


def measured(
    square: Square, own: list[Sample], hinted: list[Sample], places: list[list[int]], seconds: float
) -> list[float]:
    shown, unlike = zip(*(object_at(square, x, y) for x, y in places), strict=True)
    objects, rest = np.any(shown, axis=0), np.all(unlike, axis=0)
    rows, (x, y) = [], np.transpose(places)
    for before, after in zip(own, hinted, strict=True):
        rgb = to_rgb(square.L, after.ab)
        lab, own_lab = (color.pixels_to_lab(pixels_of(picture)) for picture in (rgb, square.rgb))
        difference = np.linalg.norm(lab - own_lab, axis=0)
        row = [difference[y, x].mean(), 100 * np.sqrt(np.mean((rgb - square.rgb) ** 2))]
        row.append(np.hypot(*(after.ab - square.ab))[objects].mean())
        rows.append([*row, np.hypot(*(after.ab - before.ab))[rest].mean() if rest.any() else np.nan])
    return [*np.mean(rows, axis=0), seconds]


def pixels_of(rgb: np.ndarray) -> np.ndarray:
    return np.round(np.moveaxis(rgb, 0, -1) * 255).astype(np.uint8)


def object_at(square: Square, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the photo shows the object at a pixel, and where it is unlike it, (64, 64) each."""
    x, y = x // 4, y // 4
    difference = np.hypot(*(square.ab - square.ab[:, y, x, None, None]))
    regions, _ = ndimage.label(difference < LIKE)
    return regions == regions[y, x], difference > UNLIKE


if __name__ == "__main__":
    main()
