"""Mean |L_out - L_in| of written pictures: python scripts/check_luminance.py ZIP [--photos 16].

Colorizes photos of a zip, writes them as 8-bit PNG, as JPEG of quality 95 and, given as 16 bits, as 16-bit
PNG, reads them back and compares L*, computed by scikit-image, with that of the photo.
"""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from cinn_colorize import Colorizer


def decoded(content: bytes) -> NDArray[Any]:
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR_RGB
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), flags))


def luminance(pixels: NDArray[Any]) -> NDArray[np.float64]:
    L: NDArray[np.float64] = rgb2lab(pixels)[..., 0]
    return L


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--photos", type=int, default=16)
    arguments = parser.parse_args()

    colorizer = Colorizer()
    kinds = {"8-bit PNG": (1, ".png"), "JPEG": (1, ".jpg"), "16-bit PNG": (257, ".png")}
    differences: dict[str, list[float]] = {kind: [] for kind in kinds}
    with zipfile.ZipFile(arguments.zip) as archive, tempfile.TemporaryDirectory() as folder:
        names = sorted(archive.namelist())
        for name in names[:: len(names) // arguments.photos][: arguments.photos]:
            pixels = decoded(archive.read(name))
            for kind, (factor, suffix) in kinds.items():
                photo = pixels if factor == 1 else factor * pixels.astype(np.uint16)
                path = Path(folder) / f"out{suffix}"
                colorizer.colorize(photo)[0].save(path)
                difference = luminance(decoded(path.read_bytes())) - luminance(photo)
                differences[kind].append(float(np.abs(difference).mean()))
    for kind, found in differences.items():
        print(f"{kind}: mean {np.mean(found):.4f}, largest of {len(found)} photos {np.max(found):.4f}")


if __name__ == "__main__":
    main()
