"""Which mood does a seed give to all photos?

    python scripts/measure/moods.py photos-dev.zip --of 30

A sample's mood is the mean a and b of its picture. For each seed, the table has the mean over photos of the
difference from the photo's mean mood over all seeds: a is green below 0 and red above, b is blue below and
yellow above. ± is one standard error over photos. The share is the part of the variance of mean a and b
within photos that the seed explains, by leaving out each photo in turn.
"""

import argparse
from pathlib import Path

import numpy as np

from cinn_colorize.colorizer import Colorizer, NetworkInput
from cinn_colorize.data.sources import Reader, evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import read_square

SEEDS = 16  # from 0


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder or zip of photos")
    parser.add_argument("--of", type=int, default=30, metavar="N", help="number of photos, evenly spaced")
    arguments = parser.parse_args()

    colorizer, read = Colorizer(chunk=8), Reader()
    moods = []
    for source in evenly_spaced(find_photos(arguments.photos), arguments.of):
        samples = colorizer.condition(NetworkInput(read_square(source, read).L)).sample(SEEDS)
        moods.append([sample.ab.mean((1, 2)) for sample in samples])
    within = np.array(moods) - np.mean(moods, axis=1, keepdims=True)  # (photo, seed, 2)
    number = len(within)
    others = (within.sum(0) - within) / (number - 1)
    explained = 1 - np.square(within - others).sum() / np.square(within).sum()
    mean, error = within.mean(0), within.std(0, ddof=1) / number**0.5
    print(f"{number} photos; the seed explains {100 * explained:.0f} % of the variance of a photo's moods\n")
    print("| seed | a | b |\n|---|---|---|")
    for seed in range(SEEDS):
        a, b = (f"{mean[seed, k]:+.1f} ± {error[seed, k]:.1f}" for k in (0, 1))
        print(f"| {seed} | {a} | {b} |")


if __name__ == "__main__":
    main()
