"""Photos that optional packages read: HEIC of phones (pillow-heif) and camera raws (rawpy)."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cinn_colorize.files.limits import TooLargeError, check_pixels
from cinn_colorize.files.messages import printable
from cinn_colorize.imaging.arrays import Decoded, blobs_of

# An item of a HEIF file that is compressed with HEVC; libvips reads those with AV1.
_HEVC = re.compile(rb"infe[\2\3].{3}(?:.{2}|.{4})\0\0(?:hvc1|hev1)", re.DOTALL)

_GOES_ON = b"data corrupted"  # what LibRaw says of damage that it then overlooks


def is_hevc(content: bytes) -> bool:
    """Return whether a HEIF file holds a picture compressed with HEVC."""
    return bool(_HEVC.search(content))


def decode_heic(content: bytes, max_pixels: int) -> Decoded:
    """Decode the content of a HEIF file compressed with HEVC.

    Raises:
        TooLargeError: it has more pixels than ``max_pixels``.
        OSError, ValueError, SyntaxError: it cannot be decoded.
    """
    if not find_spec("pillow_heif"):
        raise ValueError("it is HEIC; save it as JPEG, or pip install 'cinn-colorize[heic]'")
    import pillow_heif

    try:
        image = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
        width, height = image.size
        check_pixels(width, height, max_pixels)
        pillow_heif.set_orientation(image.info)  # the pixels are upright
        return Decoded(np.array(image), blobs_of(image.info))  # older versions free the pixels with the image
    except TooLargeError:
        raise
    except (EOFError, IndexError, RuntimeError, SyntaxError, ValueError) as error:
        raise _unsupported(error) from None


def decode_raw(content: bytes, max_pixels: int) -> Decoded:
    """Develop the content of a camera raw in 16-bit sRGB, with the camera's white balance.

    Raises:
        TooLargeError: it has more pixels than ``max_pixels``.
        ValueError: it cannot be developed.
    """
    if not find_spec("rawpy"):
        raise ValueError("it is a camera raw; develop it first, or pip install 'cinn-colorize[raw]'")
    program = [sys.executable, "-P", str(Path(__file__).with_name("develop.py")), str(max_pixels)]
    done = subprocess.run(program, input=content, capture_output=True, check=False)
    if done.returncode or _GOES_ON in done.stderr:
        problem = done.stderr.decode("utf-8", "replace").replace("unknown file: ", "")
        raise _unsupported(problem or f"exit code {done.returncode}")
    size, _, pixels = done.stdout.partition(b"\n")
    height, width = map(int, size.split())
    check_pixels(width, height, max_pixels)
    return Decoded(np.frombuffer(pixels, np.uint16).reshape(height, width, 3))


def _unsupported(reason: object) -> ValueError:
    text = printable(" ".join(str(reason).split())[:160])
    return ValueError(f"damaged or unsupported ({text}); save it again with another program")
