"""Measure speed and memory of a batch: ``python scripts/measure/batch.py --photos 200``.

Colorizes 1 MP photos with different content, made from the examples, with ``-n 1``

- ``batch``: by one call of ``cinn-colorize``;
- ``serial``: by the same stages, one after the other, in one process with all threads;
- ``loop``: by a shell loop, one call per photo (only the first few photos).

``all`` counts photos over the whole run, ``steady`` from the first result to the last. Memory is the largest
sum of all processes' proportional set size (shared pages count once). Linux only.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pyvips

EXAMPLES = Path(__file__).parents[2] / "examples"
LOOP = 5  # photos


def make_photos(folder: Path, number: int) -> list[Path]:
    """Make gray, enlarged JPEGs of the examples, each of slightly different brightness."""
    folder.mkdir()
    examples = sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".jpg", ".png"))
    photos = [folder / f"{i:05d}.jpg" for i in range(number)]
    for i, photo in enumerate(photos):
        image = pyvips.Image.new_from_file(str(examples[i % len(examples)])).colourspace("b-w")[0]
        image = image.resize((1e6 / (image.width * image.height)) ** 0.5)
        gain = 1 - 0.3 * (i // len(examples)) * len(examples) / number
        image.linear(gain, i % 7).cast("uchar").write_to_file(str(photo), Q=90)
    return photos


def serial(folder: Path, output: Path) -> None:
    """Colorize all photos of a folder in this process; print a line for each."""
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import open_photo
    from cinn_colorize.models import find_weights

    colorizer = BaseColorizer(*ModelSpec("natural", *find_weights(), "cpu", "fp32").load())
    output.mkdir()
    for path in sorted(folder.iterdir()):
        photo = open_photo(path)
        (made,) = colorizer.compose(photo, colorizer.condition(photo).sample(1))
        made.save(output / path.name)
        print(path.name, flush=True)


class Watch(threading.Thread):
    """Find the peak memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.ended = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            with contextlib.suppress(psutil.Error):  # one of them has ended meanwhile
                tree = [self.process, *self.process.children(recursive=True)]
                self.peak = max(self.peak, sum(each.memory_full_info().pss for each in tree))


def measure(name: str, command: Sequence[Any], photos: int) -> float:
    """Run a command that prints a line per photo, print a table row; return photos/s overall."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        watch = Watch(process.pid)
        watch.start()
        assert process.stdout
        times = [time.perf_counter() for _ in process.stdout]
    seconds = time.perf_counter() - start
    watch.ended.set()
    if process.returncode or len(times) != photos:
        sys.exit(f"{name}: exit code {process.returncode}, {len(times)} results")
    steady = (photos - 1) / (times[-1] - times[0]) if photos > 1 else 0
    rate, peak = photos / seconds, watch.peak / 1e9
    print(f"{name:8s} {photos:7d} {seconds:9.1f} {rate:9.2f} {steady:9.2f} {peak:9.2f}", flush=True)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1, help="rounds of serial and batch, in turn")
    parser.add_argument("--serial", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serial:
        serial(*arguments.serial)
        return
    program = [sys.executable, "-m", "cinn_colorize", "--device", "cpu", "--seed", "0", "-q"]
    with tempfile.TemporaryDirectory(prefix="measure-") as name:
        folder = Path(name)
        photos = make_photos(folder / "photos", arguments.photos)
        print("           photos   seconds  all [/s] steady [/s] peak GB", flush=True)
        ratios = []
        for i in range(arguments.rounds):
            batch = [*program, folder / "photos", "-o", folder / f"batch{i}", "--workers", "2"]
            one = [sys.executable, __file__, "--serial", folder / "photos", folder / f"serial{i}"]
            rate = measure("batch", batch, len(photos))
            ratios.append(rate / measure("serial", one, len(photos)))
        loop = f'for photo; do "$0" {" ".join(program[1:])} "$photo" -o "$(dirname "$photo")/../loop"; done'
        few = photos[:LOOP]
        slow = measure("loop", ["sh", "-c", loop, sys.executable, *few], len(few))
        print("batch over serial:", *(f"{ratio:.2f}" for ratio in ratios))
        print(f"batch over loop: {rate / slow:.1f}")


if __name__ == "__main__":
    main()
