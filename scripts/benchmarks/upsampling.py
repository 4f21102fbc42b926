"""Measure upsampling of ab to a photo's size: time, and distance to the photo's own colours."""

import functools
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import kornia
import numpy as np
import psutil
import torch
from shared import in_turn, ratio, table

from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.photo import Photo, open_photo
from cinn_colorize.imaging.upsampling import Upsampler

GRID, GUIDE, BAND = 64, 256, 2**19  # pixels of ab, of the guide, and of a band in which photos are composed
SIZES = (1, 4, 12)  # megapixels
LONGER_SIDE = 900  # of the photos on which colours are compared
WINDOW, SIGMA_L, SIGMA_PIXELS = 13, 5.0, 6.0  # of OpenCV's and kornia's joint bilateral filters
RADIUS, EPS = 16, 4.0  # of OpenCV's guided filter; eps in squared L*
OURS, KORNIA = "cinn-colorize, fast", "kornia joint_bilateral_blur"
XIMGPROC: Any = cv2.ximgproc  # type: ignore[attr-defined]  # of opencv-contrib
Upsampling = Callable[[Floats, Floats, Floats], Floats]  # of ab, guide and L at full size


def ours(method: str, ab: Floats, guide: Floats, L: Floats) -> Floats:
    height, width = L.shape
    upsampler = Upsampler(ab, guide, (height, width), method)
    full = np.empty((2, height, width), np.float32)
    rows = max(16, BAND // width)
    for y in range(0, height, rows):
        full[:, y : y + rows] = upsampler.rows(y, min(y + rows, height), L[y : y + rows])
    return full


def enlarged(ab: Floats, L: Floats) -> Floats:
    return np.stack([cv2.resize(plane, L.shape[::-1], interpolation=cv2.INTER_LINEAR) for plane in ab])


def joint_bilateral(ab: Floats, guide: Floats, L: Floats) -> Floats:
    filtered = XIMGPROC.jointBilateralFilter  # does not accept two planes at once
    return np.stack([filtered(L, plane, WINDOW, SIGMA_L, SIGMA_PIXELS) for plane in enlarged(ab, L)])


def guided(ab: Floats, guide: Floats, L: Floats) -> Floats:
    filtered = XIMGPROC.guidedFilter(L, np.moveaxis(enlarged(ab, L), 0, -1), RADIUS, EPS)
    return np.moveaxis(filtered, -1, 0)


def kornia_joint_bilateral(ab: Floats, guide: Floats, L: Floats) -> Floats:
    with torch.inference_mode():
        planes, by = torch.from_numpy(enlarged(ab, L))[None], torch.from_numpy(L)[None, None]
        sigmas = SIGMA_L, (SIGMA_PIXELS, SIGMA_PIXELS)
        blurred = kornia.filters.joint_bilateral_blur(planes, by, WINDOW, *sigmas)
    return np.asarray(blurred[0])


METHODS: dict[str, Upsampling] = {
    OURS: functools.partial(ours, "jbu"),
    "cinn-colorize, exact": functools.partial(ours, "exact"),
    f"OpenCV jointBilateralFilter, {WINDOW} px": joint_bilateral,
    f"OpenCV guidedFilter, radius {RADIUS}": guided,
    KORNIA: kornia_joint_bilateral,
}


def reduced(lab: Floats) -> tuple[Floats, Floats]:
    planes = [cv2.resize(plane, (GRID, GRID), interpolation=cv2.INTER_AREA) for plane in lab[1:]]
    return np.stack(planes), cv2.resize(lab[0], (GUIDE, GUIDE), interpolation=cv2.INTER_AREA)


def resized(photo: Photo, scale: float) -> Floats:
    return photo.lab(round(photo.height * scale), round(photo.width * scale))


def errors(photos: Iterable[Photo]) -> dict[str, float]:
    """Measure the mean distance in ab to the photos' own colours, by method."""
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for photo in photos:
        lab = resized(photo, LONGER_SIDE / max(photo.height, photo.width))
        ab, guide = reduced(lab)
        for name, method in METHODS.items():
            if name != KORNIA:  # the same as OpenCV's
                difference = method(ab, guide, lab[0]) - lab[1:]
                found[name].append(float(np.hypot(*difference).mean()))
    return {name: statistics.mean(values) for name, values in found.items() if values}


def report(paths: list[Path], repeats: int) -> str:
    """Return the table; the first photo is upsampled to each of the sizes."""
    photos = [open_photo(path) for path in paths]
    columns, missing = [], []
    for megapixels in SIZES:
        full = resized(photos[0], (megapixels * 1e6 / (photos[0].height * photos[0].width)) ** 0.5)
        given = *reduced(full), full[0]
        needed = 3 * 4 * WINDOW**2 * 3 * full[0].size  # bytes, for kornia: windows of all pixels
        ways = {name: functools.partial(method, *given) for name, method in METHODS.items()}
        if needed > 0.8 * psutil.virtual_memory().available:
            missing.append(f"{megapixels:g} MP (needs about {needed / 1e9:.0f} GB)")
            del ways[KORNIA]
        times = in_turn(ways, repeats if megapixels < 10 else max(1, repeats // 2))
        columns.append({name: statistics.median(values) for name, values in times.items()})
        ratios = {name: ratio(times, OURS, name) for name in ways}  # those of the last size are shown
    own = errors(photos)
    rows = []
    for name in METHODS:
        took = [f"{column[name]:.3f}" if name in column else "" for column in (*columns, ratios)]
        rows.append([name, *took, f"{own[name]:.2f}" if name in own else ""])
    head = ["", *(f"{size:g} MP, s" for size in SIZES), "speed at the largest size, ours = 1"]
    text = table([*head, "mean error, units of ab"], rows)
    if missing:
        text += f"\n\n- {KORNIA} does not fit into memory at {', '.join(missing)}"
    return text
