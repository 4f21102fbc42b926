"""Gray worlds, and what a camera sees of them."""

import cv2
import numpy as np

from cinn_colorize.film.motion import SIZE


def texture(seed=0, size=2 * SIZE):
    """A gray picture with detail of several sizes."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (n, n)), (size, size), interpolation=cv2.INTER_CUBIC)
        for n in (9, 33, 129)
    ]
    return np.clip(np.mean(layers, 0) * 1.5 - 64, 0, 255).astype(np.uint8)


def view(world, x, y=0):
    """What a camera sees of it."""
    return np.ascontiguousarray(world[y : y + SIZE, x : x + SIZE])
