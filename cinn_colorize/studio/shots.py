"""What pages see of films: shots, their moods, previews, and the command that makes what is chosen."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.errors import FilmError
from cinn_colorize.film.encoding import Target
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.shots import Shot, shot_of, table_of, write_shots
from cinn_colorize.film.story import SURVEYED, colorize_part, sheet_row, still, survey, typical
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging import color
from cinn_colorize.methods.base import SampleMethod
from cinn_colorize.request import FilmRendering, FilmRequest, words
from cinn_colorize.studio.library import Item, Shelf, numbered
from cinn_colorize.studio.page_request import PageRequest, Row, argument, data_url, shell_command

Tell = Callable[[dict[str, object]], object]

_PATTERN = "{stem}_{seed:03d}{ext}"  # of results, as on the command line
_PIXELS = 640  # longer side of a shot's pictures
_MOST = 8  # samples of a request
_SECONDS = 2  # of a preview


class ShotDesk:
    """Draws shots of films; ``network`` are words that choose this network on the command line."""

    def __init__(self, library: Shelf, colorizer: BaseColorizer, network: Sequence[str]) -> None:
        self._library, self._colorizer, self._network = library, colorizer, network
        self._known: tuple[tuple[Path, int], FilmReader] | None = None  # the last film

    def moods(self, wanted: PageRequest, rows: Sequence[Row], number: int) -> dict[str, object]:
        """Return a shot in gray and samples of it; without a shot, those of the middle of the film."""
        film, shots = self._opened(wanted.photo, rows)
        (part,) = survey(film, shots=shots or [Shot(0, len(film.times))])
        if number:
            method = self._method(wanted, number=min(number, _MOST), seed=wanted.seed)
            gray, *drawn = [tile for tile, _ in sheet_row(film, part, method, self._colorizer, _PIXELS)]
        else:
            gray, drawn = Image.fromarray(color.compose_gray(still(film, part, _PIXELS)[1], 8)), []
        moods = enumerate(map(data_url, drawn), wanted.seed or 0)
        return {"gray": data_url(gray), "moods": [{"seed": seed, "picture": url} for seed, url in moods]}

    def command(self, wanted: PageRequest, rows: Sequence[Row]) -> str:
        return plan(self._library[wanted.photo], self._network, wanted, rows)[0]

    def find(self, tell: Tell, share: Any, wanted: PageRequest, rows: Sequence[Row]) -> None:
        """Tell the shots of a film, with times in seconds, and the seed that is typical of all."""
        film, _ = self._opened(wanted.photo, rows)
        facts = film.facts
        parts = survey(film, count=partial(_count, share, SURVEYED * len(film.times)))
        ends = [float((part.times[0] - facts.start) * facts.time_base) for part in parts] + [facts.seconds]
        spans = zip(parts, pairwise(ends), strict=True)
        tell({"shots": [(part.shot.start, part.shot.end, *seconds) for part, seconds in spans]})
        (seed,) = typical(film, parts, self._method(wanted, seed=None), self._colorizer)
        tell({"seed": seed, "over": True})

    def preview(self, tell: Tell, share: Any, wanted: PageRequest, rows: Sequence[Row]) -> None:
        """Make a film of two seconds from the middle of a shot, without sound, for browsers."""
        film, (shot,) = self._opened(wanted.photo, rows)
        number = max(1, round(_SECONDS * film.facts.rate))
        start = max(shot.start, (shot.start + shot.end - number) // 2)
        (part,) = survey(film, shots=[replace(shot, start=start, end=min(shot.end, start + number))])
        item = replace(self._library.new("preview.mp4"), made=True)
        target = replace(Target.of(film, rows[0].get("codec", "h264")), format="mp4", others=())
        writer = FilmWriter(item.path, film, target, {})
        writer.prepare()
        count = partial(_count, share, len(part.times))
        colorize_part(film, part, {0: writer}, [0], self._method(wanted), self._colorizer, count)
        writer.join(part.segments, is_part=True)
        tell({"item": item, "over": True})

    def _method(self, wanted: PageRequest, **more: Any) -> SampleMethod:
        return _request(wanted, **more).method(self._colorizer.info)

    def _opened(self, photo: str, rows: Sequence[Row]) -> tuple[FilmReader, list[Shot]]:
        path = self._library[photo].path
        key = path, path.stat().st_mtime_ns if path.exists() else 0
        if self._known is None or self._known[0] != key:
            self._known = key, FilmReader(path)
        film, shots = self._known[1], [shot_of(row, self._colorizer.info.levels) for row in rows]
        if any(shot.end > len(film.times) for shot in shots):
            raise FilmError(f"{film.name}: has only {len(film.times)} frames; open it again")
        return film, shots


def _request(wanted: PageRequest, **more: Any) -> FilmRequest:
    rendering = FilmRendering(**vars(wanted.rendering))
    return FilmRequest(temperature=wanted.temperature or None, rendering=rendering, **more)


def plan(
    item: Item, network: Sequence[str], wanted: PageRequest, rows: Sequence[Row]
) -> tuple[str, FilmRequest, str]:
    """Return the command that makes a film as it is chosen, the same as a request, and the result's pattern.

    Where shots have seeds of their own, or stay gray, their table is written beside the film. ``network``
    are words that choose the network.
    """
    shots, name, pattern = [shot_of(row, ()) for row in rows], Path(item.name), _PATTERN
    seed, number = Counter(shot.seed for shot in shots).most_common(1)[0]
    request = told = _request(wanted, seed=seed)
    more = ["-o", argument(name.parent)]
    if number < len(shots) or any(shot.gray for shot in shots):
        paths = numbered(item.path.with_name(f"{item.path.stem}_shots.tsv"))
        table = next(path for path in paths if not path.exists() or path.read_bytes() == table_of(shots))
        if not table.exists():
            write_shots(table, shots)
        pattern = f"{{stem}}{table.stem.removeprefix(item.path.stem)}{{ext}}"
        more += ["--output", pattern]
        places = table, argument(name.with_name(table.name))
        request, told = (replace(request, shots=Path(place)) for place in places)
    return shell_command("film", argument(name), *words(told), *more, *network), request, pattern


def _count(share: Any, total: float, frames: float) -> None:
    share.value += frames / total
