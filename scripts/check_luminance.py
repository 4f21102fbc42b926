"""Mean |L_out - L_in| of written pictures: python scripts/check_luminance.py ZIP [--photos 16].

Colorizes photos of a zip, writes them as 8-bit PNG and as JPEG of quality 95, reads them back and compares
L*, computed by scikit-image, with that of the photo.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from skimage.color import rgb2lab

from cinn_colorize import Colorizer


def luminance(image: PIL.Image.Image) -> NDArray[np.float64]:
    L: NDArray[np.float64] = rgb2lab(np.asarray(image.convert("RGB")))[..., 0]
    return L


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--photos", type=int, default=16)
    arguments = parser.parse_args()

    colorizer = Colorizer()
    differences: dict[str, list[float]] = {".png": [], ".jpg": []}
    with zipfile.ZipFile(arguments.zip) as archive, tempfile.TemporaryDirectory() as folder:
        names = sorted(archive.namelist())
        for name in names[:: len(names) // arguments.photos][: arguments.photos]:
            data = archive.read(name)
            expected = luminance(PIL.Image.open(io.BytesIO(data)))
            (result,) = colorizer.colorize(data)
            for suffix, found in differences.items():
                path = Path(folder) / f"out{suffix}"
                result.save(path)
                found.append(float(np.abs(luminance(PIL.Image.open(path)) - expected).mean()))
    for suffix, found in differences.items():
        print(f"{suffix}: mean {np.mean(found):.3f}, largest of {len(found)} photos {np.max(found):.3f}")


if __name__ == "__main__":
    main()
