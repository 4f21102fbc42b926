"""Print the median milliseconds of processor time that each stage takes for a frame of a film.

The stages are those of one process: decoding with the L* that the network sees, colours to planes, encoding.
Motion and the network are not among them.

    python scripts/measure/film_stages.py old.mp4 --codec h264
"""

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.film.encoding import CODECS, Target
from cinn_colorize.film.reading import FilmReader
from cinn_colorize.film.render import Renderer
from cinn_colorize.film.writing import FilmWriter
from cinn_colorize.imaging.bands import use_threads


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--frames", type=int, default=60)
    given = parser.parse_args()
    use_threads(1)
    random = np.random.default_rng(0)
    for path in given.films:
        film = FilmReader(path)
        facts, taken = film.facts, defaultdict[str, list[float]](list)
        target = Target.of(film, given.codec)
        renderer = Renderer(facts.coding, facts.size, film.box, target.cell, facts.turns)
        ab = np.stack([cv2.resize(random.normal(0, 15, (6, 6)), (64, 64)) for _ in "ab"]).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            writer = FilmWriter(Path(folder) / "out", film, target, {})
            writer.prepare()
            frames, began = film.frames(), time.process_time()
            with writer.segment(0, None) as write:
                for _ in range(given.frames):
                    begin = time.process_time()
                    frame = next(frames)
                    taken["read"].append(time.process_time() - begin)
                    begin = time.process_time()
                    planes = renderer.render(frame.luma, frame.L, ab)
                    taken["render"].append(time.process_time() - begin)
                    write(frame.pts, planes)
            whole = (time.process_time() - began) / given.frames
        read, render = (1000 * float(np.median(taken[stage])) for stage in ("read", "render"))
        encode = 1000 * whole - read - render
        size = f"{facts.size[1]}x{facts.size[0]}, {facts.coding.bits} bits"
        print(f"{path.name} {size}: read {read:.1f}, render {render:.1f}, encode {encode:.1f} ms")


if __name__ == "__main__":
    main()
