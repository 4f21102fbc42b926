"""Reading of films by FFmpeg's libraries (PyAV): what a file holds, and its frames."""

import contextlib
import itertools
import logging
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from cinn_colorize.errors import FilmError, counted, missing, printable_name
from cinn_colorize.files.formats import SUFFIXES, is_film, own_suffix
from cinn_colorize.film.planes import Coding, gray_luma, lightness_bytes
from cinn_colorize.film.render import SIZE
from cinn_colorize.imaging import frame as frames_of_scans
from cinn_colorize.imaging.bands import threads
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.options import Box

log = logging.getLogger(__name__)

SUBSAMPLING = {(2, 2): "420", (1, 2): "422", (1, 1): "444", (2, 1): "444"}  # by rows and columns of a cell
_MATRICES = {1: 1, 4: 5, 5: 5, 6: 5, 7: 1, 9: 9, 10: 9}  # those of H.273, by the nearest one known here
_HDR = {16: "PQ", 18: "HLG"}  # transfer curves
_HD = 720  # rows from which a film without tags is taken for BT.709, as players do
_MOST_PIXELS = 8192 * 8192
_GRAY = 2  # codes of 8 bits by which Cb and Cr of a gray film may stray
_SAMPLES = 12  # frames in which bars are looked for
_DARK, _STILL = 30, 10  # most of bars, and change of a frame all along the film, in L* times 2.55
_MOST_DAMAGED = 1000  # packets before the first frame
_ATTACHED = av.stream.Disposition.attached_pic


@dataclass(frozen=True)
class Facts:
    """What a film is."""

    size: tuple[int, int]  # height and width of a frame as it is stored
    aspect: Fraction  # of a pixel, width to height; 0 if it is not said
    matrix: tuple[int, ...]  # nine numbers that turn stored frames into those that are seen; empty for none
    turns: int  # the same in quarter turns, anticlockwise
    rate: Fraction  # mean of frames a second
    time_base: Fraction  # seconds of a unit of time stamps
    start: int  # first time stamp
    end: int  # time stamp at which the film ends; that of the start if it is not known
    coding: Coding  # what luma and chroma mean
    tags: tuple[int, int, int, int]  # range, matrix, primaries and transfer curve, as FFmpeg numbers them
    cell: tuple[int, int]  # rows and columns of pixels that share their Cb and Cr
    others: tuple[int, ...]  # numbers of the streams beside the film's own

    @property
    def seconds(self) -> float:
        """Duration; 0 if it is not known."""
        return float((self.end - self.start) * self.time_base)


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame of a film."""

    pts: int  # time stamp, in units of the film's time base
    luma: Pixels  # (H, W) uint8 or uint16, luma of the gray that has its L*
    L: NDArray[np.uint8]  # (256, 256), L* times 2.55 of the picture inside the film's bars, as it is seen


class FilmReader:
    """A film in a file, which is opened anew for each pass; can be handed to other processes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.name = Path(path), printable_name(path)
        self._state = self._status()
        with self.opened() as container:
            self.facts = self._facts(container)

    @cached_property
    def box(self) -> Box:
        """The picture inside black bars and a frame that stay all along the film, in pixels as stored."""
        return find_box(self._samples()) or Box(0, 0, *self.facts.size[::-1])

    @property
    def picture(self) -> Box:
        """The same in pixels of frames as they are seen."""
        box, (height, width) = self.box, self.facts.size
        for _ in range(self.facts.turns):
            box = Box(box.top, width - box.right, box.bottom, width - box.left)
            height, width = width, height
        return box

    @cached_property
    def times(self) -> list[int]:
        """Time stamps of all frames, in order, as the packets of the file tell them."""
        with self.opened() as container:
            packets = container.demux(self._stream(container))
            return sorted({one.pts for one in packets if one.pts is not None and not one.is_discard})

    def between(self, start: float | None, end: float | None) -> range:
        """Return the numbers of the frames between two times in seconds; FilmError if there are none."""
        times, facts = self.times, self.facts
        first = bisect_left(times, facts.start + (start or 0) / facts.time_base)
        last = len(times) if end is None else bisect_left(times, facts.start + end / facts.time_base)
        if first >= last:
            raise self._error(f"has no frames there; it lasts {facts.seconds:.1f} seconds")
        return range(first, last)

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[DecodedFrame]:
        """Yield the frames from time stamp ``start`` to before ``end``; damage is logged and passed over."""
        last: int | None = None
        for frame in self._from(self.facts.start if start is None else start):
            if frame.pts is None or (last is not None and frame.pts <= last):
                # A damaged file; encoders want more.
                frame.pts = self.facts.start if last is None else last + 1
            last = frame.pts
            if end is not None and last >= end:
                return
            if (frame.height, frame.width) != self.facts.size:
                problem = f"frames are {frame.width}x{frame.height} pixels from {frame.time:.1f} s on"
                raise self._error(f"{problem}; cut it there")
            if start is None or last >= start:
                luma = self._luma(frame)
                yield DecodedFrame(last, luma, self.seen(luma))
        self.check_unchanged()

    def opened(self) -> InputContainer:
        try:  # by its whole path, as FFmpeg takes the start of "Metropolis: 1927.avi" for a protocol
            return av.open(os.path.abspath(self.path), metadata_errors="replace")  # noqa: PTH100
        except (av.error.FFmpegError, OSError) as error:
            reason = (error.strerror or "unknown error").lower()
            raise self._error(f"is no film, or damaged, cut off or encrypted ({reason})") from None

    def check_unchanged(self) -> None:
        """Raise a FilmError if something has written to the file since it was first opened."""
        if self._status() != self._state:
            raise self._error("changes while it is read; run the same command when it is complete")

    def _error(self, problem: str) -> FilmError:
        return FilmError(f"{self.name}: {problem}")

    def _status(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise FilmError(missing(self.path)) from None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from None
        if stat.S_ISDIR(status.st_mode):
            raise self._error("is a folder; give a film")
        if not stat.S_ISREG(status.st_mode):
            raise self._error("is no file; films are read more than once, so save it as one first")
        if not status.st_size:
            raise self._error("is empty")
        return status.st_size, status.st_mtime_ns

    def _stream(self, container: InputContainer) -> Any:
        for stream in container.streams.video:
            if not stream.disposition & _ATTACHED:
                if stream.codec_context is None:
                    raise self._error("its codec is not known; save it in another one, such as H.264")
                stream.thread_type, stream.thread_count = "AUTO", threads()
                return stream
        raise self._error("has no video stream; give a film")

    def _facts(self, container: InputContainer) -> Facts:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise self._error("is a photo; use cinn-colorize colorize")
        stream = self._stream(container)
        first = next(self._decoded(container, stream), None)
        if first is None:
            raise self._error("no frame can be decoded; it is empty, damaged or encrypted")
        if problem := _problem(first):
            raise self._error(problem)
        start, length = stream.start_time or 0, stream.duration
        if not length:
            length = round(Fraction(container.duration or 0, av.time_base) / stream.time_base)
        matrix = next((data for data in first.side_data if data.type.name == "DISPLAYMATRIX"), b"")
        coding, cell = _coding(first), (2, 2)
        if len(first.format.components) >= 3 and not _is_rgb(first):  # grays and RGB are written as 4:2:0
            cell = min(2, 64 // first.format.chroma_height(64)), min(2, 64 // first.format.chroma_width(64))
        said = first.colorspace if first.colorspace in _MATRICES and not _is_rgb(first) else 0
        tagged = said or {1: 1, 5: 6, 9: 9}[coding.matrix]
        return Facts(
            size=(first.height, first.width),
            aspect=stream.sample_aspect_ratio or Fraction(0),
            matrix=tuple(np.frombuffer(matrix, np.int32).tolist()),
            turns=round(first.rotation / 90) % 4,
            rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            time_base=stream.time_base,
            start=start,
            end=start + length,
            coding=coding,
            tags=(1 + coding.is_full, tagged, first.color_primaries, first.color_trc),
            cell=cell,
            others=tuple(other.index for other in container.streams if other.index != stream.index),
        )

    def _samples(self) -> Iterator[NDArray[np.uint8]]:
        """Yield L* times 2.55, (H, W), of frames from all of the film, those that are found fastest."""
        start, length = self.facts.start, self.facts.end - self.facts.start
        with self.opened() as container:
            stream = self._stream(container)
            for k in range(_SAMPLES if length else 1):
                with contextlib.suppress(av.error.FFmpegError):
                    container.seek(start + k * length // _SAMPLES, stream=stream)
                if frame := next(self._decoded(container, stream), None):
                    yield np.asarray(cv2.LUT(self._luma(frame), lightness_bytes(self.facts.coding)), np.uint8)

    def _from(self, start: int) -> Iterator[Any]:
        """Yield frames from one that is not after ``start``; containers often find a place that is."""
        back = 0
        while True:
            with self.opened() as container:
                stream = self._stream(container)
                is_sought = start - back > self.facts.start
                if is_sought:
                    container.seek(start - back, stream=stream)
                frames = self._decoded(container, stream, is_told=True)
                first = next(frames, None)
                if not is_sought or (first and first.pts is not None and first.pts <= start):
                    yield from itertools.chain([first] if first else [], frames)
                    return
            back = 2 * back + round(1 / self.facts.time_base)

    def _decoded(self, container: InputContainer, stream: Any, *, is_told: bool = False) -> Iterator[Any]:
        """Yield frames from where the container stands, past damage, which is logged where ``is_told``."""
        damaged, last = 0, None
        packets = container.demux(stream)
        while damaged < _MOST_DAMAGED or last is not None:
            try:
                packet = next(packets)
                frames = stream.codec_context.decode(packet if packet.size else None)
            except (StopIteration, av.error.EOFError):
                break
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                last = frame.pts or 0
                yield frame
        if is_told and damaged:
            log.warning(f"{self.name}: damaged in {counted(damaged, 'place')}; the rest is read")
        left = float((self.facts.end - (last or 0)) * self.facts.time_base) if is_told else 0
        if left > 1:
            log.warning(f"{self.name}: ends {left:.1f} seconds before its file says; it may be cut off")

    def _luma(self, frame: Any) -> Pixels:
        coding, name = self.facts.coding, frame.format.name
        deep = "" if coding.bits == 8 else "10le"
        wanted = f"yuv{SUBSAMPLING[self.facts.cell]}p{deep}"
        if name == f"gray{deep}":
            return _plane(frame, 0)
        if name not in (wanted, wanted.replace("yuv", "yuvj")):
            own = 1 + coding.is_full
            ranges = {"src_color_range": 2 if _is_rgb(frame) else own, "dst_color_range": own}
            frame = frame.reformat(format=wanted, dst_colorspace=coding.matrix, **ranges)
        luma, cb, cr = (_plane(frame, k) for k in range(3))
        stray = _GRAY << (coding.bits - 8)
        edges = (*cv2.minMaxLoc(cb)[:2], *cv2.minMaxLoc(cr)[:2])
        if all(abs(edge - coding.chroma[0]) <= stray for edge in edges):
            return luma
        return gray_luma(coding, luma, cb, cr)

    def seen(self, luma: Pixels, height: int = SIZE, width: int = SIZE) -> NDArray[np.uint8]:
        """Return L* times 2.55 of the picture inside the bars, as it is seen, at another size."""
        box, turned = self.box, (height, width) if self.facts.turns % 2 else (width, height)
        L = cv2.LUT(luma[box.top : box.bottom, box.left : box.right], lightness_bytes(self.facts.coding))
        while min(L.shape) >= 4 * max(turned):  # halving is much faster than other ratios
            L = cv2.resize(L, (L.shape[1] // 2, L.shape[0] // 2), interpolation=cv2.INTER_AREA)
        L = cv2.resize(L, turned, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.rot90(L, self.facts.turns))


def open_film(path: Path) -> FilmReader:
    """Open a film, or say which command takes the file."""
    if not is_film(path.suffix) and own_suffix(path).lower() in SUFFIXES:
        raise FilmError(f"{printable_name(path)}: is a photo; use cinn-colorize colorize")
    film = FilmReader(path)
    if film.box.size != film.facts.size:
        log.info(f"{film.name}: what surrounds the picture stays gray")
    return film


def find_box(shown: Iterable[NDArray[np.uint8]]) -> Box | None:
    """Find the picture inside black bars, and a frame that stays, in L* times 2.55 of frames (H, W)."""
    number = 0
    for number, L in enumerate(shown, 1):
        if number == 1:
            most, least, total = L.copy(), L.copy(), np.zeros(L.shape, np.float32)
        cv2.max(most, L, dst=most)
        cv2.min(least, L, dst=least)
        cv2.accumulate(L, total)
    if not number:
        return None
    top, bottom = _lit(np.percentile(most, 98, axis=1))
    left, right = _lit(np.percentile(most[top:bottom], 98, axis=0))
    inside = slice(top, bottom), slice(left, right)
    scale = min(1, frames_of_scans.SIZE / max(bottom - top, right - left))
    reduced = cv2.resize(total[inside], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mean = np.asarray(reduced / (2.55 * number), np.float32)
    if inner := frames_of_scans.find_picture(mean, (bottom - top, right - left)):
        change = cv2.subtract(most, least)[inside].astype(np.float32)
        change[inner.top : inner.bottom, inner.left : inner.right] = np.nan
        if np.nanpercentile(change, 90) <= _STILL:
            return Box(left + inner.left, top + inner.top, left + inner.right, top + inner.bottom)
    return Box(left, top, right, bottom)


def _lit(brightest: NDArray[np.floating]) -> tuple[int, int]:
    """Return the first of the lines that are not dark all along the film, and one more than the last."""
    lit = np.flatnonzero(brightest > _DARK)
    if len(lit) < len(brightest) / 4:  # a dark film
        return 0, len(brightest)
    return int(lit[0]), int(lit[-1]) + 1


def _problem(frame: Any) -> str:
    """Return why films with such frames are not colorized; empty for others."""
    if frame.width * frame.height > _MOST_PIXELS:
        return f"frames of {frame.width}x{frame.height} pixels are too large; 8192x8192 are most"
    has_alpha = any(part.is_alpha for part in frame.format.components)
    if has_alpha and frame.reformat(format="rgba").to_ndarray()[..., 3].min() < 255:
        return "has transparency, which a colorized film cannot keep; save it without"
    if frame.interlaced_frame:
        return "is interlaced; save it deinterlaced, one frame for one"
    if frame.color_trc in _HDR:
        return f"is HDR ({_HDR[frame.color_trc]}); save it in standard dynamic range"
    return ""


def _plane(frame: Any, k: int) -> Pixels:
    """Return a plane (H, W) of a frame, as a view of it."""
    plane, is_deep = frame.planes[k], frame.format.components[0].bits > 8
    lines = np.frombuffer(plane, np.uint16 if is_deep else np.uint8).reshape(plane.height, -1)
    return lines[:, : plane.width]


def _is_rgb(frame: Any) -> bool:
    return bool(frame.format.is_rgb or frame.format.has_palette)


def _coding(frame: Any) -> Coding:
    guess, name = 1 if frame.height >= _HD else 5, frame.format.name
    is_full = frame.color_range == 2 or (not frame.color_range and name.startswith(("gray", "yuvj")))
    return Coding(
        matrix=guess if _is_rgb(frame) else _MATRICES.get(frame.colorspace, guess),
        is_full=is_full and not _is_rgb(frame),
        bits=8 if max(part.bits for part in frame.format.components) <= 8 else 10,
    )
