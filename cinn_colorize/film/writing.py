"""Writing of films: segments that are encoded one by one, and the film that is joined from their packets.

Segments lie in a folder beside the film until it is complete; a call that follows one that was killed finds
those that were finished. Sound, subtitles, chapters and metadata come from the source, packet by packet.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import heapq
import io
import json
import logging
import math
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

from cinn_colorize.errors import FilmError
from cinn_colorize.files.atomic import mode_like, remove_leftovers, writing
from cinn_colorize.files.messages import printable, printable_name
from cinn_colorize.film.reading import SUBSAMPLING, Facts, FilmReader
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.picture import cannot_write

log = logging.getLogger(__name__)

os.environ.setdefault("SVT_LOG", "1")  # noqa: TID251  # or the encoder of AV1 prints its settings

QUALITY = 65  # by default; for H.264 a CRF of 17.5
_BITEXACT = 1024  # FFmpeg's flag of containers without numbers drawn by chance
_AVX_512 = 13  # OpenCV's number of it
_THREADS = 2  # of an encoder, always as many: bytes depend on them
_HEAD = struct.Struct("<qQ?")  # of a packet in a segment: time stamp, bytes, whether it is a key frame
_MARK = "cinn-colorize recipe: "  # in the comment of a film
_STALE = ("BPS", "COMMENT", "DURATION", "ENCODER", "NUMBER_OF_", "ROTATE", "_STATISTICS")  # by how they begin
_STALE += ("COMPATIBLE_BRANDS", "MAJOR_BRAND", "MINOR_VERSION")  # type: ignore[assignment]
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
FORMATS |= dict.fromkeys((".ts", ".mts", ".m2ts"), "mpegts")  # by the suffix, FFmpeg's names


@dataclass(frozen=True)
class _Codec:
    encoder: str
    formats: tuple[str, ...]  # that keep its range, matrix and shape of pixels
    cell: tuple[int, int] | None  # rows and columns that share their Cb and Cr; None for those of the film
    crf: float  # a step of quality
    options: Mapping[str, str]


_CODECS = {
    "h264": _Codec("libx264", ("mp4", "mov", "matroska", "mpegts"), (2, 2), 0.5, {"preset": "medium"}),
    "h265": _Codec(
        "libx265",
        ("mp4", "mov", "matroska", "mpegts"),
        (2, 2),
        0.5,
        {"preset": "medium", "x265-params": f"log-level=none:pools=none:frame-threads={_THREADS}"},
    ),
    "av1": _Codec(
        "libsvtav1",
        ("mp4", "matroska", "webm"),
        (2, 2),
        0.63,
        {"preset": "8", "svtav1-params": f"lp={_THREADS}"},
    ),
    "ffv1": _Codec("ffv1", ("matroska",), None, 0, {"level": "3", "slices": "4", "g": "1"}),
    "prores": _Codec("prores_ks", ("mov", "matroska"), (1, 2), 0, {"profile": "hq", "vendor": "apl0"}),
}
CODECS = tuple(_CODECS)
if cv2.checkHardwareSupport(_AVX_512):  # whose code of x264's macroblock tree reads what nothing has written
    _CODECS["h264"].options["x264-params"] = "asm=avx2"  # type: ignore[index]


@dataclass(frozen=True)
class Target:
    """How a film is encoded.

    Attributes:
        codec: one of ``CODECS``.
        quality: 1 to 100, of H.264, H.265 and AV1.
        cell: rows and columns of pixels that share their Cb and Cr.
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
            FilmError: the codec cannot keep what the film is.
            ValueError: the codec is none of ``CODECS``, or the quality is out of range.
        """
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
        target = cls(codec, quality, cell, pixels, FORMATS.get(film.path.suffix.lower(), "matroska"))
        if target.format not in chosen.formats or not _can_hold(target, film):
            target = cls(codec, quality, cell, pixels, "matroska")
        if target.format == "matroska" and facts.aspect not in (0, 1) and codec not in ("h264", "h265"):
            raise FilmError(f"{film.name}: its pixels are not square, which is kept with h264 and h265 alone")
        return target


class FilmWriter:
    """Writes one film; can be handed to other processes.

    Attributes:
        path: of the film.
        name: of the film in messages.
        target: how it is encoded.
        folder: of its segments.
    """

    def __init__(self, path: Path, film: FilmReader, target: Target, recipe: Mapping[str, str]) -> None:
        """Prepare to write a film.

        Args:
            path: where to write it.
            film: the source.
            target: how to encode it.
            recipe: how it is made; :func:`read_recipe` reads it. Segments of another recipe are not used.
        """
        self.path, self.name, self.target, self.folder = (
            path,
            printable_name(path),
            target,
            path.with_name(f".{path.name}.parts"),
        )
        self._film, self._recipe = film, dict(recipe)
        key = json.dumps([self._recipe, repr(target), repr(film.facts), av.__version__], sort_keys=True)
        self._key = hashlib.sha256(key.encode()).hexdigest()[:16]

    def prepare(self) -> None:
        """Make the folder of the segments, and remove what is of no use there; one process does so."""
        with self._raising():
            self.folder.mkdir(exist_ok=True)
            remove_leftovers(self.folder)
            for path in self.folder.glob("*.segment"):
                if not path.name.startswith(self._key):
                    path.unlink()

    def has(self, start: int, end: int | None) -> bool:
        """Return whether the segment of the frames from time stamp ``start`` to ``end`` is finished."""
        return self._segment(start, end).exists()

    @contextlib.contextmanager
    def segment(self, start: int, end: int | None) -> Iterator[Callable[[int, Sequence[Pixels]], None]]:
        """Yield a function that takes the time stamp and planes of a segment's frames, in order.

        The segment is there when the context ends without an exception.

        Raises:
            PhotoError: it cannot be written.
        """
        target, facts = self.target, self._film.facts
        encoder: Any = av.CodecContext.create(_CODECS[target.codec].encoder, "w")
        _configure(encoder, target, facts)
        if target.format != "mpegts":
            encoder.flags |= av.codec.context.Flags.global_header
        with self._raising(), writing(self._segment(start, end)) as file:

            def store(packets: Sequence[Any]) -> None:
                for packet in packets:
                    file.write(_HEAD.pack(packet.pts, packet.size, packet.is_keyframe))
                    file.write(packet)

            def write(pts: int, planes: Sequence[Pixels]) -> None:
                frame = _frame_of(planes, target, facts)
                frame.pts, frame.time_base = pts, facts.time_base
                store(encoder.encode(frame))

            yield write
            store(encoder.encode(None))

    def join(self, segments: Sequence[tuple[int, int | None]], *, is_part: bool = False) -> None:
        """Join segments to the film with all else of the source.

        Args:
            segments: their ``start`` and ``end``, in order.
            is_part: whether they are only a part of the source, from which the rest is cut as well.

        Raises:
            FilmError: the source has changed, or the segments have no frames.
            PhotoError: the film cannot be written.
        """
        parts = [self._segment(*one) for one in segments]
        options = {"avoid_negative_ts": "disabled"}
        if self.target.format == "mpegts":
            options["mpegts_copyts"] = "1"
        mode = mode_like(self._film.path)
        with self._raising(), writing(self.path, mode) as file, self._film.opened() as source:
            with av.open(file, "w", format=self.target.format, container_options=options) as out:
                out.flags |= _BITEXACT
                places = self._add_streams(source, out)
                out.metadata.update(_lasting(source.metadata))
                out.metadata["comment"] = f"{_comment(source)}\n{_MARK}{json.dumps(self._recipe)}".strip()
                if not is_part:
                    out.set_chapters(source.chapters())
                copied = [stream for stream in source.streams if stream.index in places]
                packets: Iterator[Any] = iter(source.demux(*copied)) if copied else iter(())
                others = ((one, places[one.stream.index]) for one in packets if one.dts is not None)
                base, (first, last) = self._film.facts.time_base, (segments[0][0], segments[-1][1])
                if is_part:
                    others = (
                        pair
                        for pair in others
                        if first <= pair[0].pts * pair[0].time_base / base < (last or math.inf)
                    )
                video = ((one, places[None]) for one in self._packets(parts))
                for packet, stream in heapq.merge(
                    video, others, key=lambda pair: pair[0].dts * pair[0].time_base
                ):
                    if is_part:
                        start = round(first * base / packet.time_base)
                        packet.pts, packet.dts = packet.pts - start, packet.dts - start
                    packet.stream = stream
                    out.mux_one(packet)
            self._film.check_unchanged()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _segment(self, start: int, end: int | None) -> Path:
        return self.folder / f"{self._key}_{start}_{'' if end is None else end}.segment"

    def _add_streams(self, source: Any, out: Any) -> dict[int | None, Any]:
        """Add the film's streams; return them by their number in the source, None for the colorized one."""
        facts = self._film.facts
        places: dict[int | None, Any] = {}
        for stream in source.streams:
            if stream.index not in facts.others:
                added = places[None] = _add_video(self.target, facts, out)
            elif _can_start(self.target.format, functools.partial(_add_copy, stream)):
                added = _add_copy(stream, out)
                if stream.type != "attachment":
                    places[stream.index] = added
            elif stream.type != "data" or not source.chapters():  # whose titles QuickTime has in a stream
                log.warning(f"{self.name}: its {stream.type} {printable(stream.name or '')} cannot be kept")
                continue
            else:
                continue
            added.metadata.update(_lasting(stream.metadata))
            added.disposition = stream.disposition
        return places

    def _packets(self, parts: Sequence[Path]) -> Iterator[Any]:
        """Yield the packets of segments with decoding times of one film: those of its frames, delayed.

        Each encoder begins with a delay of its own, so that its times would run back at the next segment.
        """
        facts, delay = self._film.facts, 0
        shown: list[int] = []
        for part in parts:
            given = [packet.pts for packet in _read(part)]
            place = {pts: k for k, pts in enumerate(sorted(given))}
            delay = max([delay, *(k - place[pts] for k, pts in enumerate(given))])
            shown += sorted(given)
        if not shown:
            raise FilmError(f"{self._film.name}: has no frames there")
        step = max(1, round(1 / facts.rate / facts.time_base))
        rest = facts.end - shown[-1]
        ends = dict(
            zip(shown, [*shown[1:], shown[-1] + (rest if 0 < rest < 2 * step else step)], strict=True)
        )
        times = iter([shown[0] - k * step for k in range(delay, 0, -1)] + shown)
        for part in parts:
            for packet in _read(part):
                packet.time_base, packet.dts = facts.time_base, next(times)
                packet.duration = ends[packet.pts] - packet.pts
                yield packet

    @contextlib.contextmanager
    def _raising(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise cannot_write(self.name, printable(error.strerror or str(error))) from None


def read_recipe(path: Path) -> dict[str, str]:
    """Return the recipe of a film; empty if it has none.

    Raises:
        FilmError: the film cannot be read.
    """
    with FilmReader(path).opened() as container:
        try:
            found = json.loads(_comment(container, is_ours=True) or "{}")
        except ValueError:
            return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _comment(container: Any, *, is_ours: bool = False) -> str:
    """Return the comment of a film without its recipe, or the recipe."""
    comments = [value for key, value in container.metadata.items() if key.lower() == "comment"]
    return "".join(comments).partition(_MARK)[2 if is_ours else 0].strip()


def _lasting(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what metadata says of a film or a stream whatever its encoding."""
    return {key: value for key, value in metadata.items() if not key.upper().startswith(_STALE)}


def _read(part: Path) -> Iterator[Any]:
    """Yield the packets of a segment, without decoding times."""
    with part.open("rb") as file:
        while head := file.read(_HEAD.size):
            pts, size, is_key = _HEAD.unpack(head)
            packet: Any = av.Packet(file.read(size))
            packet.pts, packet.is_keyframe = pts, is_key
            yield packet


def _add_video(target: Target, facts: Facts, container: Any) -> Any:
    """Add the stream of the film to a container."""
    stream = container.add_stream(_CODECS[target.codec].encoder, rate=facts.rate)
    stream.time_base = facts.time_base
    _configure(stream.codec_context, target, facts)
    if target.codec == "h265" and target.format in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"  # the one that Apple's players know
    if facts.matrix:
        stream.set_display_matrix(facts.matrix)
    return stream


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


def _frame_of(planes: Sequence[Pixels], target: Target, facts: Facts) -> Any:
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


def _can_hold(target: Target, film: FilmReader) -> bool:
    """Return whether the container can hold the colorized film with all of its sound and subtitles."""
    with film.opened() as source:
        kept = [s for s in source.streams if s.index in film.facts.others and s.type in ("audio", "subtitle")]
        copies = [functools.partial(_add_copy, stream) for stream in kept]
        film_itself = functools.partial(_add_video, target, film.facts)
        return all(_can_start(target.format, add) for add in (film_itself, *copies))


def _add_copy(stream: Any, container: Any) -> Any:
    return container.add_stream_from_template(stream, opaque=True)


def _can_start(format: str, add: Callable[[Any], object]) -> bool:
    """Return whether a container of a format takes what ``add`` adds to it."""
    try:
        with av.open(io.BytesIO(), "w", format=format) as trial:
            add(trial)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
