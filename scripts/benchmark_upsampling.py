"""How near the fast upsampling comes to the exact one, and what both cost.

The photos' own ab, reduced to the network's grid, is brought back with each method:

    python scripts/benchmark_upsampling.py ../shared/data/bigphotos.zip

Differences are Delta E 76 over all pixels of a photo reduced to 900 pixels; times are of full-size ab and its
composition to 8-bit pixels, in one thread.
"""

from __future__ import annotations

import argparse
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np

from cinn_colorize import color
from cinn_colorize.color import Floats
from cinn_colorize.photo import open_photo
from cinn_colorize.upsampling import METHODS, Upsampler

GRID, GUIDE, LONGER_SIDE, BAND = 64, 256, 900, 128


def reduced(planes: Floats, height: int, width: int) -> Floats:
    return np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in planes])


def compare(lab: Floats) -> dict[str, Floats]:
    """Delta E 76 of each method to the exact one, and of the exact one to the photo's own ab."""
    size = lab.shape[1:]
    ab, guide = reduced(lab[1:], GRID, GRID), reduced(lab[:1], GUIDE, GUIDE)[0]
    made = {m: Upsampler(ab, guide, (size[0], size[1]), m).rows(0, size[0], lab[0]) for m in METHODS}
    differences = {f"{m} to exact": made[m] - made["exact"] for m in METHODS if m != "exact"}
    differences |= {f"{m} to the photo": made[m] - lab[1:] for m in METHODS}
    return {name: np.hypot(d[0], d[1]) for name, d in differences.items()}


def seconds_per_megapixel(method: str, ab: Floats, guide: Floats, L: Floats) -> tuple[float, float]:
    """Of making ab, and of composing it, for a band in the middle of a photo of luminance ``L``."""
    height, width = L.shape
    y0 = (height - BAND) // 2
    band = L[y0 : y0 + BAND]
    upsampler = Upsampler(ab, guide, (height, width), method)
    best = [np.inf, np.inf]
    for _ in range(3):
        start = time.perf_counter()
        rows = upsampler.rows(y0, y0 + BAND, band)
        middle = time.perf_counter()
        color.compose(band, rows, depth=8)
        best = [min(best[0], middle - start), min(best[1], time.perf_counter() - middle)]
    return best[0] / band.size * 1e6, best[1] / band.size * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="zip of photos")
    cv2.setNumThreads(1)
    found: dict[str, list[Floats]] = {}
    with zipfile.ZipFile(parser.parse_args().photos) as archive:
        for name in sorted(archive.namelist()):
            photo = open_photo(archive.read(name))
            scale = LONGER_SIDE / max(photo.height, photo.width)
            lab = photo.lab(round(photo.height * scale), round(photo.width * scale))
            for what, difference in compare(lab).items():
                found.setdefault(what, []).append(difference)
    for what, differences in found.items():
        means = [float(d.mean()) for d in differences]
        tails = [float(np.percentile(d, 99)) for d in differences]
        print(f"{what:22s} mean {np.mean(means):.2f}   99th percentile of the worst photo {max(tails):.2f}")
    ab, guide = reduced(lab[1:], GRID, GRID), reduced(lab[:1], GUIDE, GUIDE)[0]
    L = cv2.resize(lab[0], None, fx=4, fy=4).astype(np.float32)
    for method in METHODS:
        upsampling, composition = seconds_per_megapixel(method, ab, guide, L)
        print(
            f"{method:22s} ab {1e3 * upsampling:.1f} ms, composition {1e3 * composition:.1f} ms a megapixel"
        )


if __name__ == "__main__":
    main()
