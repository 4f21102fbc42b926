"""Photos as users give them: files by name or open, pipes, content, and pixels of other libraries.

:func:`reader` chooses the reader of a file: libvips, or Pillow for formats that libvips has no trusted reader
for. HEIC of phones and camera raws need the optional packages pillow-heif and rawpy.
"""

import inspect
import io
import os
import re
import stat
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Jpeg2KImagePlugin, PpmImagePlugin, QoiImagePlugin, TgaImagePlugin
from PIL.ImageFile import ImageFile
from PIL.PsdImagePlugin import PsdImageFile

from cinn_colorize.errors import PhotoError, printable, printable_name
from cinn_colorize.files.atomic import open_input
from cinn_colorize.files.formats import FORMATS, format_of_content, is_film
from cinn_colorize.files.limits import TooLargeError, TooLongError, check_bytes, check_pixels, read_stream
from cinn_colorize.imaging import vips
from cinn_colorize.imaging.metadata import read_jpeg
from cinn_colorize.imaging.tiff import is_cut_off, is_raw, other_channels, read_fields
from cinn_colorize.imaging.vips import raising_photo_errors

if TYPE_CHECKING:
    from torch import Tensor
else:  # for whoever reads annotations at run time
    Tensor = Any

Pixels: TypeAlias = NDArray[np.generic] | Tensor | PIL.Image.Image
PhotoSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Pixels

_START = 32  # bytes, which tell the format

# Pillow's readers. Used without Image.open, which has a limit of its own.
DECODED: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "bmp": BmpImagePlugin.BmpImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "pnm": PpmImagePlugin.PpmImageFile,
    "psd": PsdImageFile,
    "qoi": QoiImagePlugin.QoiImageFile,
    "tga": TgaImagePlugin.TgaImageFile,
}
_MOST_OF_QOI = 16_000_000  # pixels, of which Pillow reads half a million in a second
_FIELDS = {"icc-profile-data": "icc_profile", "exif-data": "exif", "xmp-data": "xmp", "iptc-data": "iptc"}
_RESOURCES = {1058: "exif", 1060: "xmp", 1028: "iptc"}  # of PSD
_RESOLUTION = 1005
# Finds an item of a HEIF file that is compressed with HEVC; libvips reads those with AV1.
HEVC = re.compile(rb"infe[\2\3].{3}(?:.{2}|.{4})\0\0(?:hvc1|hev1)", re.DOTALL)
_GOES_ON = b"data corrupted"  # what LibRaw says of damage that it then overlooks


class File(NamedTuple):
    """A file of a photo."""

    content: Path | bytes
    format: str  # a key of FORMATS
    name: str  # in messages
    suffix: str  # of the format; the file's own if that is one


def file_of(source: PhotoSource, name: str | None, max_pixels: int) -> File:
    """Find out what a file is; for errors, see :func:`~cinn_colorize.imaging.photo.open_photo`."""
    own_suffix = ""
    content: Path | bytes
    if isinstance(source, str | os.PathLike):
        name, own_suffix = name or printable_name(source), Path(source).suffix
        with raising_photo_errors(name):
            content = _path_or_content(Path(source), name, max_pixels)
    elif isinstance(source, bytes | bytearray | memoryview):
        name, content = name or "bytes", bytes(source)
    elif hasattr(source, "read"):
        path = getattr(source, "name", None)  # a number, of a file without a name
        if isinstance(path, str):
            name, own_suffix = name or printable_name(path), Path(path).suffix
        name = name or "file"
        content = _rest(cast("BinaryIO", source), name, max_pixels)
    else:
        raise TypeError(
            "a photo must be a path, bytes, a binary file, a PIL image, a numpy array or a torch tensor, "
            f"not {type(source).__name__}"
        )
    with raising_photo_errors(name):
        if isinstance(content, bytes):
            check_bytes(len(content), max_pixels)
        with opened(content) as file:
            start = file.read(_START)
            if not start:
                raise PhotoError(f"{name}: is empty; get the photo again")
            # libvips would try all its readers and fail with a message from each.
            format = format_of_content(start)
            if format == "tiff" and (own_suffix.lower() in FORMATS["raw"] or is_raw(file)):
                format = "raw"  # of many cameras, which only a suffix or tags tell from other TIFFs
    if not format and is_film(own_suffix, start):
        raise PhotoError(f"{name}: is a film; use cinn-colorize film")
    if not format:
        raise PhotoError(f"{name}: is not a photo in a known format; save it as JPEG, PNG or TIFF")
    suffix = own_suffix if own_suffix.lower() in FORMATS[format] else FORMATS[format][0]
    return File(content, format, name, suffix)


def opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    """Open the file of a photo."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _path_or_content(path: Path, name: str, max_pixels: int) -> Path | bytes:
    """Return the path of a regular file, or what a pipe holds, which can be read only once."""
    if "\0" in str(path):
        raise PhotoError(f"{name}: is no path: it has a zero byte")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{name}: is a folder, not a photo")
    if stat.S_ISREG(status.st_mode):
        check_bytes(status.st_size, max_pixels)
        return path
    with open_input(path) as file:
        return read_stream(file, name, max_pixels)


def _rest(file: BinaryIO, name: str, max_pixels: int) -> bytes:
    if getattr(file, "closed", False) is True:
        raise PhotoError(f"{name}: is closed; open the photo again")
    with raising_photo_errors(name):
        nothing: object = file.read(0)
        if inspect.iscoroutine(nothing):
            nothing.close()  # or Python warns that it was never awaited
            raise TypeError(f"{name}: is read asynchronously; pass await file.read()")
        if isinstance(nothing, str):
            raise TypeError(f"{name}: is open as text; open the photo in binary mode, 'rb'")
        content = read_stream(file, name, max_pixels)
    if not content:
        raise PhotoError(f"{name}: has nothing left to read; seek to the start of the photo")
    return content


def array_of(source: PhotoSource) -> "Decoded | None":
    """Return the pixels of an array or a tensor, whose shape may be a ValueError; None for anything else."""
    torch = sys.modules.get("torch")  # which whoever has a tensor has imported
    if torch is not None and isinstance(source, torch.Tensor):
        shape = tuple(source.shape)
        if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 2, 3, 4))):
            raise ValueError(f"a tensor of shape {shape} is not a photo; pass (H, W), (3, H, W) or (4, H, W)")
        tensor = source.float() if source.is_floating_point() else source  # numpy has no bfloat16
        pixels = tensor.numpy(force=True)
        source = pixels if len(shape) == 2 else np.moveaxis(pixels, 0, -1)
    return Decoded(source, is_bilevel=source.dtype == bool) if isinstance(source, np.ndarray) else None


def reader(
    content: Path | bytes, format: str, max_pixels: int, page: int
) -> tuple[Callable[[], vips.Image], Mapping[str, bytes]]:
    """Return a function that opens a photo, which can be pickled, and metadata that it does not return.

    A TooLargeError if it has more pixels than ``max_pixels``; an OSError, ValueError or SyntaxError if it
    cannot be decoded, or has no such page.
    """
    if page > 1 and format != "tiff":
        raise ValueError("only TIFFs have pages to choose from")
    with opened(content) as file:
        if format == "tiff":
            blobs = read_fields(file, page)
            if is_cut_off(file, page):
                raise ValueError("damaged, its end is missing; get the photo again")
            return partial(vips.open_image, content, max_pixels, page, other_channels(file, page)), blobs
        if format == "jpg":
            return partial(vips.open_image, content, max_pixels), read_jpeg(file)
        if format == "raw":
            return in_memory(decode_raw(file.read(), max_pixels)), read_fields(file)
        if format in DECODED:
            decoded = decode(file.read(), format, max_pixels)
            return in_memory(decoded), decoded.blobs
        if format == "heif" and HEVC.search(whole := file.read()):
            decoded = decode_heic(whole, max_pixels)
            return in_memory(decoded), decoded.blobs
    return partial(vips.open_image, content, max_pixels), {}


def in_memory(decoded: "Decoded") -> Callable[[], vips.Image]:
    """Return a function that returns an image, and can be pickled; a ValueError if it is no photo."""
    return partial(_image_of, replace(decoded, pixels=np.ascontiguousarray(as_pixels(decoded.pixels))))


def _image_of(decoded: "Decoded") -> vips.Image:
    image = vips.from_array(decoded.pixels, is_bilevel=decoded.is_bilevel)
    if decoded.dpi:
        image = image.copy(xres=decoded.dpi[0] / 25.4, yres=decoded.dpi[1] / 25.4)
    return image


@dataclass(frozen=True)
class Decoded:
    """A photo in memory."""

    pixels: NDArray[Any]  # upright, in a form that as_pixels accepts
    blobs: dict[str, bytes] = field(default_factory=dict)  # metadata by libvips' field names
    dpi: tuple[float, float] | None = None  # across and down
    is_bilevel: bool = False  # whether the file had 1 bit per pixel


def blobs_of(info: Mapping[Any, Any]) -> dict[str, bytes]:
    """Return the metadata in ``info`` of a Pillow image, by libvips' field names."""
    return {field: info[key] for field, key in _FIELDS.items() if info.get(key)}


def as_pixels(array: NDArray[Any]) -> NDArray[Any]:
    """Return code values of 8 or 16 bits: floats in [0, 1] get 16, bool is 0 and 255; or a ValueError."""
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))) or array.size == 0:
        raise ValueError(f"shape {array.shape} is not that of a photo; pass (H, W), (H, W, 3) or (H, W, 4)")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == bool:
        return array * np.uint8(255)
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(f"floats must lie in [0, 1], not from {array.min():g} to {array.max():g}")
        return np.round(array.astype(np.promote_types(array.dtype, np.float32)) * 65535.0).astype(np.uint16)
    if array.dtype not in (np.uint8, np.uint16):
        advice = "pass uint8, uint16, bool or floats in [0, 1]"
        raise ValueError(f"values of type {array.dtype} are not supported; {advice}")
    return array


def from_pillow(image: PIL.Image.Image) -> Decoded:
    """Return the upright pixels of a Pillow image and its metadata; Pillow's errors if it is damaged."""
    dpi = image.info.get("dpi")
    image.load()
    image = upright(image)
    mode = image.mode
    if mode in ("La", "PA", "RGBa", "1"):
        image = image.convert({"La": "LA", "1": "L"}.get(mode, "RGBA"))
    elif mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif mode not in ("L", "LA", "RGB", "RGBA", "F") and not mode.startswith("I"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if mode.startswith("I"):  # 16-bit gray, stored in 32 bits or in foreign byte order
        pixels = pixels.clip(0, 65535).astype(np.uint16)
    blobs = blobs_of(image.info)
    if mode == "CMYK":
        blobs.pop("icc-profile-data", None)
    return Decoded(pixels, blobs, dpi if dpi and min(dpi) > 0 else None, mode == "1")


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """Apply the orientation in EXIF; damaged EXIF is treated as missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage that Pillow passes over
            return PIL.ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error):
        image = image.copy()
        image.info.pop("exif", None)
        return image


def decode(content: bytes, format: str, max_pixels: int) -> Decoded:
    """Decode the content of a file of one of the formats ``DECODED``; for errors, see :func:`reader`."""
    if format == "psd":
        return _decode_psd(content, max_pixels)
    decoded = _decode(format, content, max_pixels)
    if format == "tga" and not content[17] & 15 and decoded.pixels.shape[2:] in ((2,), (4,)):
        decoded = replace(decoded, pixels=decoded.pixels[..., :-1])  # of which no bit is alpha
    largest = _largest(content, format)
    if decoded.pixels.dtype == np.uint8 and decoded.pixels.ndim == 3 and largest > 255:
        # Pillow does not support colour in 16 bits.
        try:
            deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:  # it has a limit of its own
            raise ValueError("colour of 16 bits has too many pixels here; save it as TIFF or PNG") from None
        if deep is not None and deep.dtype == np.uint16 and deep.shape == decoded.pixels.shape:
            order = [2, 1, 0, 3][: deep.shape[2]]  # of OpenCV's channels
            top = np.iinfo(np.uint16).max / largest
            pixels = np.round(deep[..., order] * top).clip(0, 65535).astype(np.uint16)
            return Decoded(pixels, decoded.blobs, decoded.dpi)
    return decoded


def _decode(format: str, content: bytes, max_pixels: int, halves: int = 1) -> Decoded:
    """Decode a file with the reader of its format, which takes each pixel for so many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata
        try:
            image = DECODED[format](io.BytesIO(content))
        except (SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error):
            raise ValueError("damaged or unsupported; save it again with another program") from None
        with image:
            check_pixels(image.width // halves, image.height, max_pixels)
            if format == "qoi" and image.width * image.height > _MOST_OF_QOI:
                raise ValueError("QOI of more than 16 million pixels; save it as PNG")
            if isinstance(image, PsdImageFile):
                _read_resources(image)
            return from_pillow(image)


def _decode_psd(content: bytes, max_pixels: int) -> Decoded:
    if content[22:24] == b"\0\x10":
        # Pillow does not support 16 bits, but reads their halves as pixels of 8 bits.
        width = struct.pack(">I", min(2 * int.from_bytes(content[18:22]), 2**32 - 1))
        content = content[:18] + width + b"\0\x08" + content[24:]
        decoded = _decode("psd", content, max_pixels, halves=2)
        halves = decoded.pixels  # (H, 2 W, ...), the higher byte first
        return replace(decoded, pixels=halves[:, 0::2] * np.uint16(256) + halves[:, 1::2])
    decoded = _decode("psd", content, max_pixels)
    is_bitmap = content[24:26] == b"\0\0"  # whose ones are black
    return replace(decoded, pixels=255 - decoded.pixels) if is_bitmap else decoded


def _read_resources(image: PsdImageFile) -> None:
    """Bring the metadata of a PSD to the places where other formats have theirs."""
    for number, _, content in image.resources:
        if number in _RESOURCES:
            image.info[_RESOURCES[number]] = (b"Exif\0\0" if number == 1058 else b"") + content
        elif number == _RESOLUTION and len(content) == 16:
            x, _, _, y, _, _ = struct.unpack(">IHHIHH", content)
            image.info["dpi"] = (x / 2**16, y / 2**16)


# Each byte between the numbers matches in one way only, or a long header would take for ever.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM = re.compile(rb"P[36]" + 2 * (_GAP + rb"\d+") + _GAP + rb"(\d+)")


def _largest(content: bytes, format: str) -> int:
    """Return the largest code value that a channel can have."""
    if format == "pnm":
        header = _PNM.match(content)
        return int(header[1]) if header else 255
    start = content.find(b"\xff\x4f\xff\x51")  # JPEG 2000: start of the codestream, and its sizes
    precision = content[start + 42 : start + 43] if start >= 0 else b""
    return 2 ** ((precision[0] & 0x7F) + 1) - 1 if precision else 255


def decode_heic(content: bytes, max_pixels: int) -> Decoded:
    """Decode the content of a HEIF file compressed with HEVC; for errors, see :func:`reader`."""
    if not find_spec("pillow_heif"):
        raise ValueError("it is HEIC; save it as JPEG, or pip install 'cinn-colorize[heic]'")
    import pillow_heif

    try:
        image = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
        width, height = image.size
        check_pixels(width, height, max_pixels)
        pillow_heif.set_orientation(image.info)  # the pixels are upright
        return Decoded(np.array(image), blobs_of(image.info))  # older versions free the pixels with the image
    except (TooLargeError, TooLongError):
        raise
    except (EOFError, IndexError, RuntimeError, SyntaxError, ValueError) as error:
        raise _unsupported(error) from None


def decode_raw(content: bytes, max_pixels: int) -> Decoded:
    """Develop the content of a camera raw in 16-bit sRGB; for errors, see :func:`reader`."""
    if not find_spec("rawpy"):
        raise ValueError("it is a camera raw; develop it first, or pip install 'cinn-colorize[raw]'")
    program = [sys.executable, "-P", str(Path(__file__).with_name("develop.py")), str(max_pixels)]
    done = subprocess.run(program, input=content, capture_output=True, check=False)
    if done.returncode or _GOES_ON in done.stderr:
        problem = done.stderr.decode("utf-8", "replace").replace("unknown file: ", "")
        raise _unsupported(problem or f"exit code {done.returncode}")
    size, _, pixels = done.stdout.partition(b"\n")
    height, width = map(int, size.split())
    check_pixels(width, height, max_pixels)
    return Decoded(np.frombuffer(pixels, np.uint16).reshape(height, width, 3))


def _unsupported(reason: object) -> ValueError:
    text = printable(" ".join(str(reason).split())[:160])
    return ValueError(f"damaged or unsupported ({text}); save it again with another program")
