"""Writing of films: segments that are encoded one by one, and the film that is joined from their packets.

Segments lie in a folder beside the film until it is complete; a call that follows one that was killed finds
those that were finished. Sound, subtitles, chapters and metadata come from the source, packet by packet.
"""

import contextlib
import hashlib
import heapq
import json
import logging
import math
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av

from cinn_colorize.errors import FilmError, printable, printable_name
from cinn_colorize.files.atomic import mode_like, remove_leftovers, writing
from cinn_colorize.film.encoding import Target, add_copy, add_video, create_encoder, frame_of
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.imaging.color import Pixels
from cinn_colorize.imaging.picture import cannot_write

log = logging.getLogger(__name__)

_BITEXACT = 1024  # FFmpeg's flag of containers without numbers drawn by chance
_HEAD = struct.Struct("<qQ?")  # of a packet in a segment: time stamp, bytes, whether it is a key frame
_MARK = "cinn-colorize recipe: "  # in the comment of a film
_STALE = ("BPS", "COMMENT", "DURATION", "ENCODER", "NUMBER_OF_", "ROTATE", "_STATISTICS")  # by how they begin
_STALE += ("COMPATIBLE_BRANDS", "MAJOR_BRAND", "MINOR_VERSION")  # type: ignore[assignment]


class FilmWriter:
    """Writes one film as a recipe says, from segments of this recipe; can be handed to other processes."""

    def __init__(self, path: Path, film: FilmReader, target: Target, recipe: Mapping[str, str]) -> None:
        self.path, self.name, self.target = path, printable_name(path), target
        self.folder = path.with_name(f".{path.name}.parts")
        self._film, self._recipe = film, dict(recipe)
        key = json.dumps([self._recipe, repr(target), repr(film.facts), av.__version__], sort_keys=True)
        self._key = hashlib.sha256(key.encode()).hexdigest()[:16]

    def prepare(self) -> None:
        """Make the folder of segments, and remove what killed or other calls left; one process does so."""
        with self._raising():
            self.folder.mkdir(exist_ok=True)
            remove_leftovers(self.folder)
            remove_leftovers(self.path.parent)
            for path in {*self.folder.glob("*.segment")} - {*self.folder.glob(f"{self._key}_*")}:
                path.unlink()

    def has(self, start: int, end: int | None) -> bool:
        """Return whether the segment of the frames from time stamp ``start`` to ``end`` is finished."""
        return self._segment(start, end).exists()

    @contextlib.contextmanager
    def segment(self, start: int, end: int | None) -> Iterator[Callable[[int, Sequence[Pixels]], None]]:
        """Yield what takes time stamps and planes of a segment, in order; it is there if all goes well."""
        target, facts, mode = self.target, self._film.facts, mode_like(self._film.path)
        encoder = create_encoder(target, facts)
        with self._raising(), writing(self._segment(start, end), mode) as file:

            def store(packets: Sequence[Any]) -> None:
                for packet in packets:
                    file.write(_HEAD.pack(packet.pts, packet.size, packet.is_keyframe))
                    file.write(packet)

            def write(pts: int, planes: Sequence[Pixels]) -> None:
                frame = frame_of(planes, target, facts)
                frame.pts, frame.time_base = pts, facts.time_base
                store(encoder.encode(frame))

            yield write
            store(encoder.encode(None))

    def join(self, segments: Sequence[tuple[int, int | None]], is_part: bool = False) -> None:
        """Join segments, by their ``start`` and ``end`` in order, to the film with all else of the source.

        One that ``is_part`` begins where the first segment does, and ends with the last.
        """
        target, base = self.target, self._film.facts.time_base
        begin, end = segments[0][0] * base, segments[-1][1]
        span = (begin, math.inf if end is None else end * base) if is_part else None
        options = {"avoid_negative_ts": "disabled"}
        if target.format == "mpegts":
            options["mpegts_copyts"] = "1"
        mode = mode_like(self._film.path)
        with self._raising(), writing(self.path, mode) as file, self._film.opened() as source:
            with av.open(file, "w", format=target.format, container_options=options) as out:
                out.flags |= _BITEXACT
                places = self._add_streams(source, out)
                out.metadata.update(_lasting(source.metadata))
                out.metadata["comment"] = f"{_comment(source)}\n{_MARK}{json.dumps(self._recipe)}".strip()
                if not is_part:
                    out.set_chapters(source.chapters())
                video = ((one, places[None]) for one in self._packets(segments))
                both = video, _others(source, places, span)
                for packet, stream in heapq.merge(*both, key=lambda pair: pair[0].dts * pair[0].time_base):
                    shift = round(begin / packet.time_base) if is_part else 0
                    packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
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
                added = places[None] = add_video(self.target, facts, out)
            elif stream.index in self.target.others:
                added = places[stream.index] = add_copy(stream, out)
            else:
                if stream.type != "data" or not source.chapters():  # whose titles QuickTime has in a stream
                    what = f"{stream.type} {printable(stream.name or '')}"
                    log.warning(f"{self.name}: its {what} cannot be kept")
                continue
            added.metadata.update(_lasting(stream.metadata))
            added.disposition = stream.disposition
        return places

    def _packets(self, segments: Sequence[tuple[int, int | None]]) -> Iterator[Any]:
        """Yield the packets of segments with decoding times of one film: those of its frames, delayed.

        Each encoder begins with a delay of its own, so that its times would run back at the next segment.
        """
        facts, delay = self._film.facts, 0
        parts = [self._segment(*one) for one in segments]
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
        last = shown[-1] + (rest if 0 < rest < 2 * step else step)
        ends = dict(zip(shown, [*shown[1:], last], strict=True))
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
    """Return the recipe of a film; empty if it has none, or cannot be read."""
    try:
        with FilmReader(path).opened() as container:
            found = json.loads(_comment(container, is_ours=True) or "{}")
    except (FilmError, ValueError):
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
    with part.open("rb") as file:
        while head := file.read(_HEAD.size):
            pts, size, is_key = _HEAD.unpack(head)
            packet: Any = av.Packet(file.read(size))
            packet.pts, packet.is_keyframe = pts, is_key
            yield packet


def _others(source: Any, places: Mapping[int | None, Any], span: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the packets of streams that are copied, within a span of seconds, each with its new stream."""
    copied = [stream for stream in source.streams if stream.index in places and stream.type != "attachment"]
    for packet in source.demux(*copied) if copied else ():
        if packet.dts is not None:
            packet.pts = packet.dts if packet.pts is None else packet.pts
            if span is None or span[0] <= packet.pts * packet.time_base < span[1]:
                yield packet, places[packet.stream.index]
