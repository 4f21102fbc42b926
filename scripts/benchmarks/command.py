"""Time the whole command in its own process, from start to end, and its stages.

``python -c "import torch"`` takes its turn with it: how the two compare depends little on the machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from shared import in_turn, ratio, table

SAMPLES = (1, 8)
PEER = "import torch"


def report(photos: list[Path], repeats: int) -> str:
    from cinn_colorize.imaging.photo import open_photo

    with tempfile.TemporaryDirectory() as folder:
        program = ["-m", "cinn_colorize", "--device", "cpu", "-q", "--overwrite", "-o", folder]

        def run(*arguments: object) -> Callable[[], object]:
            command = [sys.executable, *map(str, arguments)]
            return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        ways = {f"{photo} {n}": (photo, n) for photo in photos for n in SAMPLES}
        commands = {name: run(*program, photo, "-n", n) for name, (photo, n) in ways.items()}
        times = in_turn({PEER: run("-c", PEER), **commands}, repeats)
    lines, stages = [], []
    for name, (photo, n) in ways.items():
        opened = open_photo(photo)
        size = f"{opened.width * opened.height / 1e6:.1f}"
        seconds = f"{statistics.median(times[name]):.2f}"
        lines.append([photo.name, size, str(n), seconds, f"{ratio(times, PEER, name):.2f}"])
        found = [measured(photo, n) for _ in range(max(1, repeats // 2))]
        medians = {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
        stages.append([f"{size} MP, n = {n}", *(f"{value:.2f}" for value in medians.values())])
    whole = table(["photo", "MP", "n", "whole command, s", f"speed, {PEER} = 1"], lines)
    return f"{whole}\n\n{table(['stages one after the other, s', *medians], stages)}"


def measured(photo: Path, n: int) -> dict[str, float]:
    """Measure the seconds of each stage, in a new process."""
    command = [sys.executable, str(Path(__file__).with_name("stages.py")), str(photo), str(n)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
