"""Hints on the grid of a photo's ab: where colours are wanted, which, and with what weight."""

import io
import itertools
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray
from PIL import ImageCms

from cinn_colorize.errors import MissingPhotoError, PhotoError, printable_name
from cinn_colorize.files.limits import read_file
from cinn_colorize.imaging import color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.options import MAX_PIXELS
from cinn_colorize.imaging.photo import Photo
from cinn_colorize.imaging.profiles import color_model
from cinn_colorize.imaging.reading import upright
from cinn_colorize.imaging.upsampling import GUIDE_SCALE, SIGMA_L, SIGMA_PIXELS
from cinn_colorize.latents.windows import Windows
from cinn_colorize.methods.base import check_shape
from cinn_colorize.methods.hint import METHOD, Hint, settings

_EDGE = 5.0  # standard deviation of the differences of L* that a hint spreads across
_REACH = 12.0  # how far a hint spreads where there is no edge, in pixels of the ab grid
_HELD = 1000.0  # rate at which a walker ends at a hint that it reaches
_CHROMA_SIZE = 64
_STROKES_SCALE = 4  # larger strokes are reduced to this many times the guide's grid
_SAME = 6.0  # difference of ab between neighbours of one stroke
_GRAY = 0.1  # chroma below which a hint is gray, and keeps its thing as it is
_TOUCHED = 0.1  # weight of a place that belongs to a stroke
_PALEST = 0.1  # saturation that hints make up for
_PAINTED = 16  # a place has full weight if 1/16 of it is painted, because strokes may be thin


class Wish(NamedTuple):
    """A colour wanted on the grid of a photo's ab."""

    weight: Floats  # (h, w); those of all wishes add up to that of the hints
    ab: Floats | None  # (2, h, w), in the gamut at each place; None to keep the colours there
    size: float = 1.0  # see :class:`.Hint`


@dataclass(frozen=True, eq=False)
class HintMap:
    """Hints on the grid of a photo's ab; made by :meth:`of`."""

    weight: Floats  # (h, w), 0 where there is no hint; adds up to 1 of a hint at a pixel, of paint to more
    reach: Floats  # how far hints reach, (h, w) in [0, 1]: weaker with distance, and hardly across edges of L
    ab: Floats  # colours that reach a place, (2, h, w), in the gamut at the photo's L with the saturation
    guide: Floats  # the photo's L*, (h, w)
    recipe: Mapping[str, str]  # entries of the hints in recipes
    wishes: Sequence[Wish] = ()  # the hints by their colours

    @classmethod
    def of(
        cls,
        photo: Photo,
        points: Sequence[Hint] = (),
        strokes: str | os.PathLike[str] | None = None,
        saturation: float = 1.0,
    ) -> "HintMap":
        """Bring hints to the grid of a photo's ab.

        A hint applies to the ab around it in proportion to what the upsampling takes from each for the hint's
        pixel. ``strokes`` is a picture of the photo's shape and any size, transparent where there is no hint;
        the hints are to be met after the ``saturation`` of the rendering. A PhotoError if a point lies
        outside the photo or in its frame, or the strokes cannot be read, have another shape, or are
        transparent or opaque all over; a ValueError without hints.
        """
        if not points and strokes is None:
            raise ValueError("give at least one hint")
        strokes = None if strokes is None else Path(strokes)
        windows = Windows.of(*photo.inside.size)
        height, width = windows.size(_CHROMA_SIZE)
        size = (GUIDE_SCALE * height, GUIDE_SCALE * width)
        paint = _points(photo, points, size)
        if strokes is not None:
            painted = _strokes(photo, strokes, size)
            paint = _Paint(*(np.concatenate([one, other]) for one, other in zip(paint, painted, strict=True)))
        guide = photo.luminance(height, width)
        ab = color.srgb_to_lab(paint.rgb).T[1:]
        total = np.zeros((3, height * width), np.float32)
        labels, kinds = _by_color(ab.T, paint.size)
        by_color = np.zeros((len(kinds), height * width), np.float32)
        for index, share in _taps(paint, photo.luminance(*size)[paint.y, paint.x], guide):
            for plane, values in zip(total, (np.ones_like(share), *ab), strict=True):
                np.add.at(plane, index, share * paint.weight * values)
            np.add.at(by_color, (labels, index), share * paint.weight)
        weight, *weighted = total.reshape(3, height, width)
        hinted = np.stack(weighted) / np.maximum(weight, 1e-6)
        reach, *reaching = _spread(weight, guide, np.concatenate([np.ones_like(weight)[None], hinted]))
        wanted = np.stack(reaching) / np.maximum(reach, 1e-12)
        palest = np.float32(max(saturation, _PALEST))
        wanted = color.reduce_chroma(guide, wanted) / palest
        wishes = [
            Wish(
                of_color.reshape(height, width),
                color.reduce_chroma(guide, np.broadcast_to(one[:, None, None], (2, height, width))) / palest
                if np.hypot(*one) > _GRAY
                else None,
                size,
            )
            for of_color, (one, size) in zip(by_color, kinds, strict=True)
        ]
        recipe = {"method": METHOD, **settings(points, strokes)}
        return cls(weight, reach, wanted, guide, recipe, wishes)

    def spread(self, colors: Sequence[Floats]) -> Floats:
        """Spread k colours at the hints, (2, h, w), to what no edge of L separates from them: (k, 2, h, w).

        They get weaker with distance; only those at the hints count.
        """
        planes = np.concatenate(colors)
        return _spread(self.weight, self.guide, planes).reshape(-1, 2, *self.guide.shape)

    def strokes(self) -> NDArray[np.intp]:
        """Label the strokes, (h, w): painted neighbours of nearly one colour have one label."""
        i, j = neighbours(self.guide.shape)
        a, b = self.ab.reshape(2, -1)
        painted = self.weight.ravel() > _TOUCHED
        one = painted[i] & painted[j] & (np.hypot(a[i] - a[j], b[i] - b[j]) < _SAME)
        graph = scipy.sparse.coo_array((one[one], (i[one], j[one])), (a.size, a.size))
        _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
        return labels.reshape(self.guide.shape)


def read_strokes(path: Path) -> PIL.Image.Image:
    """Read a picture of strokes: upright, RGBA, in sRGB; PhotoError if it cannot be read."""
    name = printable_name(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from Pillow, about sizes
            with PIL.Image.open(io.BytesIO(read_file(path, MAX_PIXELS))) as file:
                return _in_srgb(upright(file).convert("RGBA"), file.info.get("icc_profile") or b"")
    except FileNotFoundError:
        raise MissingPhotoError(f"{name}: no such file of hints") from None
    except PIL.UnidentifiedImageError:
        raise PhotoError(f"{name}: hints cannot be read: not a picture in a known format") from None
    except PIL.Image.DecompressionBombError:  # from about 179 million pixels on
        raise PhotoError(f"{name}: hints are too large to be read; save the layer smaller") from None
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error  # without the name
        raise PhotoError(f"{name}: hints cannot be read: {reason}") from None


def _in_srgb(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    """Convert RGBA of an RGB profile; others, and damaged ones, are taken for sRGB."""
    if color_model(profile) != "RGB":
        return image
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        colors = ImageCms.profileToProfile(image.convert("RGB"), source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    assert colors  # None only where it converts in place
    colors.putalpha(image.getchannel("A"))
    return colors


class _Paint(NamedTuple):
    """Places on a grid over a photo, each with a colour and a weight."""

    y: NDArray[np.intp]
    x: NDArray[np.intp]
    rgb: Floats  # (n, 3), sRGB in [0, 1]
    weight: Floats
    size: Floats  # see :class:`.Hint`


def _points(photo: Photo, points: Sequence[Hint], size: tuple[int, int]) -> _Paint:
    box = photo.inside
    for point in points:
        if point.x >= photo.width or point.y >= photo.height:
            pixels = f"{photo.width}x{photo.height} pixels"
            raise PhotoError(f"{photo.name}: the hint {point} lies outside its {pixels}")
        if not (box.left <= point.x < box.right and box.top <= point.y < box.bottom):
            problem = f"the hint {point} lies in the frame around the picture, {box}"
            advice = "move it, or take the photo as a whole (--frame none)"
            raise PhotoError(f"{photo.name}: {problem}; {advice}")
    placed = list[tuple[int, int, float, Hint]]()
    for point in points:
        y = _around(point.y - box.top, size[0], box.size[0])
        x = _around(point.x - box.left, size[1], box.size[1])
        placed += [(*cell, 1 / (len(y) * len(x)), point) for cell in itertools.product(y, x)]
    y_of, x_of = np.array([cell[:2] for cell in placed], np.intp).reshape(-1, 2).T
    colors = np.array([point.rgb for *_, point in placed], np.float32).reshape(-1, 3) / np.float32(255)
    weight, sizes = np.array([(w, point.size) for *_, w, point in placed], np.float32).reshape(-1, 2).T
    return _Paint(y_of, x_of, colors, weight, sizes)


def _by_color(ab: Floats, size: Floats) -> tuple[NDArray[np.intp], list[tuple[Floats, float]]]:
    """Label places (n, 2) by their colour and size, gray ones apart; return the labels and both of each."""
    key = np.column_stack([ab, 1000 * (np.hypot(*ab.T) <= _GRAY), 1000 * np.log(size)])
    labels, kinds = np.full(len(ab), -1), list[tuple[Floats, float]]()
    while (left := np.flatnonzero(labels < 0)).size:
        like = left[np.linalg.norm(key[left] - key[left[0]], axis=1) < _SAME]
        labels[like] = len(kinds)
        kinds.append((ab[like].mean(0), float(size[like[0]])))
    return labels, kinds


def _around(pixel: int, size: int, full: int) -> list[int]:
    """Return the cell of ``size`` that has the middle of a pixel of ``full``, or the two beside it."""
    middle = (2 * pixel + 1) * size
    return sorted({(middle - 1) // (2 * full), middle // (2 * full)})


def _strokes(photo: Photo, path: Path, size: tuple[int, int]) -> _Paint:
    name, image = printable_name(path), read_strokes(path)
    check_shape(name, image.size, photo, "hints")
    if photo.frame:
        box = photo.frame.scaled((photo.height, photo.width), (image.height, image.width))
        image = image.crop((box.left, box.top, box.right, box.bottom))
    height, width = (_STROKES_SCALE * s for s in size)
    if image.width > width:
        image = image.resize((width, height), PIL.Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32)
    alpha = pixels[..., 3:] / 255
    if not alpha.any():
        where = "all over the picture in its frame" if photo.frame else "all over"
        raise PhotoError(f"{name}: is transparent {where}; paint colours where you want them")
    if alpha.all():
        raise PhotoError(f"{name}: has no transparent places; leave out the photo and save the strokes alone")
    premultiplied = np.concatenate([alpha * pixels[..., :3] / 255, alpha], axis=2)
    reduced = cv2.resize(premultiplied, size[::-1], interpolation=cv2.INTER_AREA)
    y, x = np.nonzero(reduced[..., 3] > 0)
    found = np.asarray(reduced[y, x], np.float32)
    weight = np.minimum(_PAINTED * found[:, 3], 1)
    return _Paint(y, x, found[:, :3] / found[:, 3:], weight, np.ones_like(weight))


def _taps(paint: _Paint, L: Floats, guide: Floats) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Yield what joint bilateral upsampling takes for places with L* ``L`` from the 3x3 pixels around each.

    Nine times, index (n,) into the pixels of ``guide`` and weights (n,).
    """
    height, width = guide.shape
    taps = []
    for offset in np.ndindex(3, 3):
        y, x = paint.y // GUIDE_SCALE + offset[0] - 1, paint.x // GUIDE_SCALE + offset[1] - 1
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clip(0, height - 1), x.clip(0, width - 1)
        away = ((paint.y + 0.5) / GUIDE_SCALE - y - 0.5) ** 2 + ((paint.x + 0.5) / GUIDE_SCALE - x - 0.5) ** 2
        similar = np.exp(-0.5 * ((L - guide[y, x]) / SIGMA_L) ** 2) + 1e-12
        taps.append((y * width + x, inside * similar * np.exp(-0.5 * away / SIGMA_PIXELS**2)))
    total = sum(weight for _, weight in taps)
    for index, weight in taps:
        yield index, (weight / total).astype(np.float32)


def _spread(weight: Floats, guide: Floats, planes: Floats) -> Floats:
    """Spread what planes hold at hints, weaker with distance, to what no edge of L separates from them.

    A random walker starts at a pixel, steps to one of its eight neighbours, rarely across an edge, and
    occasionally gets lost. A pixel receives what is at the hint where the walker ends, on average, and
    nothing for walkers that are lost (after Grady 2006, https://doi.org/10.1109/TPAMI.2006.233). Weights of
    hints and L* are (h, w), planes (k, h, w).
    """
    n, L = guide.size, guide.ravel().astype(np.float64)
    i, j = neighbours(guide.shape)
    step = np.exp(-0.5 * ((L[i] - L[j]) / _EDGE) ** 2)
    steps = scipy.sparse.coo_array((np.tile(step, 2), (np.append(i, j), np.append(j, i))), (n, n))
    arriving = _HELD * weight.ravel().astype(np.float64)
    leaving = steps.sum(axis=1) + 1 / _REACH**2 + arriving
    system = (scipy.sparse.diags_array(leaving) - steps).tocsc()
    spread = scipy.sparse.linalg.splu(system).solve((arriving * planes.reshape(-1, n)).T)
    return np.asarray(spread.T.reshape(planes.shape), np.float32)


def neighbours(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of both pixels of all pairs of neighbours, each of which has eight."""
    index = np.arange(np.prod(shape)).reshape(shape)
    starts = [index[:, 1:], index[1:], index[1:, 1:], index[1:, :-1]]
    ends = [index[:, :-1], index[:-1], index[:-1, :-1], index[:-1, 1:]]
    i, j = (np.concatenate([part.ravel() for part in parts]) for parts in (starts, ends))
    return i, j
