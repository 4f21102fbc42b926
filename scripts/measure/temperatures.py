"""Compare temperatures: errors against variety, for several at once, photo by photo.

    python scripts/measure/temperatures.py photos-dev.zip photos-train-0.zip 0.8 0.7 0.6,1:0.75,0:0.75

Measures every fourth photo of the first zip, in a fixed random order, so that any number of them
(``--photos``, or Ctrl-C) represents all. Samples of all temperatures have the same noise, and differences to
the first temperature are taken photo by photo, which makes them much more certain than the numbers
themselves. ``kid_lite0`` is 1,000 times the distance to the first 1,000 photos of the second zip.

``tint``, ``objects`` and ``speckle`` are standard deviations of a and b over the samples: of the mean of the
whole photo, of means of blocks of 8x8 of the 64 pixels around it, and of pixels around those.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from pathlib import Path

import numpy as np

from cinn_colorize.colorizer import Colorizer, NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.evaluation import KidLite0
from cinn_colorize.evaluation.bootstrap import Statistics, difference, estimate
from cinn_colorize.evaluation.metrics import exploding, limited, picture_statistics, spread
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.latents.levels import parse_levels

SAMPLES = 8
ERRORS = ("best_of_1", "best_of_8_image", "best_of_8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("temperatures", nargs="+", metavar="T|LEVEL:T,...")
    parser.add_argument("--photos", type=int, default=100, dest="number")
    parser.add_argument("--weights")
    arguments = parser.parse_args()

    colorizer = Colorizer(weights=arguments.weights, precision="bf16", chunk=SAMPLES)
    levels = list(colorizer.model.latent_shapes)
    temperatures = {text: parse_levels(text, levels, 1.0) for text in arguments.temperatures}
    photos = find_photos(arguments.photos)[::4]
    kid = KidLite0(find_photos(arguments.reference)[:1000], colorizer.device, lambda done, total: None)
    statistics = defaultdict[str, list[Statistics]](list)
    spreads = defaultdict[str, list[tuple[float, ...]]](list)
    exploded = defaultdict[str, int](int)
    features = defaultdict[str, list[np.ndarray]](list)
    read = Reader()
    with contextlib.suppress(KeyboardInterrupt):
        for i in np.random.default_rng(0).permutation(len(photos))[: arguments.number]:
            photo = read_square(photos[i], read)
            conditioned = colorizer.condition(NetworkInput(photo.L))
            found: dict[str, tuple[Statistics, np.ndarray]] = {}
            for text, temperature in temperatures.items():
                drawn = conditioned.sample(SAMPLES, temperature, SAMPLES * int(i))
                ab = np.stack([sample.ab for sample in drawn])
                pictures = np.stack([to_rgb(photo.L, colours) for colours in ab])
                found[text] = picture_statistics(pictures, photo.rgb), kid.of(pictures, photo, photos[i])
                spreads[text].append(tuple(spread(limited(ab), size) for size in (64, 8, 1)))
                exploded[text] += exploding(ab)
            for row, colours in (("gray", 0 * photo.ab), ("truth", photo.ab)):
                picture = to_rgb(photo.L, colours)[None]
                rmse = picture_statistics(picture, photo.rgb)["best_of_1"]
                found[row] = dict.fromkeys(ERRORS, rmse), kid.of(picture, photo, photos[i])
            for row, (compared, kept) in found.items():
                statistics[row].append(compared)
                features[row].append(kept)

    print(f"{len(features['gray'])} photos\n")
    print(f"| T | {' | '.join(ERRORS)} | variance | tint | objects | speckle | kid_lite0 | exploding |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    first = statistics[next(iter(temperatures))]
    for row, measured in statistics.items():
        means, changes = estimate(measured), difference(measured, first)
        cells = []
        for name in ERRORS:
            same = measured is first or row not in temperatures
            change = "" if same else f" ({changes[name].mean:+.2f} ± {changes[name].se:.2f})"
            cells.append(f"{means[name].mean:.2f}{change}")
        if row in temperatures:
            of_pixels, of_blocks, of_photo = np.mean(spreads[row], axis=0)
            deviations = of_photo, of_blocks - of_photo, of_pixels - of_blocks
            cells += [f"{means['variance'].mean:.1f}", *(f"{np.sqrt(d):.2f}" for d in deviations)]
        else:
            cells += ["-"] * 4
        distance = kid.estimate(features[row])
        cells.append(f"{1000 * distance.mean:.1f} ± {1000 * distance.se:.1f}")
        cells.append(f"{exploded[row]}" if row in temperatures else "-")
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
