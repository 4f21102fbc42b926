"""Compare ways to choose one sample of eight: the medoid, the first, a random one, the likeliest.

    python scripts/measure/first_picture.py photos-dev.zip --every 4

Draws the seeds 0 to 7 of each photo, and no others, at the default temperature: the table is of these eight,
whose errors are larger than those of most seeds. The photos come in a fixed random order, so that those until
Ctrl-C represent all. ``best_of_1`` is the error of the sample chosen, ``chroma`` its mean chroma over that of
the photo (see docs/evaluation.md); of a random one, the means over all eight. Differences are taken photo by
photo, and ± is one standard error.
"""

import argparse
import contextlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from paired import compared, print_table

from cinn_colorize.colorizer import Colorizer, NetworkInput, likeliest, typical
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.metrics import Statistics, Term, picture_statistics
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.imaging.options import TYPICAL_OF

MEASURES = {"best_of_1": 2, "chroma": 3}  # with decimals


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only every K-th photo")
    arguments = parser.parse_args()

    colorizer, read = Colorizer(chunk=TYPICAL_OF), Reader()
    photos = find_photos(arguments.zip)[:: arguments.every]
    statistics = defaultdict[str, list[Statistics]](list)
    with contextlib.suppress(KeyboardInterrupt):
        for i in np.random.default_rng(0).permutation(len(photos)):
            photo = read_square(photos[i], read)
            samples = colorizer.condition(NetworkInput(photo.L)).sample(TYPICAL_OF)
            of_seed = dict[int | None, Statistics]()
            for sample in samples:
                picture = to_rgb(photo.L, sample.ab)
                of_seed[sample.seed] = compared(photo, picture[None], sample.ab[None])
            chosen = {"medoid": typical(samples, 1), "first": samples, "likeliest": likeliest(samples)}
            for name, ranked in chosen.items():
                statistics[name].append(of_seed[ranked[0].seed])
            terms = {name: [found[name] for found in of_seed.values()] for name in MEASURES}
            statistics["random"].append({name: Term(*np.mean(t, axis=0)) for name, t in terms.items()})
            gray = to_rgb(photo.L, 0 * photo.ab)[None]
            statistics["gray photo"].append(picture_statistics(gray, photo.rgb))

    print(f"{len(statistics['random'])} photos\n")
    print_table("one of the seeds 0 to 7", MEASURES, statistics)


if __name__ == "__main__":
    main()
