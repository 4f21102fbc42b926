"""Steps of ab across the borders of a panorama's windows against the steps inside; writes the picture.

    python scripts/check_panorama.py PHOTO --top 0.35 --out panorama.png

A strip of 6:1 is cut from the photo at full width. The steps are those between neighbouring columns of the
blended ab, in Delta ab, averaged over the rows. Since the flow builds on Haar steps, columns that are
multiples of 8 have larger ones in every sample. Borders of windows lie on such columns, so they are compared
with the others of these too.
"""

import argparse

import cv2
import numpy as np

from cinn_colorize import Colorizer
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.windows import Windows

ASPECT, HEIGHT = 6, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo")
    parser.add_argument(
        "--top", type=float, default=0.4, help="where the strip begins, as a share of the height"
    )
    parser.add_argument("--weights")
    parser.add_argument("-n", type=int, default=4)
    parser.add_argument("--out", default="panorama.png")
    arguments = parser.parse_args()

    lightness = open_photo(arguments.photo)
    width = ASPECT * HEIGHT
    height = round(lightness.height * width / lightness.width)
    L = lightness.luminance(height, width)
    top = min(int(height * arguments.top), height - HEIGHT)
    gray = L[top : top + HEIGHT] / 100
    gray = np.where(gray > 0.08, ((gray * 100 + 16) / 116) ** 3, gray * 100 / 903.3)  # luminance
    gray = np.where(gray > 0.0031308, 1.055 * gray ** (1 / 2.4) - 0.055, 12.92 * gray).clip(0, 1)

    results = Colorizer(weights=arguments.weights).colorize(gray, n=arguments.n)
    windows = Windows.of(HEIGHT, width)
    starts = {24 * k - 1 for k in range(1, windows.count)}
    ends = {24 * k + 63 for k in range(windows.count - 1)}
    borders = np.array(sorted(starts | ends))
    print("seed  borders: mean  largest   columns of 8: mean  largest   all: mean  largest")
    for result in results:
        steps = np.linalg.norm(np.diff(result.ab, axis=2), axis=0).mean(axis=0)
        inside = np.setdiff1d(np.arange(len(steps)), borders)
        eighths = np.setdiff1d(np.arange(7, len(steps), 8), borders)
        rows = [steps[borders], steps[eighths], steps[inside]]
        print(f"{result.seed:4d}  " + "   ".join(f"{row.mean():8.2f} {row.max():8.2f}" for row in rows))
    cv2.imwrite(arguments.out, np.concatenate([r.rgb[..., ::-1] for r in results]))


if __name__ == "__main__":
    main()
