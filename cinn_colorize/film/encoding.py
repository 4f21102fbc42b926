"""How films are encoded: codecs, their settings, and the containers that hold them."""

import functools
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import cv2
import numpy as np

from cinn_colorize.errors import FilmError
from cinn_colorize.film.reading import SUBSAMPLING, Facts, FilmReader
from cinn_colorize.imaging.color import Pixels

os.environ.setdefault("SVT_LOG", "1")  # noqa: TID251  # or the encoder of AV1 prints its settings

QUALITY = 65  # by default; for H.264 a CRF of 17.5
_AVX_512 = 13  # OpenCV's number of it
_THREADS = 2  # of an encoder, always as many: bytes depend on them
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
FORMATS |= dict.fromkeys((".ts", ".mts", ".m2ts"), "mpegts")  # by the suffix, FFmpeg's names


@dataclass(frozen=True)
class _Codec:
    encoder: str
    formats: tuple[str, ...]  # that keep its range, matrix and shape of pixels
    cell: tuple[int, int] | None  # rows and columns that share their Cb and Cr; None for those of the film
    crf: float  # a step of quality
    options: Mapping[str, str]


_X265 = {"preset": "faster", "x265-params": f"log-level=none:pools=none:frame-threads={_THREADS}"}
_AV1 = {"preset": "8", "svtav1-params": f"lp={_THREADS}"}
_CODECS = {
    "h264": _Codec("libx264", ("mp4", "mov", "matroska", "mpegts"), (2, 2), 0.5, {"preset": "faster"}),
    "h265": _Codec("libx265", ("mp4", "mov", "matroska", "mpegts"), (2, 2), 0.5, _X265),
    "av1": _Codec("libsvtav1", ("mp4", "matroska", "webm"), (2, 2), 0.63, _AV1),
    "ffv1": _Codec("ffv1", ("matroska",), None, 0, {"level": "3", "slices": "4", "g": "1"}),
    "prores": _Codec("prores_ks", ("mov", "matroska"), (1, 2), 0, {"profile": "hq", "vendor": "apl0"}),
}
CODECS = tuple(_CODECS)
if cv2.checkHardwareSupport(_AVX_512):  # whose code of x264's macroblock tree reads what nothing has written
    _CODECS["h264"].options["x264-params"] = "asm=avx2"  # type: ignore[index]


@dataclass(frozen=True)
class Target:
    """How a film is encoded."""

    codec: str  # one of CODECS
    quality: int  # 1 to 100, of H.264, H.265 and AV1
    cell: tuple[int, int]  # rows and columns of pixels that share their Cb and Cr
    pixels: str  # FFmpeg's name of the pixel format
    format: str  # FFmpeg's name of the container
    others: tuple[int, ...]  # numbers of the source's streams that the container can hold beside the film

    @classmethod
    def of(cls, film: FilmReader, codec: str = "h264", quality: int = QUALITY) -> "Target":
        """Choose the container of the film if it can hold the streams, else Matroska."""
        if codec not in _CODECS:
            raise ValueError(f"codec must be one of {', '.join(CODECS)}, not {codec!r:.80}")
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be 1 to 100, not {quality}")
        facts, chosen = film.facts, _CODECS[codec]
        cell = chosen.cell or facts.cell
        if codec in ("h264", "h265") and any(side % 2 for side in facts.size):
            cell = 1, 1  # they cannot crop to half a cell
        is_deep = facts.coding.bits > 8 or codec == "prores"
        pixels = f"yuv{SUBSAMPLING[cell]}p" + ("10le" if is_deep else "")
        own = FORMATS.get(film.path.suffix.lower(), "matroska")
        for format in (own, "matroska") if own in chosen.formats else ("matroska",):
            target = cls(codec, quality, cell, pixels, format, others=())
            others, is_complete = _held(target, film)
            target = replace(target, others=others)
            if is_complete:
                break
        if target.format == "matroska" and facts.aspect not in (0, 1) and codec not in ("h264", "h265"):
            raise FilmError(f"{film.name}: its pixels are not square, which is kept with h264 and h265 alone")
        return target


def add_video(target: Target, facts: Facts, container: Any) -> Any:
    """Add the stream of the film to a container."""
    stream = container.add_stream(_CODECS[target.codec].encoder, rate=facts.rate)
    stream.time_base = facts.time_base
    _configure(stream.codec_context, target, facts)
    if target.codec == "h265" and target.format in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # the one that Apple's players know
    if facts.matrix:
        stream.set_display_matrix(facts.matrix)
    return stream


def create_encoder(target: Target, facts: Facts) -> Any:
    """Return the encoder of a segment."""
    encoder = av.CodecContext.create(_CODECS[target.codec].encoder, "w")
    _configure(encoder, target, facts)
    if target.format != "mpegts":
        encoder.flags |= av.codec.context.Flags.global_header
    return encoder


def _configure(context: Any, target: Target, facts: Facts) -> None:
    """Prepare an encoder; those of a film, in all calls, have the same headers."""
    codec = _CODECS[target.codec]
    context.options = {**codec.options, "crf": f"{(100 - target.quality) * codec.crf:g}"}
    if not codec.crf:
        del context.options["crf"]
    context.height, context.width = facts.size
    context.pix_fmt, context.thread_count = target.pixels, _THREADS
    context.time_base, context.framerate = facts.time_base, facts.rate
    if facts.aspect:
        context.sample_aspect_ratio = facts.aspect
    _tag(context, target, facts)


def _tag(what: Any, target: Target, facts: Facts) -> None:
    """Tell an encoder or a frame what code values mean."""
    what.color_range, what.colorspace, what.color_primaries, what.color_trc = facts.tags
    if target.codec == "prores":  # of which no file tells the range
        what.color_range = 1


def frame_of(planes: Sequence[Pixels], target: Target, facts: Facts) -> Any:
    """Copy planes to a frame."""
    own = target.pixels.removesuffix("10le") + ("10le" if facts.coding.bits > 8 else "")
    frame = av.VideoFrame(facts.size[1], facts.size[0], own)
    for plane, values in zip(frame.planes, planes, strict=True):
        lines: Any = np.frombuffer(plane, values.dtype)  # type: ignore[call-overload]
        lines.reshape(plane.height, -1)[:, : plane.width] = values
    if target.codec == "prores" and (own != target.pixels or facts.coding.is_full):
        range_ = 1 + facts.coding.is_full
        frame = frame.reformat(format=target.pixels, src_color_range=range_, dst_color_range=1)
    _tag(frame, target, facts)
    return frame


def _held(target: Target, film: FilmReader) -> tuple[tuple[int, ...], bool]:
    """Return the streams that a container can hold beside the film, and whether no sound or text is lost."""
    with film.opened() as source:
        streams = [source.streams[k] for k in film.facts.others]
        held = [one.index for one in streams if _can_start(target, functools.partial(add_copy, one))]
        lost = [one for one in streams if one.index not in held and one.type in ("audio", "subtitle")]
        is_complete = not lost and _can_start(target, functools.partial(add_video, target, film.facts))
    return tuple(held), is_complete


def add_copy(stream: Any, container: Any) -> Any:
    """Add a stream of the source to a container, packets to be copied."""
    return container.add_stream_from_template(stream, opaque=True)


def _can_start(target: Target, add: Callable[[Any], object]) -> bool:
    """Return whether the container takes what ``add`` adds to it."""
    try:
        with av.open(io.BytesIO(), "w", format=target.format) as trial:
            add(trial)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
