"""Reading and writing files with libvips; the only user of pyvips.

Files are opened on descriptors, with the readers that libvips trusts, and come upright in 8 or 16 bits. CMYK,
and RGB whose profile is made of lookup tables, which :mod:`~cinn_colorize.imaging.profiles` does not
evaluate, come in sRGB.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyvips

from cinn_colorize.errors import MissingPhotoError, PhotoError, counted, missing
from cinn_colorize.files.formats import FORMATS
from cinn_colorize.files.limits import ADVICE, TooLargeError, check_pixels
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.profiles import color_model, space_of
from cinn_colorize.imaging.tiff import exif_turned, exif_with_unit

pyvips.block_untrusted_set(True)
pyvips.cache_set_max(0)  # no operation is repeated, and the cache would keep whole pictures alive

Image: TypeAlias = pyvips.Image
Error: TypeAlias = pyvips.Error

_EXIF, _IPTC, _PROFILE = "exif-data", "iptc-data", "icc-profile-data"
_UNIT, _BITS = "resolution-unit", "bits-per-sample"
_KEPT = ("exif-", "xmp-data", _IPTC, _PROFILE, "photoshop-data", _UNIT)
_RESOLUTION = ("exif-ifd0-XResolution", "exif-ifd0-YResolution", "exif-ifd0-ResolutionUnit")
# Bands without alpha, by interpretation; of others, one.
_COLORS = {"cmyk": 4, **dict.fromkeys(("srgb", "rgb16", "scrgb", "lab", "labs", "xyz"), 3)}
_BAND, _MOST_ROWS = 2**19, 2**12  # pixels and rows of a band; libvips takes time by the square of rows
_SYSTEM_ERROR = "system error: "
_UNSTATED = (1.0, 1.0)  # libvips' resolution of photos that state none
_UNKNOWN = (72 / 25.4, 72 / 25.4)  # 72 dpi, which EXIF designates then (its tag XResolution)
_LARGEST_TIFF = 3 * 2**30  # bytes of pixels; above, the file could outgrow offsets of 32 bits


@dataclass(frozen=True)
class Metadata:
    """Metadata that pictures inherit from their photo."""

    fields: dict[str, tuple[int, Any]] = field(default_factory=dict)  # type and value by libvips' names
    resolution: tuple[float, float] = _UNKNOWN  # pixels per millimetre, across and down

    def blob(self, name: str) -> bytes:
        """Return a field of bytes; empty if there is none."""
        return bytes(self.fields.get(name, (0, b""))[1])

    def with_blobs(self, blobs: Mapping[str, bytes]) -> "Metadata":
        kind = pyvips.GValue.blob_type
        return Metadata(self.fields | {name: (kind, value) for name, value in blobs.items()}, self.resolution)

    def without(self, name: str) -> "Metadata":
        return Metadata({key: value for key, value in self.fields.items() if key != name}, self.resolution)

    def stripped(self) -> "Metadata":
        """Return a copy with nothing but the profile."""
        return Metadata({name: value for name, value in self.fields.items() if name == _PROFILE})

    @classmethod
    def of(cls, image: Image) -> "Metadata":
        try:
            names = image.get_fields()
        except UnicodeDecodeError:  # in the name of a text chunk of PNG
            names = [name for name in _KEPT if image.get_typeof(name)]
        kept = {name: (image.get_typeof(name), image.get(name)) for name in names if name.startswith(_KEPT)}
        is_tiff = _field(image, "vips-loader", "").startswith("tiff")
        if is_tiff:
            kept.pop(_IPTC, None)  # truncated; the whole is read elsewhere
        if _EXIF in kept:  # which still has the original orientation
            kept["orientation"] = (pyvips.GValue.gint_type, 1)
        resolution = image.xres, image.yres
        if resolution == _UNSTATED or (is_tiff and _UNIT not in kept):
            resolution = _UNKNOWN
        metadata = cls(kept, resolution)
        exif = metadata.blob(_EXIF)
        if not is_tiff and (mended := exif_with_unit(exif)) != exif:
            # libvips takes no unit for one per millimetre.
            kept = {name: kept[name] for name in kept if name not in _RESOLUTION}
            return cls(kept).with_blobs({_EXIF: mended})
        return metadata


def use_threads(number: int) -> None:
    """Set how many threads may work on a picture."""
    pyvips.vips_lib.vips_concurrency_set(number)


def open_image(source: Path | bytes, max_pixels: int, page: int = 1, others: int = 0) -> Image:
    """Open an image upright, from its first row on: uchar or ushort, gray or RGB, possibly with alpha.

    Of a TIFF it is a page, from 1, and so many ``others`` of its channels, at the end, are left out. What it
    raises, :func:`raising_photo_errors` turns into a PhotoError; a ValueError if it has fewer pages.
    """
    if page > 1 and page > (number := pages(_load(source))):
        raise ValueError(f"it has {counted(number, 'page')}, and no page {page}")
    image = _load(source, page)
    check_pixels(image.width, image.height, max_pixels)
    if (orientation := _field(image, "orientation", 1)) > 1:
        image = _upright(_load(source, page, access="random"), orientation)
    kept = max(image.bands - others, _COLORS.get(image.interpretation, 1))  # the number may be damaged
    if kept < image.bands:
        image = image.extract_band(0, n=kept)
    image = _as_integers(image, source, page)
    profile = _field(image, _PROFILE, b"")
    is_of_tables = color_model(profile) == "RGB" and space_of(profile) is None
    if image.interpretation == "cmyk" or is_of_tables:
        image = _as_srgb(image)
    if image.format not in ("uchar", "ushort") or image.bands - image.hasalpha() not in (1, 3):
        raise pyvips.Error(f"{image.bands} bands of {image.format} are not a photo of 8 or 16 bits")
    return image


def _upright(image: Image, orientation: int) -> Image:
    """Turn an image, whose rows are read out of order; resolutions turn with it, in EXIF too."""
    image = image.autorot()
    if orientation > 4:
        image = image.copy(xres=image.yres, yres=image.xres)
        if exif := _field(image, _EXIF):
            image.set_type(pyvips.GValue.blob_type, _EXIF, exif_turned(bytes(exif)))
    return image


def _as_integers(image: Image, source: Path | bytes, page: int) -> Image:
    """Convert Lab, XYZ, 32 bits, and floats in [0, 1] or, if they exceed 2, in 8 or 16 bits, to 16 bits."""
    if image.interpretation in ("lab", "labs", "xyz"):
        return image.colourspace("rgb16")
    if image.format == "uint":
        return _in_16_bits(image / 65537)
    if image.format not in ("float", "double"):
        return image
    statistics = _load(source, page).stats()
    largest, total = statistics(1, 0)[0], statistics(2, 0)[0]
    if not math.isfinite(total):  # the largest is that of all numbers
        raise pyvips.Error("floats that are infinite or no numbers")
    top = 1 if largest <= 2 else 255 if largest <= 255 else 65535
    return _in_16_bits(image * (65535 / top))


def _in_16_bits(image: Image) -> Image:
    return image.rint().cast("ushort").copy(interpretation=_space(image.bands, deep=True))


def _as_srgb(image: Image) -> Image:
    """Convert CMYK, or RGB of a profile made of lookup tables."""
    assumed = "cmyk" if image.interpretation == "cmyk" else "srgb"  # if the profile is unusable
    depth = 8 if image.format == "uchar" else 16
    return image.icc_transform("srgb", embedded=True, input_profile=assumed, intent="relative", depth=depth)


def pages(image: Image) -> int:
    """Return the number of pages or frames of the file."""
    return int(_field(image, "n-pages", 1))


def ends_early(source: Path | bytes) -> bool:
    """Return whether the data of a JPEG end before its last pixels, though its end is marked."""
    try:
        for _ in bands(_load(source, fail_on="warning")):
            pass
    except pyvips.Error as error:
        return "premature end" in (error.detail or "")
    return False


def is_bilevel(image: Image) -> bool:
    """Return whether the pixels of the file have 1 bit."""
    return bool(_field(image, _BITS) == 1)


def is_deep(image: Image) -> bool:
    """Return whether it has 16 bits per channel, not 8."""
    return bool(image.format == "ushort")


def from_array(pixels: Pixels, *, is_bilevel: bool = False) -> Image:
    """Wrap ``pixels`` (H, W) or (H, W, 1 to 4), uint8 or uint16, and note whether they had 1 bit."""
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    deep = pixels.dtype == np.uint16
    kind, content = "ushort" if deep else "uchar", np.ascontiguousarray(pixels).data
    image = Image.new_from_memory(content, width, height, bands, kind)
    image = image.copy(interpretation=_space(bands, deep))
    if is_bilevel:
        image.set_type(pyvips.GValue.gint_type, _BITS, 1)
    return image


def bands(image: Image) -> Iterator[tuple[int, Pixels]]:
    """Yield bands of rows from top to bottom: the index of the first row, and pixels (h, W, bands)."""
    region = pyvips.Region.new(image)
    dtype = np.uint16 if is_deep(image) else np.uint8
    rows = min(max(16, _BAND // image.width), _MOST_ROWS)
    for y0 in range(0, image.height, rows):
        content = region.fetch(0, y0, image.width, min(rows, image.height - y0))
        yield y0, np.frombuffer(content, dtype).reshape(-1, image.width, image.bands)


def encode(
    descriptor: int, rgb: Pixels, alpha: Pixels | None, metadata: Metadata, format: str, quality: int
) -> None:
    """Write ``rgb`` (H, W, 3) and ``alpha`` (H, W), uint8 or uint16, to a file; see :meth:`Picture.save`."""
    deep = rgb.dtype == np.uint16
    image = from_array(rgb)
    if alpha is not None:
        image = image.bandjoin(from_array(alpha))
        if format == "jpg":
            image = image.flatten(background=65535 if deep else 255)
    if deep and format in ("jpg", "webp"):
        image, deep = (image / 257).rint().cast("uchar"), False
    xres, yres = metadata.resolution
    image = image.copy(interpretation=_space(3, deep), xres=xres, yres=yres)
    for name, (kind, value) in metadata.fields.items():
        image.set_type(kind, name, value)
    image.remove("jpeg-thumbnail-data")  # the preview in EXIF is gray and may lie on its side
    big = rgb.nbytes > _LARGEST_TIFF
    options: dict[str, dict[str, Any]] = {
        "jpg": {"Q": quality, "subsample_mode": "off"},
        "png": {},
        "tiff": {"compression": "deflate", "predictor": "horizontal", "bigtiff": big},
        "webp": {"Q": quality},
        "avif": {"Q": quality, "subsample_mode": "off", "compression": "av1", "bitdepth": 12 if deep else 8},
    }
    target = pyvips.Target.new_to_descriptor(descriptor)
    image.write_to_target(target, FORMATS[format][0], **options[format])


def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB."""
    return bytes(pyvips.Operation.call("profile_load", "srgb"))


@contextlib.contextmanager
def raising_photo_errors(name: str) -> Iterator[None]:
    """Turn errors in reading a file into a PhotoError, a MissingPhotoError if there is none."""
    try:
        yield
    except PhotoError:  # one of which is an OSError, too
        raise
    except pyvips.Error as error:
        problem = f"damaged or unsupported ({reason(error)}); save it again with another program"
        raise PhotoError(f"{name}: cannot be read: {problem}") from None
    except FileNotFoundError:
        raise MissingPhotoError(missing(name)) from None
    except OSError as error:
        raise PhotoError(f"{name}: cannot be read: {error.strerror or error}") from None
    except TooLargeError as error:
        raise PhotoError(f"{name}: cannot be read: {error}; {ADVICE}") from None


def reason(error: Error) -> str:
    """Return the system's message in an error of libvips, or else the first line, without its function."""
    lines = [line.strip() for line in (error.detail or "").splitlines() if line.strip()]
    system = [line.removeprefix(_SYSTEM_ERROR) for line in lines[:2] if line.startswith(_SYSTEM_ERROR)]
    return re.sub(r"^\w+: ", "", next(iter(system + lines), error.message or "no further detail"))


def _load(source: Path | bytes, page: int = 1, access: str = "sequential", fail_on: str = "error") -> Image:
    """Load the image as stored, from its first row on."""
    # Not by path: libvips takes "a[2].tif" for a file with options, and refuses names not in UTF-8.
    if isinstance(source, bytes):
        start, origin = source[:2], pyvips.Source.new_from_memory(source)
    else:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            start = os.read(descriptor, 2)
            os.lseek(descriptor, 0, os.SEEK_SET)
            origin = pyvips.Source.new_from_descriptor(descriptor)  # duplicates it
        finally:
            os.close(descriptor)
    options: dict[str, Any] = {"access": access, "fail_on": fail_on}
    if start == b"\xff\xd8":  # also with a gain map, whose reader leaves out XMP, IPTC and resolution
        return Image.jpegload_source(origin, **options)
    if page > 1:  # which not all formats have
        options["page"] = page - 1
    return Image.new_from_source(origin, "", **options)


def _field(image: Image, name: str, default: Any = None) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def _space(bands: int, deep: bool) -> str:
    names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return names[bands > 2]
