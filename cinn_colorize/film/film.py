"""From a film and the colours of its frames to a colorized film."""

from __future__ import annotations

from collections.abc import Iterable

from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.render import Renderer
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging.color import Floats


def write_segment(
    film: FilmReader, colours: Iterable[Floats | None], writer: FilmWriter, start: int, end: int | None
) -> None:
    """Encode a segment of a film, unless it is finished.

    Args:
        film: the film.
        colours: ab (2, G, G) of the picture of each frame, as it is seen; None leaves a frame gray.
        writer: of the colorized film.
        start: time stamp of the first frame.
        end: time stamp that the segment ends before; None for the end of the film.
    """
    if writer.has(start, end):
        return
    facts = film.facts
    renderer = Renderer(facts.coding, facts.size, film.box, writer.target.cell, facts.turns)
    with writer.segment(start, end) as write:
        for frame, ab in zip(film.frames(start, end), colours, strict=True):
            write(frame.pts, renderer.render(frame.luma, frame.L, ab))
