"""Measure peak memory and time of ``cinn-colorize -n 1`` on large photos.

    python scripts/measure/memory.py --megapixels 25 100

The photos are an enlarged example photo with grain: as gray JPEG, and as 16-bit gray TIFF.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyvips

PHOTO = Path(__file__).parents[2] / "examples/photo.jpg"


def enlarged(megapixels: float) -> pyvips.Image:
    """Enlarge the photo, as 16-bit gray with grain."""
    image = pyvips.Image.new_from_file(str(PHOTO)).colourspace("grey16")[0]
    image = image.resize((megapixels * 1e6 / (image.width * image.height)) ** 0.5)
    grain = pyvips.Image.gaussnoise(image.width, image.height, sigma=500, mean=0)
    return (image + grain).cast("ushort").copy(interpretation="grey16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[100.0])
    print("file                      seconds   peak GB so far")  # of the largest process so far
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in parser.parse_args().megapixels:
            image = enlarged(megapixels)
            for suffix in (".jpg", ".tif"):
                path = Path(folder) / f"{megapixels:g}{suffix}"
                small = (image / 257).cast("uchar").copy(interpretation="b-w")
                (small if suffix == ".jpg" else image).write_to_file(str(path))
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "cinn_colorize", path, "-o", folder, "-q"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                seconds = time.perf_counter() - start
                peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
                print(f"{path.name:24s} {seconds:8.1f} {peak:10.2f}", flush=True)
                path.unlink()


if __name__ == "__main__":
    main()
