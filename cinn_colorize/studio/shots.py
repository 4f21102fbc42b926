"""What pages see of films: shots, their moods, previews, and the command that makes what is chosen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film.encoding import Target
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.shots import Shot, table_of, write_shots
from cinn_colorize.film.story import SURVEYED, Part, colorize_part, sheet_row, still, survey, typical
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging import color
from cinn_colorize.request import FilmRequest
from cinn_colorize.studio.library import Item, Shelf, numbered
from cinn_colorize.studio.page_request import FilmWish, Rendition, argument, data_url, shell_command

Tell = Callable[[dict[str, object]], object]

_PIXELS = 640  # longer side of a shot's pictures
_SECONDS = 2  # of a preview
_OFTEN = 0.2  # seconds between two reports of progress


class ShotDesk:
    """Draws shots of films; ``network`` are words that choose this network on the command line."""

    def __init__(self, library: Shelf, colorizer: BaseColorizer, network: Sequence[str]) -> None:
        self._library, self._colorizer, self._network = library, colorizer, network
        self._known: tuple[tuple[Path, int], FilmReader] | None = None  # the last film

    def moods(self, wish: FilmWish) -> dict[str, object]:
        """Return a shot in gray and samples of it; without a shot, those of the middle of the film."""
        film = self._opened(wish)
        shots = [Shot(one.start, one.end) for one in wish.shots] or [Shot(0, len(film.times))]
        return self._row(film, survey(film, shots=shots[:1])[0], wish.seed, wish.number)

    def sheet(self, tell: Tell, wish: FilmWish) -> None:
        """Tell the shots of a film, found unless they are known, and then each of them in colour."""
        film = self._opened(wish)
        known = [Shot(one.start, one.end) for one in wish.shots]
        count = _Count(tell, SURVEYED * len(film.times))
        parts = survey(film, shots=known, count=count)
        seed = wish.shots[0].seed if known else 0
        spans = [(part.shot.start, part.shot.end) for part in parts]
        tell({"shots": spans, "rate": float(film.facts.rate), "seconds": film.facts.seconds})
        for k, part in enumerate(parts):
            gray = color.compose_gray(still(film, part, _PIXELS)[1], 8)
            tell({"shot": k, "gray": data_url(Image.fromarray(gray))})
        if not known:
            method = FilmRequest().method(self._colorizer.info)
            (seed,) = typical(film, parts, method, self._colorizer)
            tell({"seed": seed})
        seeds = [one.seed for one in wish.shots] or [seed] * len(parts)
        for k, (part, seed) in enumerate(zip(parts, seeds, strict=True)):
            tell({"shot": k, **self._row(film, part, seed, 1)})

    def preview(self, tell: Tell, wish: FilmWish) -> None:
        """Make a film of two seconds from the middle of a shot, without sound, for browsers."""
        film, (shot,) = self._opened(wish), wish.shots
        number = max(1, round(_SECONDS * film.facts.rate))
        start = max(shot.start, (shot.start + shot.end - number) // 2)
        (part,) = survey(film, shots=[Shot(start, min(shot.end, start + number))])
        item = replace(self._library.new("preview.mp4"), made=True)
        writer = FilmWriter(item.path, film, replace(Target.of(film), format="mp4", others=()), {})
        writer.prepare()
        count = _Count(tell, (1 - SURVEYED) * len(part.times))
        method = FilmRequest(seed=shot.seed).method(self._colorizer.info)
        colorize_part(film, part, {0: writer}, [shot.seed], method, self._colorizer, count)
        writer.join(part.segments, is_part=True)
        tell({"item": item})

    def plan(self, wish: FilmWish) -> tuple[str, Rendition]:
        """Return the command that colorizes a film as chosen, and the same as values.

        Where shots have seeds of their own, their table is written beside the film.
        """
        item, chosen = self._library[wish.photo], Counter(one.seed for one in wish.shots)
        ((seed, number),) = chosen.most_common(1)
        table, pattern, more = None, "{stem}_{seed:03d}{ext}", list[str]()
        if number < len(wish.shots) or any(one.gray for one in wish.shots):
            table = self._table(item, wish)
            pattern = f"{{stem}}{table.stem.removeprefix(item.path.stem)}{{ext}}"
            more = ["--shots", argument(Path(item.name).with_name(table.name)), "--output", pattern]
        folder = argument(Path(item.name).parent)
        words = [argument(item.name), "--seed", str(seed), "-o", folder, *more, *self._network]
        return shell_command("film", *words), Rendition(item.path, seed, table, pattern)

    def _table(self, item: Item, wish: FilmWish) -> Path:
        shots = [Shot(one.start, one.end, seed=one.seed, gray=bool(one.gray)) for one in wish.shots]
        for path in numbered(item.path.with_name(f"{item.path.stem}_shots.tsv")):
            if not path.exists():
                write_shots(path, shots)
            elif path.read_bytes() != table_of(shots):
                continue
            return path
        raise AssertionError

    def _row(self, film: FilmReader, part: Part, seed: int, number: int) -> dict[str, object]:
        method = FilmRequest(number=number, seed=seed).method(self._colorizer.info)
        (gray, _), *drawn = sheet_row(film, part, method, self._colorizer, _PIXELS)
        moods = [{"seed": seed + k, "picture": data_url(picture)} for k, (picture, _) in enumerate(drawn)]
        return {"gray": data_url(gray), "moods": moods}

    def _opened(self, wish: FilmWish) -> FilmReader:
        path = self._library[wish.photo].path
        key = path, path.stat().st_mtime_ns if path.exists() else 0
        if self._known is None or self._known[0] != key:
            self._known = key, FilmReader(path)
        film = self._known[1]
        if any(one.end > len(film.times) for one in wish.shots):
            raise FilmError(f"{film.name}: has only {len(film.times)} frames; open it again")
        return film


class _Count:
    """Tells which share of some frames is done, now and then."""

    def __init__(self, tell: Tell, total: float) -> None:
        self._tell, self._total = tell, total
        self._done, self._told = 0.0, time.monotonic()

    def __call__(self, frames: float) -> None:
        self._done += frames
        if time.monotonic() > self._told + _OFTEN:
            self._told = time.monotonic()
            self._tell({"share": self._done / self._total})
