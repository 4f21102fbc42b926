"""ICC profiles as RGB spaces.

Profiles with a matrix and transfer curves, which cameras, screens and editors write, are evaluated here
exactly and without clipping. Those made of lookup tables are left to the reader of the file.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.color import D65, SRGB, RGBSpace

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of every profile's connection space
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50_TO_D65 = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ D65) / (_BRADFORD @ _D50)) @ _BRADFORD
_FLAT = 1e6  # condition of a matrix whose primaries span no space, but for rounding


def color_model(icc: bytes) -> str:
    """Return a profile's colour model: ``RGB``, ``GRAY``, ``CMYK``, ...; empty if it is not a profile."""
    return icc[16:20].decode("latin-1").strip() if icc[36:40] == b"acsp" else ""


def space_of(icc: bytes) -> RGBSpace | None:
    """Return the space of an RGB or gray profile, ``SRGB`` up to rounding; None for other profiles."""
    try:
        tags = _tags(icc)
        if color_model(icc) == "GRAY":
            curve = _curve(tags[b"kTRC"])
            if icc[20:24] == b"Lab ":  # then the curve gives L*, not luminance
                L = 100 * curve
                curve = np.where(L > 8, ((L + 16) / 116) ** 3, L / 903.3)
            return RGBSpace(SRGB.matrix, np.tile(curve, (3, 1)))
        if color_model(icc) != "RGB" or b"A2B0" in tags:  # a table has precedence over a matrix
            return None
        curves = np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")])
        primaries = np.stack([_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        matrix = _D50_TO_D65 @ primaries / D65[:, None]
        if not np.linalg.cond(matrix) < _FLAT:
            return None
    except (KeyError, ValueError, struct.error, np.linalg.LinAlgError):
        return None
    close = np.abs(matrix - SRGB.matrix).max() < 2e-3 and np.abs(curves - SRGB.curves).max() < 1e-3
    return SRGB if close else RGBSpace(matrix, curves)


def _tags(icc: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", icc, 128)
    if count > 1000:
        raise ValueError("not a tag table")
    entries = [struct.unpack_from(">4sII", icc, 132 + 12 * i) for i in range(count)]
    return {name: icc[start : start + length] for name, start, length in entries}


def _xyz(tag: bytes) -> NDArray[np.float64]:
    if tag[:4] != b"XYZ ":
        raise ValueError("not an XYZ tag")
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Return the linear light in [0, 1] of the code values i / 65535, (65536,)."""
    codes = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        samples = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 0:
            return codes
        if count == 1:
            return np.asarray(codes ** (samples[0] / 256))
        return np.interp(codes, np.linspace(0, 1, count), samples / 65535)
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        return _parametric(kind, codes, tag)
    raise ValueError("not a curve")


def _parametric(kind: int, x: NDArray[np.float64], tag: bytes) -> NDArray[np.float64]:
    """Evaluate ICC.1 10.18: y = (a x + b)^g + e above d, c x + f below; kinds omit some of the terms."""
    count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}[kind]
    given = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, a, b, c, d, e, f = given[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if kind in (1, 2):
        a, b = given[1:3]
        e = f = given[3] if kind == 2 else 0.0
        d = -b / a if a else 0.0
    elif kind >= 3:
        a, b, c, d = given[1:5]
        e, f = given[5:7] if kind == 4 else (0.0, 0.0)
    power = np.maximum(a * x + b, 0) ** gamma + e
    return np.clip(np.where(x >= d, power, c * x + f), 0, 1)
