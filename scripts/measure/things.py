"""Measure whether a hint recolours the thing that it lies on, and nothing else.

    python scripts/measure/things.py photos-dev.zip

Takes photos evenly spaced in the file, cropped and reduced to 256 px as by ``evaluate``. In each, a random
pixel gives an object: the places (64 x 64) where the photo's own ab differs from that at the pixel by less
than 8 and that are connected to it, 2 to 25 % of the photo. A hint asks for a random hue there, at a chroma
of 35 or what sRGB can show. Prints, for ``--hint-reach photo`` and ``thing``, means over two samples a
photo:

- ``object``: mean difference of the object's ab from that wanted, both as far as sRGB can show them
- ``rest``: mean change of ab by the hint farther than 3 places from the object
- ``ratio``: median of the change of the object divided by that of the rest

Photo k has the seed 8 k. Photos without such an object are left out.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.color import lab2rgb

from cinn_colorize import Colorizer
from cinn_colorize.data.readers import Reader
from cinn_colorize.data.sources import evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import Square, read_square
from cinn_colorize.imaging.color import reduce_chroma
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import ensemble, things
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint

_LIKE, _SMALLEST, _LARGEST = 8.0, 0.02, 0.25  # difference of ab within an object, and its share of the photo
_CHROMA, _AWAY, _TRIES = 35.0, 3, 200


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, default=60, help="number of photos")
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    colorizer, read = Colorizer(weights=arguments.weights, device="cpu"), Reader()
    rows = []
    for k, source in enumerate(evenly_spaced(find_photos(arguments.photos, None), arguments.n)):
        square, generator = read_square(source, read), np.random.default_rng(k)
        found = _object(square, generator)
        if found is None:
            continue
        (x, y), inside = found
        photo = open_photo(np.round(np.moveaxis(square.rgb, 0, -1) * 255).astype(np.uint8))
        hue = generator.uniform(0, 2 * np.pi)
        wanted = _CHROMA * np.array([np.cos(hue), np.sin(hue)], np.float32)
        hints = HintMap.of(photo, [Hint(x, y, _rgb(square.L[y, x], wanted))])
        conditioned = colorizer.condition(photo)
        own = conditioned.sample(2, seed=8 * k)
        row = []
        for draw in (ensemble.draw, things.draw):
            hinted = draw(conditioned, hints, 2, seed=8 * k)
            wide = reduce_chroma(hints.guide, np.broadcast_to(wanted[:, None, None], square.ab.shape))
            pairs = zip((sample.ab for sample in own), (sample.ab for sample in hinted), strict=True)
            row.append([_measured(before, after, wide, inside) for before, after in pairs])
        rows.append(row)
        print(
            f"{k:>5}" + "".join(f"{v:9.2f}" for v in np.mean(row, axis=1).ravel()),
            file=sys.stderr,
            flush=True,
        )
    print("| | object to wanted | rest moved | ratio object / rest, median |\n|---|---|---|---|")
    for reach, values in zip(("photo", "thing"), np.moveaxis(np.array(rows), 1, 0), strict=True):
        to_wanted, rest, ratio = values.reshape(-1, 3).T
        numbers = np.mean(to_wanted), np.nanmean(rest), np.nanmedian(ratio)
        print(f"| `--hint-reach {reach}` | {' | '.join(f'{value:.1f}' for value in numbers)} |")
    print(f"\nPhotos: {len(rows)}.")


def _object(square: Square, generator: np.random.Generator) -> tuple[tuple[int, int], np.ndarray] | None:
    """Return a random pixel, and where the photo shows the object there, (64, 64)."""
    for _ in range(_TRIES):
        x, y = generator.integers(0, 256, 2).tolist()
        like = np.hypot(*(square.ab - square.ab[:, y // 4, x // 4, None, None])) < _LIKE
        regions, _ = ndimage.label(like)
        inside = regions == regions[y // 4, x // 4]
        if _SMALLEST <= inside.mean() <= _LARGEST:
            return (x, y), inside
    return None


def _rgb(L: float, ab: np.ndarray) -> tuple[int, int, int]:
    """Return sRGB of a colour, of less chroma where L* demands it."""
    a, b = reduce_chroma(np.full((1, 1), L, np.float32), ab.reshape(2, 1, 1)).ravel()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Conversion from CIE-LAB")
        red, green, blue = np.round(255 * lab2rgb([L, a, b])).astype(int).tolist()
    return red, green, blue


def _measured(before: np.ndarray, after: np.ndarray, wanted: np.ndarray, inside: np.ndarray) -> list[float]:
    change, rest = np.hypot(*(after - before)), ndimage.distance_transform_edt(~inside) > _AWAY
    of_rest = change[rest].mean() if rest.any() else np.nan
    return [np.hypot(*(after - wanted))[inside].mean(), of_rest, change[inside].mean() / max(of_rest, 1e-6)]


if __name__ == "__main__":
    main()
