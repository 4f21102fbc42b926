"""Reading of films by FFmpeg's libraries (PyAV): what a file holds, and its frames."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.errors import FilmError
from cinn_colorize.files.messages import counted, missing, printable, printable_name
from cinn_colorize.film.planes import Coding, gray_luma, lightness, lightness_bytes
from cinn_colorize.film.render import SIZE
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.frame import find_picture, scaled
from cinn_colorize.imaging.options import Box

log = logging.getLogger(__name__)

_MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_HDR = {16: "PQ", 18: "HLG"}  # transfer curves
_BT2020 = 9  # primaries
_FULL = 2
_HD = 720  # rows from which a film without tags is taken for BT.709, as players do
_MOST_PIXELS = 8192 * 8192
_GRAY = 2  # codes of 8 bits that Cb and Cr of a gray film may stray
_SAMPLES = 12  # frames in which bars are looked for
_DARK = 12.0  # L* of bars
_STILL = 4.0  # change of L* over the film of what lies outside a picture in a frame


@dataclass(frozen=True)
class Facts:
    """What a film is.

    Attributes:
        size: height and width of a frame as it is stored.
        aspect: of a pixel, width to height; 0 if it is not said.
        matrix: nine numbers that turn frames as they are stored into those that are seen; empty for none.
        turns: the same in quarter turns, anticlockwise.
        rate: frames a second, their mean.
        time_base: seconds of a unit of time stamps.
        seconds: duration; 0 if it is not known.
        end: time stamp at which the last frame ends; 0 if it is not known.
        frames: number of frames that the file claims; 0 if it claims none.
        pixels: FFmpeg's name of the pixel format.
        coding: what luma and chroma mean.
        tags: range, matrix, primaries and transfer curve as numbers of H.273; 2 where one is not said, but
            range 1 limited, 2 full.
        cell: rows and columns of pixels that share their chroma.
        copied: numbers of the streams beside the film's own, by which a container knows them.
        format: FFmpeg's name of the container.
    """

    size: tuple[int, int]
    aspect: Fraction
    matrix: tuple[int, ...]
    turns: int
    rate: Fraction
    time_base: Fraction
    seconds: float
    end: int
    frames: int
    pixels: str
    coding: Coding
    tags: tuple[int, int, int, int]
    cell: tuple[int, int]
    copied: tuple[int, ...]
    format: str


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a film.

    Attributes:
        pts: time stamp, in units of the film's time base.
        luma: (H, W) uint8 or uint16, luma of the gray that has its L*.
        L: (256, 256) uint8, L* times 2.55 of the picture inside the film's bars, as it is seen.
    """

    pts: int
    luma: Pixels
    L: NDArray[np.uint8]


class FilmReader:
    """A film in a file.

    Attributes:
        path: of the file.
        name: of the film in messages.
        facts: what it is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a film and look at its first frame.

        Raises:
            FilmError: it is not there, cannot be read, or is none that can be colorized.
        """
        self.path, self.name = Path(path), printable_name(path)
        self._state = self._status()
        with self._opened() as container:
            self.facts = self._facts(container)

    def __repr__(self) -> str:
        """Name the film."""
        return f"FilmReader({os.fspath(self.path)!r})"

    @cached_property
    def box(self) -> Box:
        """The picture inside black bars and frames that stay all along the film, in pixels as stored."""
        shown = [cv2.LUT(frame.luma, lightness(self.facts.coding)) for frame in self._samples()]
        return find_box(np.stack(shown)) if shown else Box(0, 0, *self.facts.size[::-1])

    @cached_property
    def times(self) -> list[int]:
        """Time stamps of all frames, in order, as the packets of the file tell them."""
        with self._opened() as container:
            packets = container.demux(self._stream(container))
            return sorted({one.pts for one in packets if one.pts is not None and not one.is_discard})

    def frames(self, start: int | None = None, end: int | None = None) -> Iterator[Frame]:
        """Yield frames from time stamp ``start`` to ``end``, exclusive, in order.

        Damage that FFmpeg can step over is logged.

        Raises:
            FilmError: the file has changed, or frames have another size.
        """
        for frame in self._decoded(start, end):
            luma = self._luma(frame)
            yield Frame(frame.pts, luma, self._seen(luma))

    def pts_at(self, seconds: float) -> int:
        """Return the time stamp of a time from the start of the film."""
        with self._opened() as container:
            first = self._stream(container).start_time or 0
        return first + round(seconds / self.facts.time_base)

    def check_unchanged(self) -> None:
        """Raise a FilmError if something has written to the file since it was opened."""
        if self._status() != self._state:
            raise FilmError(
                f"{self.name}: changes while it is read; run the same command when it is complete"
            )

    def _status(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise self._error(
                missing(self.path).removeprefix(f"{self.name}: ")
                if error.errno == errno.ENOENT
                else f"cannot be read: {error.strerror}"
            ) from None
        if stat.S_ISDIR(status.st_mode):
            raise self._error("is a folder; give a film")
        if not stat.S_ISREG(status.st_mode):
            raise self._error(
                "is a pipe or a device; films are read more than once, so save it as a file first"
            )
        if not status.st_size:
            raise self._error("is empty")
        return status.st_size, status.st_mtime_ns

    def _error(self, problem: str) -> FilmError:
        return FilmError(f"{self.name}: {problem}")

    def _opened(self) -> av.container.InputContainer:
        try:
            return av.open(os.fspath(self.path), metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            reason = printable(error.log[2].strip() if getattr(error, "log", None) else error.strerror or "")
            raise self._error(f"is no film, or damaged or cut off ({reason})") from None

    def _stream(self, container: av.container.InputContainer) -> av.video.stream.VideoStream:
        attached = av.stream.Disposition.attached_pic
        for stream in container.streams.video:
            if not stream.disposition & attached:
                stream.thread_type = "AUTO"
                stream.thread_count = cv2.getNumThreads()
                return stream
        raise self._error("has no video stream; give a film")

    def _facts(self, container: av.container.InputContainer) -> Facts:
        stream = self._stream(container)
        is_photo = container.format.name.endswith("_pipe") or container.format.name == "image2"
        if is_photo:
            raise self._error("is a photo; use cinn-colorize colorize")
        if stream.codec_context is None:
            raise self._error(f"its codec ({printable(stream.name or 'unknown')}) cannot be decoded")
        first = next(self._decode(container, stream, None), None)
        if first is None:
            self._refuse_encrypted()
            raise self._error("no frame of it can be decoded; it is empty, damaged or encrypted")
        if first.width * first.height > _MOST_PIXELS:
            raise self._error(
                f"frames of {first.width}x{first.height} pixels are too large; 8192x8192 are most"
            )
        if any(part.is_alpha for part in first.format.components):
            raise self._error("has transparency, which a colorized film cannot keep; save it without")
        if first.interlaced_frame:
            raise self._error("is interlaced; save it deinterlaced, one frame for one")
        if first.color_trc in _HDR:
            raise self._error(f"is HDR ({_HDR[first.color_trc]}); save it in standard dynamic range")
        matrix = _display_matrix(first)
        return Facts(
            size=(first.height, first.width),
            aspect=stream.sample_aspect_ratio or Fraction(0),
            matrix=matrix,
            turns=round(first.rotation / 90) % 4,
            rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            time_base=stream.time_base or Fraction(1, 1000),
            seconds=_seconds(container, stream),
            end=(stream.start_time or 0) + stream.duration if stream.duration else 0,
            frames=stream.frames,
            pixels=first.format.name,
            coding=_coding(first),
            tags=_tags(first),
            cell=_cell(first.format),
            copied=tuple(other.index for other in container.streams if other.index != stream.index),
            format=container.format.name,
        )

    def _refuse_encrypted(self) -> None:
        with self._opened() as container:
            stream = self._stream(container)
            packet = next(container.demux(stream), None)
            if packet and (packet.has_sidedata("encryption_info") or stream.codec_tag.startswith("enc")):
                raise self._error("is encrypted; give a copy that is not")

    def _samples(self) -> Iterator[Frame]:
        """Yield some frames from all of the film, those that are found fastest."""
        with self._opened() as container:
            stream = self._stream(container)
            first, length = stream.start_time or 0, round(self.facts.seconds / self.facts.time_base)
            for k in range(_SAMPLES if length else 1):
                try:
                    container.seek(first + k * length // _SAMPLES, stream=stream)
                except av.error.FFmpegError:
                    return
                for frame in self._decode(container, stream, None):
                    luma = self._luma(frame)
                    yield Frame(frame.pts, luma, np.empty(0, np.uint8))
                    break

    def _decoded(self, start: int | None, end: int | None) -> Iterator[av.VideoFrame]:
        last: int | None = None
        for frame in self._from(start):
            if frame.pts is None or (last is not None and frame.pts <= last):
                frame.pts = (
                    last + 1 if last is not None else 0
                )  # of damaged files; encoders want them to rise
            if end is not None and frame.pts >= end:
                return
            if (frame.height, frame.width) != self.facts.size:
                raise self._error(
                    f"its frames change to {frame.width}x{frame.height} pixels at {frame.time:.1f} s; cut it there"
                )
            last = frame.pts
            if start is None or last >= start:
                yield frame
        self.check_unchanged()

    def _from(self, start: int | None) -> Iterator[av.VideoFrame]:
        """Yield frames from one that is not after ``start``; containers often find a place that is."""
        back = 0.0
        while True:
            with self._opened() as container:
                stream = self._stream(container)
                target = start and start - round(back / self.facts.time_base)
                is_sought = target is not None and target > (stream.start_time or 0)
                if is_sought:
                    container.seek(target, stream=stream)
                frames = self._decode(container, stream, self.facts.seconds)
                first = next(frames, None)
                if first is None and not is_sought:
                    return
                if not is_sought or (first and first.pts is not None and first.pts <= start):
                    yield first
                    yield from frames
                    return
            back = 2 * back + 1

    def _decode(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        seconds: float | None,
    ) -> Iterator[av.VideoFrame]:
        """Yield frames from where the container stands, over damage; log it if ``seconds``, the duration, is given."""
        damaged, last = 0, 0.0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                frames = stream.codec_context.decode(packet if packet.size else None)
            except StopIteration:
                break
            except av.error.EOFError:
                break
            except av.error.FFmpegError:
                damaged += 1
                if damaged > 100 and not last:
                    return
                continue
            for frame in frames:
                last = frame.time or last
                yield frame
        if seconds is None:
            return
        first = float((stream.start_time or 0) * self.facts.time_base)
        if damaged:
            log.warning(f"{self.name}: {counted(damaged, 'place')} damaged; the rest is read")
        if last and seconds - (last - first) > max(1.0, 5 / self.facts.rate):
            log.warning(f"{self.name}: ends after {last - first:.1f} of {seconds:.1f} seconds; it is cut off")

    def _luma(self, frame: av.VideoFrame) -> Pixels:
        """Return luma (H, W) of the gray that has the frame's L*."""
        coding, form = self.facts.coding, frame.format
        name = f"yuv{'420' if self.facts.cell == (2, 2) else '422' if self.facts.cell == (1, 2) else '444'}p"
        wanted = name if coding.bits == 8 else f"{name}10le"
        is_gray = len(form.components) == 1
        if is_gray and form.name in ("gray", "gray10le"):
            return _plane(frame, 0)
        if form.name not in (wanted, wanted.replace("yuv", "yuvj")):
            is_full = 2 if coding.is_full else 1
            frame = frame.reformat(
                format=wanted,
                dst_colorspace=_SWS[coding.matrix],
                src_color_range=is_full if not form.is_rgb else 2,
                dst_color_range=is_full,
            )
        luma = _plane(frame, 0)
        if is_gray:
            return luma
        chroma = [_plane(frame, k) for k in (1, 2)]
        stray = _GRAY << (coding.bits - 8)
        if all(
            abs(int(edge) - coding.neutral) <= stray for plane in chroma for edge in cv2.minMaxLoc(plane)[:2]
        ):
            return luma
        return gray_luma(coding, luma, *chroma)

    def _seen(self, luma: Pixels) -> NDArray[np.uint8]:
        box = self.box
        L = cv2.LUT(luma[box.top : box.bottom, box.left : box.right], lightness_bytes(self.facts.coding))
        while min(L.shape) >= 4 * SIZE:  # halving is much faster than other ratios
            L = cv2.resize(L, (L.shape[1] // 2, L.shape[0] // 2), interpolation=cv2.INTER_AREA)
        L = cv2.resize(L, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.rot90(L, self.facts.turns))


_SWS = {"bt601": "itu601", "bt709": "itu709", "smpte240m": "smpte240m", "bt2020": "bt2020"}


def find_box(L: NDArray[np.float32]) -> Box:
    """Find the picture in L* of frames (n, H, W) of a film: inside black bars, then inside a frame that stays."""
    height, width = L.shape[1:]
    most = L.max(axis=0)
    top, bottom = _lit(np.percentile(most, 98, axis=1))
    left, right = _lit(np.percentile(most[top:bottom], 98, axis=0))
    box = Box(left, top, right, bottom)
    inside = L[:, box.top : box.bottom, box.left : box.right]
    scale = 512 / max(box.size)
    small = (max(1, round(box.size[1] * scale)), max(1, round(box.size[0] * scale)))
    mean = cv2.resize(inside.mean(axis=0), small, interpolation=cv2.INTER_AREA)
    found = find_picture(mean)
    if not found:
        return box
    inner = scaled(found, (box.size[1] / small[0], box.size[0] / small[1]))
    change = np.ptp(inside, axis=0)
    change[inner.top : inner.bottom, inner.left : inner.right] = 0
    if np.percentile(change[change > 0], 90) > _STILL if (change > 0).any() else False:
        return box
    return Box(box.left + inner.left, box.top + inner.top, box.left + inner.right, box.top + inner.bottom)


def _lit(brightest: NDArray[np.floating]) -> tuple[int, int]:
    """Return the first of the lines that are not dark all along the film, and one more than the last."""
    lit = np.flatnonzero(brightest > _DARK)
    if not len(lit) or lit[-1] - lit[0] < len(brightest) / 4:  # a dark film
        return 0, len(brightest)
    return int(lit[0]), int(lit[-1]) + 1


def _plane(frame: av.VideoFrame, k: int) -> Pixels:
    """Return a plane (H, W) of a frame, as a view of it."""
    plane = frame.planes[k]
    deep = frame.format.components[0].bits > 8
    lines = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1)
    return lines[:, : plane.width]


def _cell(form: av.VideoFormat) -> tuple[int, int]:
    """Return rows and columns of pixels that share their chroma; grays and RGB are written as 4:2:0."""
    if form.is_rgb or len(form.components) < 3 or form.has_palette:
        return 2, 2
    return min(2, 64 // form.chroma_height(64)), min(2, 64 // form.chroma_width(64))


def _coding(frame: av.VideoFrame) -> Coding:
    form = frame.format
    guess = "bt709" if frame.height >= _HD else "bt601"
    is_rgb = form.is_rgb or form.has_palette
    unsaid_is_full = form.name.startswith(("gray", "yuvj"))
    return Coding(
        matrix=guess if is_rgb else _MATRICES.get(frame.colorspace, guess),
        is_wide=frame.color_primaries == _BT2020,
        is_full=not is_rgb and (frame.color_range == _FULL or (frame.color_range == 0 and unsaid_is_full)),
        bits=8 if max(part.bits for part in form.components) == 8 else 10,
    )


def _tags(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    coding = _coding(frame)
    matrix = {"bt601": 6, "bt709": 1, "smpte240m": 7, "bt2020": 9}[coding.matrix]
    said = frame.colorspace if frame.colorspace in _MATRICES and not frame.format.is_rgb else matrix
    return _FULL if coding.is_full else 1, said, frame.color_primaries, frame.color_trc


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...]:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return tuple(np.frombuffer(data, np.int32).tolist())
    return ()


def _seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / av.time_base
