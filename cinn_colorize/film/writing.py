"""Writing of films: segments that are encoded one by one, and the film that is joined from their packets.

A segment lies in a folder beside the film until the film is complete. A call that was killed finds those that were
finished. Sound, subtitles, chapters and metadata come from the source, packet by packet.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import io
import json
import logging
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer

from cinn_colorize.errors import FilmError
from cinn_colorize.files.atomic import remove_leftovers, writing
from cinn_colorize.files.messages import printable, printable_name
from cinn_colorize.film.reading import Facts, FilmReader
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.picture import cannot_write

log = logging.getLogger(__name__)

os.environ.setdefault("SVT_LOG", "1")  # noqa: TID251  # or the encoder of AV1 prints its settings

QUALITY = 65  # by default; for H.264 a CRF of 17.5
_AVX_512 = 13  # OpenCV's number of it
_THREADS = 2  # of an encoder, always as many: bytes depend on them
_HEAD = struct.Struct("<qQ?")  # of a packet in a segment: time stamp, bytes, whether it is a key frame
_MARK = "cinn-colorize recipe: "  # in the comment of a film
_STALE = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS", "encoder", "ENCODER", "rotate", "vendor_id")
_CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands")
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
_FORMATS |= dict.fromkeys((".ts", ".mts", ".m2ts"), "mpegts")
_MUXERS = {"mpegts": {"mpegts_copyts": "1"}}


@dataclass(frozen=True)
class _Codec:
    encoder: str
    formats: tuple[str, ...]  # containers that keep its range and matrix
    cell: tuple[int, int] | None  # rows and columns that share their chroma; None for those of the film
    options: Callable[[int], dict[str, str]]  # of a quality from 1 to 100


def _crf(quality: int) -> str:
    return f"{(100 - quality) / 2:g}"


_CODECS = {
    "h264": _Codec(
        "libx264",
        ("mp4", "mov", "matroska", "mpegts"),
        (2, 2),
        lambda quality: {
            "preset": "medium",
            "crf": _crf(quality),
            # The AVX-512 code of its macroblock tree reads memory that nothing has written: bytes differ.
            **({"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX_512) else {}),
        },
    ),
    "h265": _Codec(
        "libx265",
        ("mp4", "mov", "matroska", "mpegts"),
        (2, 2),
        lambda quality: {
            "preset": "medium",
            "crf": _crf(quality),
            "x265-params": f"log-level=none:pools=none:frame-threads={_THREADS}",
        },
    ),
    "av1": _Codec(
        "libsvtav1",
        ("mp4", "matroska", "webm"),
        (2, 2),
        lambda quality: {
            "preset": "8",
            "crf": str(round((100 - quality) * 0.63)),
            "svtav1-params": f"lp={_THREADS}",
        },
    ),
    "ffv1": _Codec("ffv1", ("matroska",), None, lambda _: {"level": "3", "slices": "4", "g": "1"}),
    "prores": _Codec(
        "prores_ks",
        ("mov", "matroska"),
        (1, 2),
        lambda quality: {"profile": str(min(3, quality // 25)), "vendor": "apl0"},
    ),
}
CODECS = tuple(_CODECS)


@dataclass(frozen=True)
class Target:
    """How a film is encoded.

    Attributes:
        codec: one of ``CODECS``.
        quality: 1 to 100; FFV1 is lossless at any.
        cell: rows and columns of pixels that share their chroma.
        pixels: FFmpeg's name of the pixel format.
        format: FFmpeg's name of the container.
    """

    codec: str
    quality: int
    cell: tuple[int, int]
    pixels: str
    format: str

    @classmethod
    def of(cls, film: FilmReader, codec: str = "h264", quality: int = QUALITY) -> Target:
        """Choose the container of the film if it can hold the streams, else Matroska.

        Raises:
            ValueError: the codec is none of ``CODECS``, or the quality is out of range.
        """
        if codec not in _CODECS:
            raise ValueError(f"codec must be one of {', '.join(CODECS)}, not {codec!r:.80}")
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be 1 to 100, not {quality}")
        facts = film.facts
        cell = _CODECS[codec].cell or facts.cell
        if cell != (1, 1) and codec in ("h264", "h265") and any(side % 2 for side in facts.size):
            cell = 1, 1  # these cannot crop to half a cell
        deep = facts.coding.bits > 8 or codec == "prores"
        pixels = f"yuv{ {(2, 2): '420', (1, 2): '422', (1, 1): '444'}[cell] }p" + ("10le" if deep else "")
        format = _FORMATS.get(film.path.suffix.lower(), "matroska")
        target = cls(codec, quality, cell, pixels, format)
        if format not in _CODECS[codec].formats or not _holds_all(target, film):
            target = cls(codec, quality, cell, pixels, "matroska")
        if target.format == "matroska" and facts.aspect not in (0, 1) and codec not in ("h264", "h265"):
            raise FilmError(
                f"{film.name}: its pixels are not square, which {codec} here does not keep; choose h264"
            )
        return target

    @property
    def suffix(self) -> str:
        """Suffix of the film's file, if it is not the source's."""
        return next(suffix for suffix, format in _FORMATS.items() if format == self.format)


class FilmWriter:
    """Writes one film.

    Attributes:
        path: of the film.
        name: of the film in messages.
        target: how it is encoded.
    """

    def __init__(self, path: Path, film: FilmReader, target: Target, recipe: Mapping[str, str]) -> None:
        """Prepare the folder of the segments, without those of other settings.

        Args:
            path: where to write the film.
            film: the source.
            target: how to encode it.
            recipe: how the film is made; :func:`read_recipe` reads it.
        """
        self.path, self.name, self.target = path, printable_name(path), target
        self._film, self._recipe = film, dict(recipe)
        self.folder = path.with_name(f"{path.name}.parts")
        key = json.dumps([self._recipe, repr(target), repr(film.facts), av.__version__], sort_keys=True)
        self._key = hashlib.sha256(key.encode()).hexdigest()[:16]

    def clean(self) -> None:
        """Make the folder of the segments, and remove what is of no use from it; one process does so."""
        with self._raising():
            self.folder.mkdir(exist_ok=True)
            remove_leftovers(self.folder)
            for path in self.folder.glob("*.part"):
                if not path.name.startswith(self._key):
                    path.unlink()

    def has(self, start: int) -> bool:
        """Return whether the segment whose first frame has the time stamp ``start`` is finished."""
        return self._segment(start).exists()

    @contextlib.contextmanager
    def segment(self, start: int) -> Iterator[Callable[[int, Sequence[Pixels]], None]]:
        """Yield a function that takes the time stamp and planes of a segment's frames, in order.

        The segment is there when the context ends without an exception.
        """
        target, facts = self.target, self._film.facts
        encoder = av.CodecContext.create(_CODECS[target.codec].encoder, "w")
        _configure(encoder, target, facts)
        if target.format != "mpegts":
            encoder.flags |= Flags.global_header
        with self._raising(), writing(self._segment(start)) as file:

            def store(packets: Sequence[av.Packet]) -> None:
                for packet in packets:
                    file.write(_HEAD.pack(packet.pts, packet.size, packet.is_keyframe))
                    file.write(packet)

            def write(pts: int, planes: Sequence[Pixels]) -> None:
                frame = _frame_of(planes, target, facts)
                frame.pts, frame.time_base = pts, facts.time_base
                store(encoder.encode(frame))

            yield write
            store(encoder.encode(None))

    def join(self, starts: Sequence[int]) -> None:
        """Join the segments to the film, with all else that the source holds, and remove them.

        Args:
            starts: time stamps of the first frames of all segments, in order.
        """
        parts = [self._segment(start) for start in starts]
        with self._raising(), writing(self.path) as file, contextlib.ExitStack() as opened:
            source = opened.enter_context(av.open(str(self._film.path), metadata_errors="replace"))
            options = {"avoid_negative_ts": "disabled", **_MUXERS.get(self.target.format, {})}
            out = opened.enter_context(
                av.open(file, "w", format=self.target.format, container_options=options)
            )
            out.flags |= av.container.Flags.bitexact.value  # without names made by chance
            places = self._streams(source, out)
            out.metadata.update(
                {key: value for key, value in source.metadata.items() if key not in _CONTAINER_TAGS}
            )
            out.metadata["comment"] = _comment(source.metadata.get("comment", ""), self._recipe)
            out.set_chapters(source.chapters())
            video = ((packet, places[None]) for packet in self._packets(parts))
            others = (
                (
                    (packet, places[packet.stream.index])
                    for packet in source.demux(*(source.streams[k] for k in places if k is not None))
                    if packet.dts is not None
                )
                if len(places) > 1
                else iter(())
            )
            for packet, stream in heapq.merge(
                video, others, key=lambda pair: pair[0].dts * pair[0].time_base
            ):
                packet.stream = stream
                out.mux_one(packet)
        self._film.check_unchanged()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _segment(self, start: int) -> Path:
        return self.folder / f"{self._key}_{start}.part"

    def _streams(self, source: InputContainer, out: OutputContainer) -> dict[int | None, Any]:
        """Add the streams of the film; return them by their number in the source, None for the colorized one."""
        facts = self._film.facts
        places: dict[int | None, Any] = {}
        for stream in source.streams:
            if stream.index not in facts.copied:
                added = places[None] = _add_video(out, self.target, facts)
            elif _holds(self.target.format, stream):
                added = out.add_stream_from_template(stream, opaque=True)
                if stream.type != "attachment":
                    places[stream.index] = added
            else:
                kind = f"{stream.type} ({printable(stream.name or 'unknown')})"
                log.warning(
                    f"{self.name}: {kind} of the film is left out; {self.target.format} cannot hold it"
                )
                continue
            added.metadata.update(
                {key: value for key, value in stream.metadata.items() if not key.startswith(_STALE)}
            )
            added.disposition = stream.disposition
        return places

    def _packets(self, parts: Sequence[Path]) -> Iterator[av.Packet]:
        """Yield the packets of segments with decoding times of one film: those of the frames in order, delayed.

        Each encoder begins with a delay of its own, after which times may run back at the next segment.
        """
        facts = self._film.facts
        given: list[int] = []
        delay = 0
        for part in parts:
            shown = [packet.pts for packet in _read(part)]
            places = {pts: place for place, pts in enumerate(sorted(shown))}
            delay = max([delay, *(k - places[pts] for k, pts in enumerate(shown))])
            given += sorted(shown)
        if not given:
            raise FilmError(f"{self._film.name}: has no frames")
        step = max(1, round(1 / facts.rate / facts.time_base))
        left = facts.end - given[-1]
        last = left if 0 < left < 10 * step else step
        times = [given[0] - k * step for k in range(delay, 0, -1)] + given
        ends = dict(zip(given, [*given[1:], given[-1] + last], strict=True))
        decoded = iter(times)
        for part in parts:
            for packet in _read(part):
                packet.time_base = facts.time_base
                packet.dts, packet.duration = next(decoded), ends[packet.pts] - packet.pts
                yield packet

    @contextlib.contextmanager
    def _raising(self) -> Iterator[None]:
        try:
            yield
        except av.error.FFmpegError as error:
            raise cannot_write(self.name, printable(error.strerror or str(error))) from None
        except OSError as error:
            raise cannot_write(self.name, error.strerror or str(error)) from None


def read_recipe(path: Path) -> dict[str, str]:
    """Return the recipe of a film; empty if it has none.

    Raises:
        FilmError: the film cannot be read.
    """
    film = FilmReader(path)
    with av.open(str(film.path), metadata_errors="replace") as container:
        comments = [value for key, value in container.metadata.items() if key.lower() == "comment"]
    try:
        found = json.loads(comments[0].partition(_MARK)[2]) if comments else {}
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _comment(comment: str, recipe: Mapping[str, str]) -> str:
    said = comment.partition(_MARK)[0].strip()
    return f"{said}\n{_MARK}{json.dumps(recipe)}".strip()


def _read(part: Path) -> Iterator[av.Packet]:
    """Yield the packets of a segment, without decoding times."""
    with part.open("rb") as file:
        while head := file.read(_HEAD.size):
            pts, size, is_key = _HEAD.unpack(head)
            packet = av.Packet(file.read(size))
            packet.pts, packet.is_keyframe = pts, is_key
            yield packet


def _add_video(container: OutputContainer, target: Target, facts: Facts) -> Any:
    """Add the stream of a film to a container."""
    stream = container.add_stream(_CODECS[target.codec].encoder, rate=facts.rate)
    stream.time_base = facts.time_base
    _configure(stream.codec_context, target, facts)
    if target.codec == "h265" and target.format in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # the one that Apple's players know
    if facts.matrix:
        stream.set_display_matrix(facts.matrix)
    return stream


def _configure(context: Any, target: Target, facts: Facts) -> None:
    """Prepare an encoder; all of a film, and of all calls, give the same headers."""
    context.options = _CODECS[target.codec].options(target.quality)
    context.height, context.width = facts.size
    context.pix_fmt = target.pixels
    context.time_base, context.framerate = facts.time_base, facts.rate
    context.thread_count = _THREADS
    if facts.aspect:
        context.sample_aspect_ratio = facts.aspect
    _tag(context, target, facts)


def _tag(what: Any, target: Target, facts: Facts) -> None:
    """Tell an encoder or a frame what code values mean."""
    what.color_range, what.colorspace, what.color_primaries, what.color_trc = facts.tags
    if target.codec == "prores":  # of which no file tells the range
        what.color_range = 1


def _frame_of(planes: Sequence[Pixels], target: Target, facts: Facts) -> av.VideoFrame:
    """Copy planes to a frame."""
    height, width = facts.size
    deep = planes[0].dtype == np.uint16
    own = target.pixels.removesuffix("10le") + ("10le" if deep else "")
    frame = av.VideoFrame(width, height, own)
    for plane, values in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, values.dtype).reshape(plane.height, -1)
        lines[:, : plane.width] = values
    if own != target.pixels or (target.codec == "prores" and facts.coding.is_full):
        range_ = 2 if facts.coding.is_full else 1
        limited = 1 if target.codec == "prores" else range_
        frame = frame.reformat(format=target.pixels, src_color_range=range_, dst_color_range=limited)
    _tag(frame, target, facts)
    return frame


def _holds_all(target: Target, film: FilmReader) -> bool:
    """Return whether a container can hold the colorized film with all of its sound and subtitles."""

    def add(out: OutputContainer) -> None:
        _add_video(out, target, film.facts)

    if not _can_start(target.format, add):
        return False
    with av.open(str(film.path), metadata_errors="replace") as source:
        others = [source.streams[k] for k in film.facts.copied]
        return all(_holds(target.format, stream) for stream in others if stream.type in ("audio", "subtitle"))


def _holds(format: str, stream: Any) -> bool:
    return _can_start(format, lambda out: out.add_stream_from_template(stream, opaque=True))


def _can_start(format: str, add: Callable[[OutputContainer], object]) -> bool:
    """Return whether a container of a format with what ``add`` adds has a header that can be written."""
    try:
        with av.open(io.BytesIO(), "w", format=format) as trial:
            add(trial)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
