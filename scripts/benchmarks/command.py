"""Time the whole command in its own process, from start to end, and its stages."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tables import Report, table
from timing import in_turn

SAMPLES = (1, 8)


def report(photos: list[Path], repeats: int) -> Report:
    """Measure the photos and return the tables."""
    from cinn_colorize.imaging.photo import open_photo

    lines, stages = [], []
    with tempfile.TemporaryDirectory() as folder:
        program = [
            sys.executable,
            "-m",
            "cinn_colorize",
            "--device",
            "cpu",
            "-q",
            "--overwrite",
            "-o",
            folder,
        ]

        def run(photo: Path, n: int) -> Callable[[], object]:
            command = [*program, str(photo), "-n", str(n)]
            return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        ways = {f"{photo} {n}": (photo, n) for photo in photos for n in SAMPLES}
        times = in_turn({name: run(*way) for name, way in ways.items()}, repeats)
        for name, (photo, n) in ways.items():
            opened = open_photo(photo)
            size = f"{opened.width * opened.height / 1e6:.1f}"
            lines.append([photo.name, size, str(n), f"{statistics.median(times[name]):.1f}"])
            found = [measured(photo, n) for _ in range(max(1, repeats // 2))]
            medians = {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
            stages.append([f"{size} MP, n = {n}", *(f"{value:.2f}" for value in medians.values())])
    text = "\n\n".join(
        [
            table(["photo", "MP", "n", "whole command, s"], lines),
            table(["stages one after the other, s", *medians], stages),
        ]
    )
    summary = [
        [f"whole command, {size} MP, n = {n}", f"{seconds} s", "", "", ""] for _, size, n, seconds in lines
    ]
    return Report(text, summary)


def measured(photo: Path, n: int) -> dict[str, float]:
    """Measure the seconds of each stage, in a new process."""
    command = [sys.executable, str(Path(__file__).with_name("stages.py")), str(photo), str(n)]
    done = subprocess.run(command, check=True, capture_output=True)
    stages: dict[str, float] = json.loads(done.stdout)
    return stages
