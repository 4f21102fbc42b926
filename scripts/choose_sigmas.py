"""How well joint bilateral upsampling brings back a photo's own colours with several sigmas.

The photos' ab, reduced to the network's grid by area, is brought back to their size:

    python scripts/choose_sigmas.py ../shared/data/photos-dev.zip --every 20

Differences are Delta E 76 to the photo.
"""

from __future__ import annotations

import argparse
import itertools
import zipfile
from pathlib import Path

import cv2
import numpy as np

from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.imaging.upsampling import joint_bilateral

GRID, LONGEST = 64, 2.0
SIGMAS = [*itertools.product((0.5, 0.7, 1.0), (5.0, 10.0)), (1.5, 2.56)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="zip of photos")
    parser.add_argument("--every", type=int, default=20, help="use one photo of so many")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    found: dict[tuple[float, float], list[tuple[float, float]]] = {sigmas: [] for sigmas in SIGMAS}
    with zipfile.ZipFile(arguments.photos) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".webp", ".jpg", ".png")))
        for name in names[:: arguments.every]:
            photo = open_photo(archive.read(name))
            if max(photo.height, photo.width) > LONGEST * min(photo.height, photo.width):
                continue
            lab, small = photo.lab(photo.height, photo.width), photo.lab(GRID, GRID)
            for pixels, lightness in SIGMAS:
                ab = joint_bilateral(small[1:], small[0], lab[0], sigma_pixels=pixels, sigma_L=lightness)
                difference = np.hypot(*(ab - lab[1:]))
                found[pixels, lightness].append(
                    (float(difference.mean()), float(np.percentile(difference, 99)))
                )
    print("pixels   L*    mean   99th percentile")
    for (pixels, lightness), values in found.items():
        mean, tail = np.mean(values, axis=0)
        print(f"{pixels:6.1f} {lightness:5.2f} {mean:6.2f} {tail:8.2f}")


if __name__ == "__main__":
    main()
