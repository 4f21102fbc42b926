"""A photo file and the pictures made from it.

A :class:`Photo` is read twice, each time in bands of rows: once for the network's reduced Lab, once to
compose the pictures at full size. These differ from the photo only in colour: size, depth, alpha, EXIF, ICC
profile and resolution stay; the orientation is applied. Of a scan with a frame, the network sees the inside,
and the frame stays gray.
"""

import copy
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import PIL.Image

from cinn_colorize.errors import PhotoError as PhotoError
from cinn_colorize.errors import printable_name
from cinn_colorize.files.atomic import PUBLIC, mode_like
from cinn_colorize.files.formats import FORMATS
from cinn_colorize.imaging import color, vips
from cinn_colorize.imaging.bands import NETWORK_SIZE, Bands
from cinn_colorize.imaging.color import SRGB, Floats, Pixels, RGBSpace
from cinn_colorize.imaging.frame import SIZE, find_picture
from cinn_colorize.imaging.metadata import find_recipe, problem_of
from cinn_colorize.imaging.options import MAX_PIXELS, Box, parse_frame, whole_number
from cinn_colorize.imaging.picture import Picture, canvas, fitted
from cinn_colorize.imaging.profiles import color_model, space_of
from cinn_colorize.imaging.reading import (
    PhotoSource,
    array_of,
    file_of,
    from_pillow,
    in_memory,
    opened,
    reader,
)
from cinn_colorize.imaging.vips import Metadata, raising_photo_errors

log = logging.getLogger(__name__)

_NOTABLE_CHROMA = 6.0  # of a colour photo; JPEG leaves less in gray ones


class Rows(Protocol):
    """A source of full-size ab, band by band; see :class:`cinn_colorize.imaging.upsampling.Upsampler`."""

    def rows(self, y0: int, y1: int, L: Floats) -> Floats:
        """Return ab (2, y1 - y0, W) of rows ``y0`` to ``y1`` (exclusive), whose L* is ``L`` (y1 - y0, W)."""


class Photo:
    """A photo to be colorized; made by :func:`open_photo`.

    Attributes:
        name: the photo's name in messages.
        suffix: suffix of the file format, such as ``.jpg``; empty for arrays.
        width: in pixels, orientation applied.
        height: in pixels, orientation applied.
        bit_depth: 8 or 16 bits per channel.
        pages: number of pages or frames of the file.
        page: which of them the photo is, from 1.
        together: number of pages, from this one on, whose pictures are to be one file.
        is_bilevel: whether its pixels have 1 bit, black or white.
        source: the file's path or content; None for arrays and Pillow images.
        mode: permission bits of files made from the photo, which are not more readable than its own.
        frame: where the picture lies inside the frame of a scan, see :meth:`framed`; None without a frame.
    """

    def __init__(
        self,
        read: Callable[[], vips.Image],
        name: str,
        suffix: str = "",
        blobs: Mapping[str, bytes] | None = None,
        source: Path | bytes | None = None,
        page: int = 1,
    ) -> None:
        """Read the header; a PhotoError if it cannot be read.

        ``read`` opens the photo as :func:`.vips.open_image` does; ``blobs`` are metadata that it does not
        return, by libvips' field names.
        """
        self.name, self.suffix, self.source, self.page = name, suffix, source, page
        self.mode = mode_like(source) if isinstance(source, Path) else PUBLIC
        self.together = 1
        self.frame: Box | None = None
        self._whole: Photo | None = None
        with raising_photo_errors(name):
            image = read()
            self.width, self.height = int(image.width), int(image.height)
            self.bit_depth = 16 if vips.is_deep(image) else 8
            self.pages, self.is_bilevel = vips.pages(image), vips.is_bilevel(image)
            self._has_alpha = bool(image.hasalpha())
            self._is_gray = image.bands - self._has_alpha == 1
            self._metadata = Metadata.of(image).with_blobs(blobs or {})
        self._check_xmp()
        space, self._output_space = self._spaces()
        file = source if suffix.lower() in FORMATS["jpg"] else None
        self._bands = Bands(read, name, space, self._is_gray, self._has_alpha, file)

    def _check_xmp(self) -> None:
        if problem := problem_of(self._metadata.blob("xmp-data")):
            log.warning("%s: its XMP %s, and is left out", self.name, problem)
            self._metadata = self._metadata.without("xmp-data")

    def _spaces(self) -> tuple[RGBSpace, RGBSpace]:
        """Return the spaces of the photo and of its pictures; these get its profile, or that of sRGB."""
        profile = self._metadata.blob("icc-profile-data")
        space = space_of(profile)
        if space and color_model(profile) == "RGB":
            return space, space
        if profile:  # a gray one, or one that does not fit
            self._metadata = self._metadata.with_blobs({"icc-profile-data": vips.srgb_profile()})
            if space and self._is_gray:
                return space, SRGB
        return SRGB, SRGB

    @property
    def inside(self) -> Box:
        """Where the picture lies: inside the frame, or everywhere."""
        return self.frame or Box(0, 0, self.width, self.height)

    @property
    def whole(self) -> "Photo":
        """The photo with its frame as part of the picture; itself if it has no frame."""
        return self._whole or self

    @property
    def picture_bytes(self) -> int:
        """Bytes of a picture of this photo, in memory or on disk."""
        return self.height * self.width * (3 + self._has_alpha) * self.bit_depth // 8

    @property
    def has_pages(self) -> bool:
        """Whether its format is one whose pages can be chosen."""
        return self.suffix.lower() in FORMATS["tiff"]

    def log_notes(self, *, pages_chosen: bool = False) -> None:
        """Log what users may not know of the photo; if they have chosen pages, they know of others."""
        if self.pages > 1 and not pages_chosen:
            hint = "; colorize --pages all takes all" if self.has_pages else ""
            log.info("%s has %s pages or frames; the first is used%s", self.name, self.pages, hint)
        if self.is_bilevel:
            advice = "scan it in grays for better colours"
            log.info("%s is black and white without grays (1 bit); %s", self.name, advice)
        if self.is_color:
            log.info("%s is in colour; only its luminance is used", self.name)

    @property
    def recipe(self) -> dict[str, str]:
        """The recipe that :meth:`Picture.save` wrote into the file; empty if there is none."""
        return find_recipe(self._metadata.blob("xmp-data"))

    @property
    def is_color(self) -> bool:
        """Whether the picture has a notable chroma anywhere; a frame does not count."""
        return not self._is_gray and bool((np.hypot(*self.lab(64, 64)[1:]) > _NOTABLE_CHROMA).any())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal digits; empty for arrays and Pillow images."""
        if self.source is None:
            return ""
        with raising_photo_errors(self.name), opened(self.source) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def framed(self, frame: str | Iterable[int] | Box = "auto") -> "Photo":
        """Return the photo with a frame, which :meth:`lab` leaves out and :meth:`compose` leaves gray.

        ``auto`` finds the frame, if there is one; ``none`` takes the photo as a whole; otherwise these are
        left, top, right and bottom of the picture inside, in pixels, see :func:`parse_frame`. A PhotoError if
        that would not lie inside the photo, or the file is damaged.
        """
        box: Box | str | None = parse_frame(frame)
        if box == "auto":
            # Most photos have no frame, and need the network's copy next.
            is_large = min(self.height, self.width) >= NETWORK_SIZE
            sizes = [fitted(self.height, self.width, SIZE), *[(NETWORK_SIZE, NETWORK_SIZE)] * is_large]
            small = self._bands.reduced(self.whole.inside, *sizes)[0]
            box = find_picture(small[0], (self.height, self.width))
        if not isinstance(box, Box):
            return self.whole
        if box.right > self.width or box.bottom > self.height:
            size = f"{self.width}x{self.height} pixels"
            raise PhotoError(f"{self.name}: the picture inside the frame, {box}, exceeds its {size}")
        return self._within(box)

    def framed_as(self, other: "Photo") -> "Photo":
        """Return the photo, which shows the same as another at any size, with the frame of that one."""
        if other.frame is None:
            return self.whole
        return self._within(other.frame.scaled((other.height, other.width), (self.height, self.width)))

    def lab(self, height: int, width: int) -> Floats:
        """Return the whole picture squeezed to ``height`` x ``width``, as Lab (3, height, width).

        A pixel is the mean Lab of the area it covers; a smaller picture is enlarged. A frame is left out, and
        transparent places are white. A PhotoError if the file is damaged.
        """
        (lab,) = self._bands.reduced(self.inside, (height, width))
        return lab

    def luminance(self, height: int, width: int) -> Floats:
        """Return L* (height, width) of :meth:`lab`, in [0, 100] whatever its ICC profile gives."""
        return np.clip(self._bands.reduced(self.inside, (height, width))[0][0], 0, 100)

    def thumbnail(self, size: int) -> PIL.Image.Image:
        """Return the photo and its frame, in 8-bit sRGB on white, its longer side at most ``size`` pixels."""
        (lab,) = self._bands.reduced(self.whole.inside, fitted(self.height, self.width, size))
        return PIL.Image.fromarray(color.compose(lab[0], lab[1:], depth=8))

    def small(self, size: int) -> "Photo":
        """Return :meth:`thumbnail` as a photo, with the same frame."""
        return open_photo(self.thumbnail(size)).framed_as(self)

    def compose(self, upsamplers: Sequence[Rows]) -> list[Picture]:
        """Give the photo's luminance the colours of each upsampler, in one pass through the file.

        These are of the size of :attr:`inside`; a frame gets no colours. Large pictures are backed by
        temporary files as long as they exist. A PhotoError if the file is damaged, or the disk has no space.
        """
        dtype = np.uint8 if self.bit_depth == 8 else np.uint16
        shape, box = (self.height, self.width), self.inside
        try:
            canvases = [canvas((*shape, 3), dtype) for _ in upsamplers]
            alpha = canvas(shape, dtype) if self._has_alpha else None
        except OSError as error:
            problem = f"no space for its pictures in the temporary folder ({error.strerror})"
            raise PhotoError(f"{self.name}: {problem}; free some, or set TMPDIR to another folder") from None

        def fill(y0: int, pixels: Pixels) -> None:
            L = self._bands.luminance(pixels)
            y1 = y0 + len(L)
            if alpha is not None:
                alpha[y0:y1] = pixels[..., -1]
            if self.frame:
                gray = color.compose_gray(L, self.bit_depth, self._output_space)
                for rgb in canvases:
                    rgb[y0:y1] = gray
            top, bottom = max(y0, box.top), min(y1, box.bottom)
            if top >= bottom:
                return
            part = np.ascontiguousarray(L[top - y0 : bottom - y0, box.left : box.right])
            for upsampler, rgb in zip(upsamplers, canvases, strict=True):
                ab = upsampler.rows(top - box.top, bottom - box.top, part)
                pixels_inside = color.compose(part, ab, self.bit_depth, self._output_space)
                rgb[top:bottom, box.left : box.right] = pixels_inside

        for _ in self._bands.each(fill):
            pass
        return [Picture(rgb, alpha, self._metadata, self._output_space, self.mode) for rgb in canvases]

    def _within(self, frame: Box) -> "Photo":
        if frame == self.whole.inside:
            return self.whole
        photo = copy.copy(self.whole)
        photo.frame, photo._whole = frame, self.whole
        return photo


def open_photo(
    source: PhotoSource, *, max_pixels: int = MAX_PIXELS, name: str | None = None, page: int = 1
) -> Photo:
    """Open a photo; its pixels are read later.

    Args:
        source: path or content of a file; a binary file, which is read from its position on; Pillow image;
            sRGB array (H, W), (H, W, 3) or (H, W, 4); or sRGB tensor with channels first, (H, W), (3, H, W)
            or (4, H, W). Arrays and tensors are uint8, uint16, floats in [0, 1], or bool.
        max_pixels: limit of its pixels, and of its file; see :mod:`cinn_colorize.files.limits`.
        name: the photo's name in messages; by default, that of the file.
        page: which page of a TIFF to open, from 1.

    A MissingPhotoError, which is a FileNotFoundError too, if there is no such file; a PhotoError if it cannot
    be read, or has fewer pages; a TypeError or ValueError if ``source`` is nothing of this.
    """
    page = whole_number(page, "page", 1)
    if array := array_of(source):
        return Photo(in_memory(array), name or "array")
    if isinstance(source, PIL.Image.Image):
        name = name or printable_name(getattr(source, "filename", "")) or "image"
        try:
            decoded = from_pillow(source)
            return Photo(in_memory(decoded), name, blobs=decoded.blobs)
        except (OSError, ValueError, SyntaxError) as error:  # Pillow reads its file only now
            raise PhotoError(f"{name}: cannot be read: {error}") from None
    file = file_of(source, name, max_pixels)
    try:
        with raising_photo_errors(file.name):
            read, blobs = reader(file.content, file.format, max_pixels, page)
        return Photo(read, file.name, file.suffix, blobs, file.content, page)
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError(f"{file.name}: cannot be read: {error}") from None


def read_recipe(
    path: str | os.PathLike[str], page: int = 1, *, max_pixels: int = MAX_PIXELS
) -> dict[str, str]:
    """Return the recipe that :meth:`Picture.save` wrote into a page of a file; empty if there is none.

    A PhotoError if the file cannot be read, has more pixels than ``max_pixels``, or has fewer pages.
    """
    return open_photo(path, max_pixels=max_pixels, page=page).recipe


def recipe_at(path: Path, max_pixels: int = MAX_PIXELS, page: int = 1) -> dict[str, str]:
    """Return the recipe in a file; empty if this program did not make it, or it cannot be read."""
    try:
        return read_recipe(path, page, max_pixels=max_pixels)
    except PhotoError:
        return {}
