"""The whole command in a process of its own, from its start to its end, and where its time goes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.tables import table
from benchmarks.timing import in_turn

T = TypeVar("T")
SAMPLES = (1, 8)


def report(photos: list[Path], repeats: int) -> str:
    """The tables of the photos."""
    from cinn_colorize.photo import open_photo

    lines, stages = [], []
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "cinn_colorize", "--device", "cpu", "-q", "--overwrite", "-o", folder]

        def run(photo: Path, n: int) -> Callable[[], object]:
            command = [*program, str(photo), "-n", str(n)]
            return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        ways = {f"{photo} {n}": (photo, n) for photo in photos for n in SAMPLES}
        times = in_turn({name: run(*way) for name, way in ways.items()}, repeats)
        for name, (photo, n) in ways.items():
            opened = open_photo(photo)
            size = f"{opened.width * opened.height / 1e6:.1f}"
            lines.append([photo.name, size, str(n), f"{statistics.median(times[name]):.1f}"])
            found = [measured(photo, n) for _ in range(repeats)]
            medians = {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
            stages.append([f"{size} MP, n = {n}", *(f"{value:.2f}" for value in medians.values())])
    return "\n\n".join(
        [
            table(["photo", "MP", "n", "whole command, s"], lines),
            table(["stages one after the other, s", *medians], stages),
        ]
    )


def measured(photo: Path, n: int) -> dict[str, float]:
    """Seconds by stage, in a new process."""
    command = [sys.executable, "-m", "benchmarks.command", str(photo), str(n)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[1])
    stages: dict[str, float] = json.loads(done.stdout)
    return stages


def run_stages(path: Path, n: int) -> dict[str, float]:
    """What ``cinn-colorize`` does for one photo, stage by stage; seconds of each."""
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - start
        return result

    def imports() -> None:
        import cinn_colorize.colorizer
        import cinn_colorize.sheet  # noqa: F401

    timed("imports", imports)
    from cinn_colorize import Colorizer
    from cinn_colorize.photo import open_photo
    from cinn_colorize.sheet import contact_sheet, save_sheet, tiles

    colorizer = timed("weights", lambda: Colorizer(device="cpu"))
    photo = open_photo(path)
    timed("decode", lambda: photo.luminance(256, 256))
    conditioned = timed("condition", lambda: colorizer.condition(photo))
    samples = timed("samples", lambda: conditioned.sample(n))
    results = timed("upsampling, composition", lambda: colorizer.compose(photo, samples))
    with tempfile.TemporaryDirectory() as folder:

        def encode() -> None:
            for result in results:
                result.save(Path(folder) / f"{result.seed}{photo.suffix}")

        timed("encode", encode)
        sheet = Path(folder) / "sheet.jpg"
        timed("sheet", lambda: save_sheet(contact_sheet(tiles(photo, results)), sheet))
    return seconds


if __name__ == "__main__":
    print(json.dumps(run_stages(Path(sys.argv[1]), int(sys.argv[2]))))
