"""Measure 8-bit sRGB to Lab in single precision, and back to 8 bits."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import kornia
import numpy as np
import skimage.color
import torch
from numpy.typing import NDArray
from tables import Report, table
from timing import in_turn, ratio

from cinn_colorize.imaging import color

OURS = "cinn-colorize"
MEGAPIXELS = 4
BAND = 2**19  # pixels of a band in which photos are composed
Pixels = NDArray[Any]  # (H, W, 3) uint8
Lab = NDArray[Any]  # (H, W, 3); ours and kornia's (3, H, W)


def our_lab(rgb: Pixels) -> Lab:
    lab = np.empty((3, *rgb.shape[:2]), np.float32)
    for rows in bands(rgb):
        lab[:, rows] = color.pixels_to_lab(rgb[rows])
    return lab


def our_pixels(lab: Lab) -> Pixels:
    rgb = np.empty((*lab.shape[1:], 3), np.uint8)
    for rows in bands(rgb):
        rgb[rows] = color.compose(lab[0, rows], lab[1:, rows], depth=8)
    return rgb


def bands(rgb: Pixels) -> list[slice]:
    rows = max(16, BAND // rgb.shape[1])
    return [slice(y, y + rows) for y in range(0, len(rgb), rows)]


def to_bytes(rgb: Lab) -> Pixels:
    """Round floats in [0, 1] to code values."""
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def opencv_lab(rgb: Pixels) -> Lab:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def kornia_lab(rgb: Pixels) -> Lab:
    with torch.inference_mode():
        planes = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
        return kornia.color.rgb_to_lab(planes).numpy()


def kornia_pixels(lab: Lab) -> Pixels:
    with torch.inference_mode():
        rgb = kornia.color.lab_to_rgb(torch.from_numpy(lab))
        return (rgb * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


WAYS: dict[str, tuple[Callable[[Pixels], Lab], Callable[[Lab], Pixels]]] = {
    OURS: (our_lab, our_pixels),
    "scikit-image": (skimage.color.rgb2lab, lambda lab: to_bytes(skimage.color.lab2rgb(lab))),
    "OpenCV": (opencv_lab, lambda lab: to_bytes(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))),
    "kornia": (kornia_lab, kornia_pixels),
}


def report(photo: Path, repeats: int) -> Report:
    """Measure all libraries and return the table."""
    whole: Pixels = cv2.imread(str(photo), cv2.IMREAD_COLOR_RGB)  # type: ignore[assignment]
    scale = (MEGAPIXELS * 1e6 / whole[..., 0].size) ** 0.5
    rgb = cv2.resize(whole, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    exact = skimage.color.rgb2lab(rgb.astype(np.float64) / 255)
    labs = {name: there(rgb) for name, (there, _) in WAYS.items()}
    there = in_turn({name: functools.partial(way[0], rgb) for name, way in WAYS.items()}, repeats)
    back = in_turn({name: functools.partial(way[1], labs[name]) for name, way in WAYS.items()}, repeats)
    size = rgb[..., 0].size / 1e6
    rows = []
    for name, (_, to_pixels) in WAYS.items():
        lab = labs[name] if labs[name].shape == exact.shape else np.moveaxis(labs[name], 0, -1)
        changed = (to_pixels(labs[name]) != rgb).mean()
        rows.append(
            [
                name,
                f"{1e3 * statistics.median(there[name]) / size:.1f}",
                f"{ratio(there, OURS, name):.2f}",
                f"{1e3 * statistics.median(back[name]) / size:.1f}",
                f"{ratio(back, OURS, name):.2f}",
                f"{np.abs(lab - exact).max():.4f}",
                f"{100 * changed:.2f}",
            ]
        )
    head = ["", "to Lab, ms/MP", "speed, ours = 1", "to 8 bits, ms/MP", "speed, ours = 1"]
    summary = []
    for what, times in (("sRGB to Lab", there), ("Lab to 8-bit sRGB", back)):
        speed = {name: 1e3 * statistics.median(values) / size for name, values in times.items()}
        for name in WAYS:
            if name != OURS:
                ours, peer = (f"{speed[way]:.0f} ms/MP" for way in (OURS, name))
                summary.append([what, ours, name, peer, f"{ratio(times, name, OURS):.2f}"])
    text = table([*head, "largest error of Lab", "values that change there and back, %"], rows)
    return Report(text, summary)
