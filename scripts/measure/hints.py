"""Measure what hints do to samples: colours at the hinted pixels, and errors of whole photos.

    python scripts/measure/hints.py ../shared/data/photos-dev.zip

Takes photos evenly spaced in the file, cropped and reduced to 256 px as by ``evaluate``; three random pixels
give their true colours as hints. For the seed's sample without hints, the best of eight by agreement with
the hints, and the refined sample, prints the mean Delta E76 between picture and photo at the hinted pixels,
and 100 * RMSE of the whole photo, defined as ``best_of_1`` of ``evaluate``. Photo k has the seed 8 k. Seconds
are process time on one core, for a refined sample and the eight that it is chosen from.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.imaging.color import pixels_to_lab
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import refinement
from cinn_colorize.methods.hint_map import HintMap
from cinn_colorize.methods.hints import Hint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, default=20, help="number of photos")
    parser.add_argument("--hints", type=int, default=3, help="hints per photo")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--weights")
    arguments = parser.parse_args()

    colorizer, read = Colorizer(weights=arguments.weights, device="cpu"), Reader()
    sources = find_photos(arguments.photos, None)
    rows = []
    print("                        Delta E                          RMSE")
    print("photo" + "".join(f"{n:>10}" for n in ["unhinted", "best of 8", "hinted"] * 2 + ["seconds"]))
    for k in range(arguments.n):
        square = read_square(sources[k * len(sources) // arguments.n], read)
        pixels = np.round(np.moveaxis(square.rgb, 0, -1) * 255).astype(np.uint8)
        photo, generator = open_photo(pixels), np.random.default_rng(k)
        places = generator.integers(0, 256, (arguments.hints, 2)).tolist()
        wanted = HintMap.of(photo, [Hint(x, y, tuple(pixels[y, x].tolist())) for x, y in places])
        conditioned = colorizer.condition(photo)

        drawn = list(refinement.candidates(conditioned, arguments.temperature, 8 * k))
        best = min(drawn, key=lambda sample: wanted.disagreement(sample.ab))
        start = time.process_time()
        (refined,) = refinement.draw(conditioned, wanted, 1, arguments.temperature, 8 * k)
        seconds = time.process_time() - start

        samples = [drawn[0], best, refined]
        pictures = [colorization.rgb for colorization in colorizer.compose(photo, samples)]
        x, y = np.transpose(places)
        row = [
            np.linalg.norm(pixels_to_lab(p) - pixels_to_lab(pixels), axis=0)[y, x].mean() for p in pictures
        ]
        row += [100 * np.sqrt(np.mean((to_rgb(square.L, s.ab) - square.rgb) ** 2)) for s in samples]
        rows.append([*row, seconds])
        print_row(f"{k}", rows[-1])
    print_row("mean", np.mean(rows, axis=0))


def print_row(name: str, values: Sequence[float]) -> None:
    cells = "".join(f"{value:10.2f}" for value in values)
    print(f"{name:>5}{cells}", flush=True)


if __name__ == "__main__":
    main()
