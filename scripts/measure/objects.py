"""Measure ``objects`` of two controls: of a perfect model, and of one picture in eight saturations.

    python scripts/measure/objects.py photos-val.zip --every 4

The perfect model draws truth and eight samples from one normal distribution. The picture is the centre
(temperature 0) of each photo, in the saturations 0.25 to 2: such samples differ only in how vivid they
are. It is measured without guidance, and with that of the default.
"""

import argparse
from pathlib import Path

import numpy as np

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.metrics import color_statistics, estimate, limited
from cinn_colorize.evaluation.photos import read_square

SATURATIONS = np.linspace(0.25, 2, 8, dtype=np.float32)


def perfect(dimensions: int) -> float:
    """Return ``objects`` of samples of the distribution that the truth is drawn from."""
    drawn = np.random.default_rng(0).standard_normal((20_000, 9, dimensions))
    truth, samples = drawn[:, :1], drawn[:, 1:]
    best, mean = (
        np.linalg.norm(of - truth, axis=2).min(1) for of in (samples, samples.mean(1, keepdims=True))
    )
    return float(best.mean() / mean.mean())


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th photo")
    arguments = parser.parse_args()

    photos, read = find_photos(arguments.photos, None)[:: arguments.every], Reader()
    print("| effective dimensions | objects of a perfect model |\n|---:|---:|")
    for dimensions in (4, 8, 16, 32):
        print(f"| {dimensions} | {perfect(dimensions):.2f} |")
    print(f"\n{len(photos)} photos\n\n| eight saturations of the centre | objects |\n|---|---|")
    for guidance in (0.0, None):
        colorizer, measured = Colorizer(guidance=guidance), []
        for source in photos:
            photo = read_square(source, read)
            (center,) = colorizer.condition(NetworkInput(photo.L)).sample(1, temperature=0.0)
            measured.append(color_statistics(limited(SATURATIONS[:, None, None, None] * center.ab), photo.ab))
        found = estimate(measured)["objects"]
        print(f"| guidance {colorizer.guidance:g} | {found.mean:.3f} ± {found.se:.3f} |")


if __name__ == "__main__":
    main()
