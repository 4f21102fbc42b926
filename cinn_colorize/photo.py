"""A photo file and the pictures made from it; the only user of pyvips.

A :class:`Photo` is read twice, each time in bands of rows: once for the network's reduced Lab, once to compose the
pictures at full size. The pictures differ from the photo in color only: size, depth, alpha, EXIF, ICC
profile and resolution stay (TIFF keeps no EXIF: libvips neither reads nor writes it there), the orientation of
EXIF is applied.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pyvips
from numpy.typing import NDArray

from cinn_colorize import color
from cinn_colorize.color import SRGB, Floats, Pixels, RGBSpace
from cinn_colorize.metadata import add_recipe, find_recipe
from cinn_colorize.profiles import color_model, space_of

logging.getLogger("pyvips").addHandler(logging.NullHandler())  # else its warnings go to stderr
pyvips.block_untrusted_set(True)
pyvips.cache_set_max(0)  # no operation comes twice, and the cache would keep whole pictures alive

T = TypeVar("T")
Format = Literal["auto", "png", "jpg", "webp", "tiff"]

_SUFFIXES = {
    "jpg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
}
_LOADERS = {"jpegload": "jpg", "pngload": "png", "tiffload": "tiff", "webpload": "webp"}
_KEPT = ("exif-", "xmp-", "iptc-", "icc-profile-data", "photoshop-data", "resolution-unit", "png-comment-")
_NETWORK_SIZE = 256
_BAND = 2**19  # pixels of a band
_NOTABLE_CHROMA = 6.0  # of a color photo; what JPEG leaves in gray ones is less
_WORKERS = min(8, os.cpu_count() or 1)


class PhotoError(Exception):
    """A photo that can't be read or written: one line that names it and says what to do."""


class Rows(Protocol):
    """What gives full-size ab band by band, see :class:`cinn_colorize.upsampling.Upsampler`."""

    def rows(self, y0: int, y1: int, L: Floats) -> Floats:
        """ab (2, y1 - y0, W) of the rows ``y0`` to ``y1`` with ``L`` (y1 - y0, W)."""


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
            read: gives the photo from its first row on, upright, uchar or ushort, gray or RGB, maybe with alpha.
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
            self.metadata = {
                field: (image.get_typeof(field), image.get(field))
                for field in image.get_fields()
                if field.startswith(_KEPT)
            }
            self.resolution = (image.xres, image.yres)
        self._space = self._output_space = SRGB
        profile = self.metadata.pop("icc-profile-data", None)
        space = space_of(profile[1]) if profile else None
        if profile and space:
            self._space = space
            if color_model(profile[1]) == "RGB":
                self._output_space = space
                self.metadata["icc-profile-data"] = profile

    @cached_property
    def is_color(self) -> bool:
        """Whether some place of the photo has a notable chroma."""
        return not self._is_gray and bool((np.hypot(*self.lab(64, 64)[1:]) > _NOTABLE_CHROMA).any())

    @property
    def output_space(self) -> RGBSpace:
        """Of the pictures: that of the file's RGB profile, or sRGB."""
        return self._output_space

    def lab(self, height: int, width: int) -> Floats:
        """The whole photo squeezed to ``height`` times ``width``, as Lab (3, height, width).

        A pixel is the mean Lab of the area it covers; a photo that is smaller is enlarged.

        Raises:
            PhotoError: the file is damaged.
        """
        if _NETWORK_SIZE % height or _NETWORK_SIZE % width:
            return self._reduced(height, width)
        blocks = self._network_lab.reshape(3, height, _NETWORK_SIZE // height, width, _NETWORK_SIZE // width)
        return blocks.mean(axis=(2, 4), dtype=np.float32)

    def luminance(self, height: int, width: int) -> Floats:
        """L* (height, width) of :meth:`lab`."""
        return self.lab(height, width)[0]

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
            lines = lab.reshape(-1, self.width)
            lines = cv2.resize(lines, (columns, len(lines)), interpolation=cv2.INTER_AREA)
            return y0, lines.reshape(3, -1, columns)

        total = np.zeros((3, rows, columns), np.float32)
        for y0, lines in self._each_band(narrow):
            first, weights = _area_weights(self.height, rows, y0, y0 + lines.shape[1])
            total[:, first : first + len(weights)] += weights @ lines
        if (rows, columns) == (height, width):
            return total
        return np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in total])

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
        scale = min(1, size / max(height, width))
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        lab = color.pixels_to_lab(
            cv2.resize(self.rgb, shape, interpolation=cv2.INTER_AREA), self._photo.output_space
        )
        return PIL.Image.fromarray(color.compose(lab[0], lab[1:], depth=8))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: Format = "auto",
        quality: int = 95,
        recipe: Mapping[str, str] | None = None,
    ) -> None:
        """Write the picture with the photo's metadata; an existing file is replaced at the end.

        Args:
            path: of the file.
            format: ``auto`` follows the suffix of ``path``. JPEG and WebP have 8 bits per channel; JPEG has no
                alpha, so that transparent places become white.
            quality: of JPEG and WebP, 1 to 100.
            recipe: how the picture was made, to be read with :func:`read_recipe`.

        Raises:
            PhotoError: the file can't be written.
            ValueError: a name in ``recipe`` that XMP does not allow.
        """
        name = _printable_name(path)
        if format == "auto":
            format = _format_of(path) or "auto"
        if format not in _SUFFIXES:
            raise PhotoError(f"{name}: cannot tell the format from the name; end it in .png, .jpg, .webp or .tif")
        image = self._as_vips(format, recipe)
        options: dict[str, Any] = {
            "jpg": {"Q": quality, "subsample_mode": "off"},
            "png": {},
            "tiff": {"compression": "deflate", "predictor": "horizontal"},
            "webp": {"Q": quality},
        }[format]
        with _reported(name, "written"), _replacing(path) as descriptor:
            target = pyvips.Target.new_to_descriptor(descriptor)
            image.write_to_target(target, _SUFFIXES[format][0], **options)

    def _as_vips(self, format: str, recipe: Mapping[str, str] | None) -> pyvips.Image:
        deep = self.rgb.dtype == np.uint16
        image = _from_array(self.rgb)
        if self._alpha is not None:
            image = image.bandjoin(_from_array(self._alpha))
            if format == "jpg":
                image = image.flatten(background=65535 if deep else 255)
        if deep and format in ("jpg", "webp"):
            image, deep = (image / 257).rint().cast("uchar"), False
        xres, yres = self._photo.resolution
        image = image.copy(interpretation="rgb16" if deep else "srgb", xres=xres, yres=yres)
        for field, (kind, value) in self._photo.metadata.items():
            image.set_type(kind, field, value)
        if recipe is not None:
            old = image.get("xmp-data") if image.get_typeof("xmp-data") else None
            image.set_type(pyvips.GValue.blob_type, "xmp-data", add_recipe(old, recipe))
        return image


def open_photo(source: str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any]) -> Photo:
    """Open a photo; its pixels are read later.

    Args:
        source: path, content of a file, image of Pillow, or array (H, W), (H, W, 3) or (H, W, 4) of uint8, uint16
            or floats in [0, 1], sRGB.

    Raises:
        PhotoError: it can't be read.
    """
    if isinstance(source, np.ndarray):
        image = _from_array(_as_pixels(source))
        return Photo(lambda: image, "array")
    if isinstance(source, PIL.Image.Image):
        name = _printable_name(getattr(source, "filename", "")) or "image"
        image = _from_pillow(source, name)
        return Photo(lambda: image, name)
    if isinstance(source, bytes):
        name, path, content = "bytes", None, source
    else:
        name, path = _printable_name(source), source
        content = _content_unless_regular(source, name)
    with _reported(name):
        format = _LOADERS[_loader(_load(path, content))]
    suffix = Path(os.fsdecode(path)).suffix if path is not None and _format_of(path) == format else ""
    return Photo(lambda: _upright(path, content), name, suffix or _SUFFIXES[format][0])


def read_recipe(path: str | os.PathLike[str]) -> dict[str, str]:
    """The recipe that :meth:`Picture.save` wrote into a file; empty if there is none.

    Raises:
        PhotoError: the file can't be read.
    """
    photo = open_photo(path)
    packet = photo.metadata.get("xmp-data")
    return find_recipe(packet[1]) if packet else {}


def _load(path: str | os.PathLike[str] | None, content: bytes | None, access: str = "sequential") -> pyvips.Image:
    """The image as the file has it, from its first row on."""
    # vips gets no path: it would read "a[2].tif" as a file with options, and refuse names that are not UTF-8.
    if content is not None:
        source = pyvips.Source.new_from_memory(content)
    else:
        assert path is not None
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            source = pyvips.Source.new_from_descriptor(descriptor)  # has a duplicate of its own
        finally:
            os.close(descriptor)
    image = pyvips.Image.new_from_source(source, "", access=access, fail_on="truncated")
    if _loader(image) not in _LOADERS:
        raise pyvips.Error("not a JPEG, PNG, TIFF or WebP file")
    return image


def _loader(image: pyvips.Image) -> str:
    return str(image.get("vips-loader")).split("_")[0]


def _upright(path: str | os.PathLike[str] | None, content: bytes | None) -> pyvips.Image:
    """The image turned as EXIF says, in uchar or ushort, gray or RGB with or without alpha."""
    image = _load(path, content)
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = _load(path, content, access="random").autorot()  # turning needs rows out of order
    if image.interpretation == "cmyk":
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", intent="relative")
        image.remove("icc-profile-data")
    elif image.interpretation in ("scrgb", "lab", "labs", "xyz"):
        image = image.colourspace("rgb16")
    colors = image.bands - image.hasalpha()
    if image.format not in ("uchar", "ushort") or colors not in (1, 3):
        raise pyvips.Error(f"{image.bands} bands of {image.format} are no photo of 8 or 16 bits")
    return image


def _content_unless_regular(path: str | os.PathLike[str], name: str) -> bytes | None:
    """What a pipe holds, which can be read once only; None for an ordinary file."""
    with _reported(name):
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"{name}: is a folder, not a photo")
        if stat.S_ISREG(status.st_mode):
            if status.st_size == 0:
                raise PhotoError(f"{name}: is empty; get the photo again")
            return None
        return Path(path).read_bytes()


def _as_pixels(array: NDArray[Any]) -> Pixels:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))) or array.size == 0:
        raise PhotoError(f"array: shape {array.shape} is no photo; give (H, W), (H, W, 3) or (H, W, 4)")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise PhotoError("array: floats must lie in [0, 1]")
        return np.round(array * 65535.0).astype(np.uint16)
    if array.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"array: {array.dtype} is no depth of a photo; give uint8, uint16 or floats in [0, 1]")
    return array


def _from_array(pixels: Pixels) -> pyvips.Image:
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    deep = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, "ushort" if deep else "uchar"
    )
    spaces = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return image.copy(interpretation=spaces[bands > 2])


def _from_pillow(image: PIL.Image.Image, name: str) -> pyvips.Image:
    try:
        image = PIL.ImageOps.exif_transpose(image)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX", "PA", "La", "RGBa"):
            image = image.convert("RGBA" if "a" in image.mode.lower()[1:] else "RGB")
        array = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise PhotoError(f"{name}: cannot be read: {error}") from None
    if image.mode == "I":  # 16-bit gray files come in 32 bits
        array = array.clip(0, 65535).astype(np.uint16)
    pixels = _from_array(_as_pixels(array.astype(array.dtype.newbyteorder("="))))
    for field, value in (("icc-profile-data", image.info.get("icc_profile")), ("exif-data", image.info.get("exif"))):
        if value:
            pixels.set_type(pyvips.GValue.blob_type, field, value)
    return pixels


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


def _format_of(path: str | os.PathLike[str]) -> Any:
    suffix = Path(path).suffix.lower()
    return next((format for format, suffixes in _SUFFIXES.items() if suffix in suffixes), None)


def _printable_name(path: str | os.PathLike[str] | bytes) -> str:
    """The path for messages of one line, whatever bytes it has."""
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


@contextlib.contextmanager
def _reported(name: str, done: str = "read") -> Iterator[None]:
    """Turn what goes wrong with a file into a PhotoError."""
    try:
        yield
    except pyvips.Error as error:
        raise PhotoError(f"{name}: cannot be {done}: {_reason(error)}") from None
    except OSError as error:
        raise PhotoError(f"{name}: cannot be {done}: {error.strerror or error}") from None


def _reason(error: pyvips.Error) -> str:
    lines = [line.strip() for line in (error.detail or error.message).splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))


@contextlib.contextmanager
def _replacing(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor to write; what was written stands at ``path`` if all went well, else nothing is left."""
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink()
        raise
