"""A photo file and the pictures made from it; the only user of pyvips.

A :class:`Photo` is read twice, each time in bands of rows: once for the network's reduced Lab, once to
compose the pictures at full size. The pictures differ from the photo in color only: size, depth, alpha, EXIF,
ICC profile and resolution stay, the orientation of EXIF is applied. TIFF keeps no EXIF, since libvips neither
reads nor writes it there.

A profile made of lookup tables can't be brought to linear light here without clipping; such photos are
brought to sRGB by libvips and their pictures are sRGB, as those of CMYK photos.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import PIL.Image
import pyvips
from numpy.typing import NDArray

from cinn_colorize import color
from cinn_colorize.arrays import as_pixels, pillow_pixels
from cinn_colorize.color import SRGB, Floats, Pixels
from cinn_colorize.errors import PhotoError as PhotoError
from cinn_colorize.files import FORMATS, format_of_content, format_of_name, printable_name, replacing
from cinn_colorize.files import SUFFIXES as SUFFIXES
from cinn_colorize.metadata import add_recipe, find_recipe
from cinn_colorize.profiles import color_model, space_of

pyvips.block_untrusted_set(True)
pyvips.cache_set_max(0)  # no operation comes twice, and the cache would keep whole pictures alive

T = TypeVar("T")

_KEPT = ("exif-", "xmp-data", "iptc-data", "icc-profile-data", "photoshop-data", "resolution-unit")
_NETWORK_SIZE = 256
_BAND = 2**19  # pixels of a band
_NOTABLE_CHROMA = 6.0  # of a color photo; what JPEG leaves in gray ones is less
_WORKERS = min(8, os.cpu_count() or 1)


class Rows(Protocol):
    """What gives full-size ab band by band, see :class:`cinn_colorize.upsampling.Upsampler`."""

    def rows(self, y0: int, y1: int, L: Floats) -> Floats:
        """The ab (2, y1 - y0, W) of the rows ``y0`` to ``y1`` with ``L`` (y1 - y0, W)."""


class Photo:
    """A photo to be colorized; made by :func:`open_photo`.

    Attributes:
        name: for messages.
        suffix: of the file format, as ``.jpg``; empty for arrays.
        width: in pixels, orientation applied.
        height: in pixels, orientation applied.
        bit_depth: 8 or 16 bits per channel.
    """

    def __init__(self, read: Callable[[], pyvips.Image], name: str, suffix: str = "") -> None:
        """Take the header.

        Args:
            read: gives the photo from its first row on, upright, uchar or ushort, gray or RGB, maybe with
                alpha.
            name: for messages.
            suffix: of the file format.

        Raises:
            PhotoError: the photo can't be read.
        """
        self.name, self.suffix, self._read = name, suffix, read
        with _reported(name):
            image = read()
            self.width, self.height = int(image.width), int(image.height)
            self.bit_depth = 8 if image.format == "uchar" else 16
            self._has_alpha = bool(image.hasalpha())
            self._is_gray = image.bands - self._has_alpha == 1
            self._metadata = _metadata(image)
            self._resolution = (image.xres, image.yres)
        self._space = self._output_space = SRGB
        kind, profile = self._metadata.get("icc-profile-data", (0, b""))
        space = space_of(profile)
        if space and color_model(profile) == "RGB":
            self._space = self._output_space = space
        elif profile:  # of gray, or none that fits
            if space and self._is_gray:
                self._space = space
            self._metadata["icc-profile-data"] = kind, _srgb_profile()

    @cached_property
    def is_color(self) -> bool:
        """Whether some place of the photo has a notable chroma."""
        return not self._is_gray and bool((np.hypot(*self.lab(64, 64)[1:]) > _NOTABLE_CHROMA).any())

    def lab(self, height: int, width: int) -> Floats:
        """The whole photo squeezed to ``height`` times ``width``, as Lab (3, height, width).

        A pixel is the mean Lab of the area it covers; a photo that is smaller is enlarged.

        Raises:
            PhotoError: the file is damaged.
        """
        if min(self.height, self.width) < _NETWORK_SIZE or _NETWORK_SIZE % height or _NETWORK_SIZE % width:
            return self._reduced(height, width)
        blocks = self._network_lab.reshape(3, height, _NETWORK_SIZE // height, width, _NETWORK_SIZE // width)
        return np.asarray(blocks.mean(axis=(2, 4)))

    def luminance(self, height: int, width: int) -> Floats:
        """L* (height, width) of :meth:`lab`."""
        return np.asarray(self.lab(height, width)[0])

    def thumbnail(self, size: int) -> PIL.Image.Image:
        """The photo as it is, without alpha, in 8-bit sRGB, its longer side at most ``size`` pixels.

        Raises:
            PhotoError: the file is damaged.
        """
        lab = self.lab(*_fitted(self.height, self.width, size))
        return PIL.Image.fromarray(color.compose(lab[0], lab[1:], depth=8))

    def compose(self, upsamplers: Sequence[Rows]) -> list[Picture]:
        """Give the photo's luminance the colors of each upsampler, in one pass through the file.

        Raises:
            PhotoError: the file is damaged.
        """
        dtype = np.uint8 if self.bit_depth == 8 else np.uint16
        canvases = [np.empty((self.height, self.width, 3), dtype) for _ in upsamplers]
        alpha = np.empty((self.height, self.width), dtype) if self._has_alpha else None

        def fill(y0: int, pixels: Pixels) -> None:
            L = color.pixels_to_luminance(self._without_alpha(pixels), self._space)
            y1 = y0 + len(L)
            if alpha is not None:
                alpha[y0:y1] = pixels[..., -1]
            for upsampler, canvas in zip(upsamplers, canvases, strict=True):
                ab = upsampler.rows(y0, y1, L)
                canvas[y0:y1] = color.compose(L, ab, self.bit_depth, self._output_space)

        for _ in self._each_band(fill):
            pass
        return [Picture(self, canvas, alpha) for canvas in canvases]

    @cached_property
    def _network_lab(self) -> Floats:
        return self._reduced(_NETWORK_SIZE, _NETWORK_SIZE)

    def _reduced(self, height: int, width: int) -> Floats:
        rows, columns = min(height, self.height), min(width, self.width)

        def narrow(y0: int, pixels: Pixels) -> tuple[int, Floats]:
            lab = color.pixels_to_lab(self._without_alpha(pixels), self._space)
            size = (columns, lab.shape[0] * lab.shape[1])
            lines = cv2.resize(lab.reshape(-1, self.width), size, interpolation=cv2.INTER_AREA)
            return y0, lines.reshape(3, -1, columns).astype(np.float32, copy=False)

        total = np.zeros((3, rows, columns), np.float32)
        for y0, lines in self._each_band(narrow):
            first, weights = _area_weights(self.height, rows, y0, y0 + lines.shape[1])
            total[:, first : first + len(weights)] += weights @ lines
        if (rows, columns) == (height, width):
            return total
        return np.stack([cv2.resize(plane, (width, height)) for plane in total]).astype(np.float32)

    def _without_alpha(self, pixels: Pixels) -> Pixels:
        return pixels[..., 0] if self._is_gray else pixels[..., :3]

    def _each_band(self, task: Callable[[int, Pixels], T]) -> Iterator[T]:
        """Run ``task(y0, pixels)`` on the bands in threads; the results come in order.

        ``pixels`` are (h, W, bands). Few bands are in memory at a time.
        """
        pending: deque[Future[T]] = deque()
        with _reported(self.name), ThreadPoolExecutor(_WORKERS) as pool:
            for y0, pixels in _bands(self._read()):
                pending.append(pool.submit(task, y0, pixels))
                if len(pending) > 2 * _WORKERS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()


class Picture:
    """A colorized photo.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16, in the color space that the photo's file has.
    """

    def __init__(self, photo: Photo, rgb: Pixels, alpha: Pixels | None) -> None:
        """Join what :meth:`Photo.compose` made; ``alpha`` (H, W) is the photo's own."""
        self.rgb = rgb
        self._photo, self._alpha = photo, alpha

    def thumbnail(self, size: int) -> PIL.Image.Image:
        """The picture without alpha, in 8-bit sRGB, its longer side at most ``size`` pixels."""
        height, width = self.rgb.shape[:2]
        height, width = _fitted(height, width, size)
        small = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        lab = color.pixels_to_lab(small, self._photo._output_space)
        return PIL.Image.fromarray(color.compose(lab[0], lab[1:], depth=8))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "auto",
        quality: int = 95,
        recipe: Mapping[str, str] | None = None,
    ) -> None:
        """Write the picture with the photo's metadata; an existing file is replaced at the end.

        Args:
            path: of the file.
            format: ``auto`` follows the suffix of ``path``. JPEG and WebP have 8 bits per channel; JPEG has
                no alpha, so that transparent places become white.
            quality: of JPEG and WebP, 1 to 100.
            recipe: how the picture was made, to be read with :func:`read_recipe`.

        Raises:
            PhotoError: the file can't be written.
            ValueError: a name in ``recipe`` that XMP does not allow.
        """
        name = printable_name(path)
        written = format_of_name(path) if format == "auto" else format
        if written not in FORMATS:
            raise PhotoError(f"{name}: no known format; end the name in .png, .jpg, .webp or .tif")
        image = self._as_vips(written, recipe)
        options_of: dict[str, dict[str, Any]] = {
            "jpg": {"Q": quality, "subsample_mode": "off"},
            "png": {},
            "tiff": {"compression": "deflate", "predictor": "horizontal"},
            "webp": {"Q": quality},
        }
        try:
            with replacing(path) as descriptor:
                target = pyvips.Target.new_to_descriptor(descriptor)
                image.write_to_target(target, FORMATS[written][0], **options_of[written])
        except pyvips.Error as error:
            raise PhotoError(f"{name}: cannot be written: {_reason(error)}") from None
        except OSError as error:
            raise PhotoError(f"{name}: cannot be written: {error.strerror or error}") from None

    def _as_vips(self, format: str, recipe: Mapping[str, str] | None) -> pyvips.Image:
        deep = self.rgb.dtype == np.uint16
        image = _from_array(self.rgb)
        if self._alpha is not None:
            image = image.bandjoin(_from_array(self._alpha))
            if format == "jpg":
                image = image.flatten(background=65535 if deep else 255)
        if deep and format in ("jpg", "webp"):
            image, deep = (image / 257).rint().cast("uchar"), False
        xres, yres = self._photo._resolution
        image = image.copy(interpretation="rgb16" if deep else "srgb", xres=xres, yres=yres)
        for field, (kind, value) in self._photo._metadata.items():
            image.set_type(kind, field, value)
        image.remove("jpeg-thumbnail-data")  # the preview in EXIF is gray and may lie on its side
        if recipe is not None:
            old = image.get("xmp-data") if image.get_typeof("xmp-data") else None
            image.set_type(pyvips.GValue.blob_type, "xmp-data", add_recipe(old, recipe))
        return image


def open_photo(source: str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any]) -> Photo:
    """Open a photo; its pixels are read later.

    Args:
        source: path, content of a file, image of Pillow, or sRGB array (H, W), (H, W, 3) or (H, W, 4) of
            uint8, uint16 or floats in [0, 1].

    Raises:
        PhotoError: it can't be read.
    """
    if isinstance(source, (np.ndarray, PIL.Image.Image)):
        return _open_array(source)
    name, own_suffix = "bytes", ""
    if not isinstance(source, bytes):
        name, own_suffix = printable_name(source), Path(source).suffix
    with _reported(name):
        content = source if isinstance(source, bytes) else _path_or_content(Path(source), name)
        start = content[:16] if isinstance(content, bytes) else _first_bytes(content)
    if not start:
        raise PhotoError(f"{name}: is empty; get the photo again")
    # libvips would try all its readers and fail with a word of each.
    format = format_of_content(start)
    if not format:
        raise PhotoError(f"{name}: is not a JPEG, PNG, TIFF or WebP file; save it as one of them")
    suffix = own_suffix if own_suffix.lower() in FORMATS[format] else FORMATS[format][0]
    return Photo(lambda: _upright(content), name, suffix)


def _open_array(source: PIL.Image.Image | NDArray[Any]) -> Photo:
    attached: dict[str, bytes] = {}
    name = "array"
    try:
        if isinstance(source, PIL.Image.Image):
            name = printable_name(getattr(source, "filename", "")) or "image"
            source, attached = pillow_pixels(source)
        image = _from_array(as_pixels(source))
    except (OSError, ValueError, SyntaxError) as error:  # Pillow reads its file only now
        raise PhotoError(f"{name}: cannot be read: {error}") from None
    for field, value in attached.items():
        image.set_type(pyvips.GValue.blob_type, field, value)
    return Photo(lambda: image, name)


def read_recipe(path: str | os.PathLike[str]) -> dict[str, str]:
    """The recipe that :meth:`Picture.save` wrote into a file; empty if there is none.

    Raises:
        PhotoError: the file can't be read.
    """
    photo = open_photo(path)
    packet = photo._metadata.get("xmp-data")
    return find_recipe(packet[1]) if packet else {}


def _load(source: Path | bytes, access: str = "sequential") -> pyvips.Image:
    """The image as the file has it, from its first row on."""
    # vips gets no path: it would take "a[2].tif" for a file with options, and refuse names not in UTF-8.
    if isinstance(source, bytes):
        origin = pyvips.Source.new_from_memory(source)
    else:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            origin = pyvips.Source.new_from_descriptor(descriptor)  # has a duplicate of its own
        finally:
            os.close(descriptor)
    return pyvips.Image.new_from_source(origin, "", access=access, fail_on="truncated")


def _upright(source: Path | bytes) -> pyvips.Image:
    """The image turned as EXIF says, in uchar or ushort, gray or RGB with or without alpha."""
    image = _load(source)
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = _load(source, access="random").autorot()  # turning needs rows out of order
    profile = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    if image.interpretation == "cmyk" or (color_model(profile) == "RGB" and space_of(profile) is None):
        assumed = "cmyk" if image.interpretation == "cmyk" else "srgb"  # where the profile is of no use
        depth = 8 if image.format == "uchar" else 16
        image = image.icc_transform(
            "srgb", embedded=True, input_profile=assumed, intent="relative", depth=depth
        )
    elif image.interpretation in ("scrgb", "lab", "labs", "xyz"):
        image = image.colourspace("rgb16")
    colors = image.bands - image.hasalpha()
    if image.format not in ("uchar", "ushort") or colors not in (1, 3):
        raise pyvips.Error(f"{image.bands} bands of {image.format} are no photo of 8 or 16 bits")
    return image


def _srgb_profile() -> bytes:
    return bytes(pyvips.Operation.call("profile_load", "srgb"))


def _path_or_content(path: Path, name: str) -> Path | bytes:
    """An ordinary file as it is; what a pipe holds, which can be read once only."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{name}: is a folder, not a photo")
    return path if stat.S_ISREG(status.st_mode) else path.read_bytes()


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _metadata(image: pyvips.Image) -> dict[str, tuple[int, Any]]:
    """What the pictures keep: type and value of fields."""
    try:
        fields = image.get_fields()
    except UnicodeDecodeError:  # a name in a text chunk of PNG
        fields = [field for field in _KEPT if image.get_typeof(field)]
    kept = {name: (image.get_typeof(name), image.get(name)) for name in fields if name.startswith(_KEPT)}
    if "exif-data" in kept:  # which still has the orientation from before
        kept["orientation"] = (pyvips.GValue.gint_type, 1)
    return kept


def _from_array(pixels: Pixels) -> pyvips.Image:
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    deep = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, "ushort" if deep else "uchar"
    )
    spaces = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return image.copy(interpretation=spaces[bands > 2])


def _fitted(height: int, width: int, size: int) -> tuple[int, int]:
    scale = min(1, size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _bands(image: pyvips.Image) -> Iterator[tuple[int, Pixels]]:
    """Bands of rows from top to bottom: the first row, and pixels (h, W, bands)."""
    region = pyvips.Region.new(image)
    dtype = np.uint8 if image.format == "uchar" else np.uint16
    rows = max(16, _BAND // image.width)
    for y0 in range(0, image.height, rows):
        content = region.fetch(0, y0, image.width, min(rows, image.height - y0))
        yield y0, np.frombuffer(content, dtype).reshape(-1, image.width, image.bands)


def _area_weights(n: int, reduced: int, start: int, stop: int) -> tuple[int, Floats]:
    """How rows ``start`` to ``stop`` of ``n`` share in the area means of ``reduced`` rows.

    Returns:
        The first of the reduced rows they touch, and the weights (reduced rows touched, stop - start).
    """
    first, last = start * reduced // n, -(-stop * reduced // n)
    edges = np.arange(first, last + 1) * (n / reduced)
    rows = np.arange(start, stop)
    overlap = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    return first, (np.maximum(overlap, 0) * (reduced / n)).astype(np.float32)


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn what goes wrong with reading a file into a PhotoError."""
    try:
        yield
    except pyvips.Error as error:
        problem = f"damaged or unsupported ({_reason(error)}); save it anew with another program"
        raise PhotoError(f"{name}: cannot be read, {problem}") from None
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read: {error.strerror or error}") from None


def _reason(error: pyvips.Error) -> str:
    lines = (error.detail or "no further detail").splitlines()
    return next(line.strip() for line in lines if line.strip())
