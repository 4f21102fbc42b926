"""Motion between two frames of a gray film: flows, what they bring, and what both frames show.

A frame is its L, (S, S) uint8, L* x 2.55. A flow (S/2, S/2, 2) tells where the places of one frame are in
another: how far to the right and down, in cells of this grid. It is found by dense inverse search, Kroeger et
al. 2016 (https://arxiv.org/abs/1603.03590), which ends at half the size of a frame as well.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.imaging.color import Floats

Frame = NDArray[np.uint8]
Checks = tuple[float, float, float, int]

SIZE = 256  # side of the frames that the network sees
GRID = SIZE // 2  # side of their flows

# How well frames must agree to show a place: the way there and back ends as near, as a share of the side, at
# rest, or as a share of the way; L differs by no more, of 255, as the mean over so many cells squared.
STRICT = 1 / 64, 0.3, 12, 5  # tells cuts
LENIENT = 1 / 32, 0.5, 20, 9  # brings colours: what is lost by a stricter one flickers


def lightness_of(frame: NDArray[np.generic]) -> Floats:
    """Return the L* of a frame, of any size, in [0, 100]."""
    return frame.astype(np.float32) / np.float32(2.55)


def flow(here: Frame, there: Frame) -> Floats:
    """Find where the places of one frame are in another one."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = search.calc(here, there, np.zeros((*here.shape, 2), np.float32))
    return reduced(found) * np.float32(0.5)


def reduced(values: NDArray[np.generic]) -> Floats:
    """Return values (S, S, ...) at the places of flows, (S/2, S/2, ...)."""
    half = values.shape[1] // 2, values.shape[0] // 2
    return np.asarray(cv2.resize(values.astype(np.float32), half, interpolation=cv2.INTER_AREA))


def brought(values: Floats, flow: Floats) -> Floats:
    """Return values of another frame, (s, s) or (s, s, C), at the places of this one."""
    x, y = _places(len(flow))
    x, y = x + flow[..., 0], y + flow[..., 1]
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def joined(first: Floats, second: Floats) -> Floats:
    """Join the flow from a frame to a second one with that from the second to a third."""
    return first + brought(second, first)


def motion(here: Floats, there: Floats, to_there: Floats, to_here: Floats, check: Checks = LENIENT) -> Floats:
    """Return a flow and how surely both frames show its places, 0 to 1, as (s, s, 3).

    They do where the place is inside both, the way there and back ends where it began, and L is the same but
    for what changes the whole frame, such as flashes and fades. ``here`` and ``there`` are L of the frames at
    the places of the flow, (s, s).
    """
    size, (close, of_length, alike, around) = len(to_there), check
    x, y = _places(size)
    x, y = x + to_there[..., 0], y + to_there[..., 1]
    back = brought(to_here, to_there)
    apart = np.square(to_there + back).sum(-1)
    lengths = np.square(to_there).sum(-1) + np.square(back).sum(-1)
    seen = apart < (close * size) ** 2 + of_length**2 * lengths
    seen &= (x >= -0.5) & (x <= size - 0.5) & (y >= -0.5) & (y <= size - 0.5)
    change = _in_light_of(here, brought(there, to_there), seen) - here
    seen &= np.abs(cv2.blur(change, (around, around))) < alike
    return np.dstack([to_there, cv2.blur(seen.astype(np.float32), (around, around))])


def followed(values: Floats, motion: Floats) -> Floats:
    """Return values (s, s, C) of another frame at the places of this one, 0 where it does not show them."""
    return motion[..., 2:] * brought(values, motion[..., :2])


def shared(here: Frame, there: Frame) -> float:
    """Return the share of places that two frames both show."""
    found = motion(reduced(here), reduced(there), flow(here, there), flow(there, here), STRICT)
    return float(found[..., 2].mean())


@cache
def _places(size: int) -> tuple[Floats, Floats]:
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    return x, y


def _in_light_of(here: Floats, there: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Give L of another frame the mean and the contrast of this one."""
    if not seen.any():
        return there
    one, other = here[seen], there[seen]
    contrast = np.clip((one.std() + 1) / (other.std() + 1), 0.5, 2)
    return np.asarray((there - other.mean()) * contrast + one.mean(), np.float32)
