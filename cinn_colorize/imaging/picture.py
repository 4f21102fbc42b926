"""A colorized photo, and writing it to a file."""

import errno
import logging
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from cinn_colorize.errors import ExistsError, OutputError, PhotoError, printable_name
from cinn_colorize.files.atomic import FULL, PUBLIC, replacing
from cinn_colorize.files.formats import OUTPUT_FORMATS, format_of_name
from cinn_colorize.imaging import color, vips
from cinn_colorize.imaging.color import Pixels, RGBSpace
from cinn_colorize.imaging.metadata import Segment, add_recipe, add_segments, divided, iptc_for
from cinn_colorize.imaging.options import Encoding
from cinn_colorize.imaging.tiff import add_fields, append_page, exif_size

log = logging.getLogger(__name__)

_MOST_EXIF = 65_400  # bytes; libexif writes no more

# What to do, by the system's message.
_FULL = {os.strerror(number): "; free some space, then run the same command again" for number in FULL}
_RENAME = "; choose a shorter --output, or a shorter name for the photo"
_ADVICE = {**_FULL, os.strerror(errno.ENAMETOOLONG): _RENAME}
_IN_MEMORY = 64 * 2**20  # bytes of pixels
_LONGEST = {"jpg": 65_500, "webp": 16_383, "avif": 16_384}  # side that a format can have, in pixels


class Picture:
    """A colorized photo.

    Attributes:
        rgb: (H, W, 3) uint8 or uint16, in the colour space of the photo's file.
        mode: permission bits of the file that :meth:`save` writes.
    """

    def __init__(
        self, rgb: Pixels, alpha: Pixels | None, metadata: vips.Metadata, space: RGBSpace, mode: int = PUBLIC
    ) -> None:
        self.rgb, self.mode = rgb, mode
        self._alpha, self._metadata, self._space = alpha, metadata, space

    def image(self, size: int | None = None) -> PIL.Image.Image:
        """Return a PIL image of 8 bits, RGB or RGBA, with the profile, its longer side at most ``size``."""
        height, width = self.rgb.shape[:2]
        if size:
            height, width = fitted(height, width, size)
        image = PIL.Image.fromarray(_reduced(self.rgb, (width, height)))
        if self._alpha is not None:
            image.putalpha(PIL.Image.fromarray(_reduced(self._alpha, (width, height))))
        if profile := self._metadata.blob("icc-profile-data"):
            image.info["icc_profile"] = profile
        return image

    def thumbnail(self, size: int) -> PIL.Image.Image:
        """Return the picture in 8-bit sRGB on white, its longer side at most ``size`` pixels."""
        height, width = fitted(self.rgb.shape[0], self.rgb.shape[1], size)
        rgb = self.rgb
        if self._alpha is not None:
            most = np.iinfo(rgb.dtype).max
            share = self._alpha[..., None] / np.float32(most)
            rgb = np.rint(most - share * (most - rgb)).astype(rgb.dtype)
        lab = color.pixels_to_lab(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), self._space)
        return PIL.Image.fromarray(color.compose(lab[0], lab[1:], depth=8))

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "auto",
        quality: int = 95,
        recipe: Mapping[str, str] | None = None,
        strip: bool = False,
        more: "Sequence[tuple[Picture, Mapping[str, str]]]" = (),
        overwrite: bool = True,
    ) -> None:
        """Write the picture with the photo's metadata; an existing file is replaced at the end.

        Args:
            path: where to write the file.
            format: ``auto`` follows the suffix of ``path``. JPEG and WebP have 8 bits per channel, AVIF 8 or
                12; JPEG has no alpha, so that transparent places become white.
            quality: quality of JPEG, WebP and AVIF, 1 to 100.
            recipe: how the picture was made; :func:`read_recipe` reads it.
            strip: leave out all metadata but the profile and the recipe.
            more: pictures of the other pages of a TIFF, with their recipes.
            overwrite: whether an existing file is replaced; if not, it is an ExistsError.

        A PhotoError if the file cannot be written, or has several pages and is no TIFF; a TypeError or
        ValueError if quality, ``strip`` or format cannot be used, or XMP does not allow a name in ``recipe``.
        """
        name, encoding = printable_name(path), Encoding(quality, strip)
        written = _format_of(path, format, several=bool(more))
        check_sides(name, written, *self.rgb.shape[:2])
        keeps_exif = written == "tiff" or encoding.strip
        if not keeps_exif and exif_size(self._metadata.blob("exif-data")) > _MOST_EXIF:
            log.warning("%s: EXIF of more than 64 KiB is left out; a TIFF keeps it", name)
        try:
            with replacing(path, self.mode, overwrite=overwrite) as descriptor:
                self._write(descriptor, written, encoding, recipe)
                for picture, its_recipe in more:
                    with tempfile.TemporaryFile(dir=Path(path).parent) as file:
                        picture._write(file.fileno(), written, encoding, its_recipe)
                        append_page(descriptor, file)
        except FileExistsError:
            raise ExistsError(f"{name}: is there already") from None
        except vips.Error as error:
            raise cannot_write(name, vips.reason(error)) from None
        except OSError as error:
            raise cannot_write(name, error.strerror or str(error)) from None

    def _write(
        self, descriptor: int, format: str, encoding: Encoding, recipe: Mapping[str, str] | None
    ) -> None:
        metadata = self._metadata.stripped() if encoding.strip else self._metadata
        if iptc := metadata.blob("iptc-data"):
            metadata = metadata.with_blobs({"iptc-data": iptc_for(format, iptc)})
        if recipe is not None:
            metadata = metadata.with_blobs({"xmp-data": add_recipe(metadata.blob("xmp-data"), recipe)})
        more: list[Segment] = []
        if format == "jpg":
            blobs = {name: value for name in ("xmp-data", "iptc-data") if (value := metadata.blob(name))}
            blobs, more = divided(blobs)
            metadata = metadata.with_blobs(blobs)
        written = metadata.without("iptc-data") if format == "tiff" else metadata
        vips.encode(descriptor, self.rgb, self._alpha, written, format, encoding.quality)
        if format == "tiff":
            add_fields(descriptor, metadata.blob("exif-data"), metadata.blob("iptc-data"))
        elif more:
            add_segments(descriptor, more)


def _format_of(path: str | os.PathLike[str], format: str, *, several: bool) -> str:
    if format not in ("auto", *OUTPUT_FORMATS):
        *most, last = OUTPUT_FORMATS
        raise ValueError(f"format must be auto, {', '.join(most)} or {last}, not {format!r:.80}")
    written, name = format_of_name(path) if format == "auto" else format, printable_name(path)
    if written not in OUTPUT_FORMATS:
        advice = "end the name in .png, .jpg, .webp, .tif or .avif"
        raise PhotoError(f"{name}: not a format that can be written; {advice}")
    if several and written != "tiff":
        raise PhotoError(f"{name}: cannot have several pages; end the name in .tif, or choose one page")
    return written


def _reduced(pixels: Pixels, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pixels at another width and height, in 8 bits."""
    if pixels.shape[1::-1] != size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    is_deep = pixels.dtype == np.uint16
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=1 / 257) if is_deep else pixels, np.uint8)


def cannot_write(name: str, reason: str) -> PhotoError:
    """Return the error for a file that cannot be written: an :class:`OutputError` if the disk is full."""
    kind = OutputError if reason in _FULL else PhotoError
    return kind(f"{name}: cannot be written: {reason}{_ADVICE.get(reason, '')}")


def check_sides(name: str, format: str, height: int, width: int) -> None:
    """Raise a PhotoError, of the photo or the file ``name``, if a picture is too long for its format."""
    if max(height, width) > (longest := _LONGEST.get(format, math.inf)):
        limit = f"of which a side has at most {longest}; choose png or tiff"
        raise PhotoError(f"{name}: {width}x{height} pixels cannot be written as {format}, {limit}")


def fitted(height: int, width: int, size: int) -> tuple[int, int]:
    """Return height and width, scaled down so that the longer one is at most ``size``."""
    scale = min(1, size / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def canvas(shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """Return an uninitialised array; a large one is backed by a temporary file that no folder lists.

    Disk space is reserved at once, or an OSError: a disk that fills up later would kill the process. It is
    freed with the array, or when the process ends, however it does.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="cinn-colorize-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # on macOS and Windows; the former would leave it sparse
            for start in range(0, size, _IN_MEMORY):
                file.write(bytes(min(_IN_MEMORY, size - start)))
            file.flush()
        return np.memmap(file, dtype, "w+", shape=shape)
