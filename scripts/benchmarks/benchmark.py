"""Measure speed and memory, compared with libraries that do the same work.

    pip install '.[benchmark]'
    pip install --no-deps --target peers opencv-contrib-python-headless
    python scripts/benchmarks/benchmark.py bigphotos --peers peers --into docs/benchmarks.md

``PHOTOS`` is a folder of colour photos; the whole command is timed on the two largest of them.
Install OpenCV's contributed filters in a separate folder, since their package replaces the one that
cinn-colorize requires. Everything runs in one process and one thread, except the whole command, which runs
as users run it. The alternatives take turns, so that other load on the machine affects all of them.
"""

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from shared import finished, in_turn, ratio, replace_section, table

EXAMPLE = Path(__file__).parents[2] / "examples/photo.jpg"
SECTIONS = ("flows", "upsampling", "command")
OPENCV = ("opencv-contrib-python-headless", "opencv-python-headless")
SAMPLES, PEER = (1, 8), "import torch"  # of the command
PACKAGES = ("torch", "FrEIA", "kornia", "numpy", *OPENCV, "pyvips")


def environment() -> str:
    facts = Path("/proc/cpuinfo")
    found = re.findall(r"model name\s*: (.*)", facts.read_text()) if facts.exists() else []
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    processor = found[-1].strip() if found else platform.processor()
    machine = f"{processor}, {os.cpu_count()} cores, load before {psutil.getloadavg()[0]:.1f}"
    return (
        f"- {datetime.date.today()}, `python {shlex.join(sys.argv)}`\n"
        f"- {machine}; {platform.system()} {platform.machine()}\n- {', '.join(versions)}"
    )


def main() -> None:
    if sys.argv[1:2] == ["--stages"]:
        return print(json.dumps(stages(Path(sys.argv[2]), int(sys.argv[3]))))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("--peers", type=Path, help="folder with additional packages")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--into", type=Path, help="file that receives the tables")
    arguments = parser.parse_args()
    if arguments.peers:
        sys.path.insert(0, str(arguments.peers.resolve()))

    import cv2
    import torch

    from cinn_colorize.imaging.photo import open_photo

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    where = environment()
    print(where, flush=True)
    found = (path for path in arguments.photos.iterdir() if path.suffix.lower() in (".jpg", ".png", ".tif"))
    # The largest first.
    photos = sorted(sorted(found), key=lambda path: -open_photo(path).width * open_photo(path).height)
    for section in arguments.only:
        start = time.perf_counter()
        if section == "command":
            text = command([EXAMPLE, *photos[:2]], arguments.repeats)
        else:
            given = [photos] if section == "upsampling" else []
            text = importlib.import_module(section).report(*given, arguments.repeats)
        print(f"\n## {section}\n\n{text}\n\n({time.perf_counter() - start:.0f} s)", flush=True)
        if arguments.into:
            replace_section(arguments.into, section, text)
    if arguments.into and tuple(arguments.only) == SECTIONS:
        replace_section(arguments.into, "environment", where)


def command(photos: list[Path], repeats: int) -> str:
    """Time the whole command in its own process, from start to end, and its stages in another.

    ``python -c "import torch"`` takes its turn with it: how the two compare depends little on the machine.
    """
    from cinn_colorize.imaging.photo import open_photo

    with tempfile.TemporaryDirectory() as folder:
        program = ["-m", "cinn_colorize", "--device", "cpu", "-q", "--overwrite", "-o", folder]

        def run(*arguments: object) -> Callable[[], object]:
            return lambda: finished([sys.executable, *map(str, arguments)])

        ways = {f"{photo} {n}": (photo, n) for photo in photos for n in SAMPLES}
        commands = {name: run(*program, photo, "-n", n) for name, (photo, n) in ways.items()}
        times = in_turn({PEER: run("-c", PEER), **commands}, repeats)
    lines, stages = [], []
    for name, (photo, n) in ways.items():
        opened = open_photo(photo)
        size = f"{opened.width * opened.height / 1e6:.1f}"
        seconds = f"{statistics.median(times[name]):.2f}"
        lines.append([photo.name, size, str(n), seconds, f"{ratio(times, PEER, name):.2f}"])
        again = [sys.executable, __file__, "--stages", str(photo), str(n)]
        found = [json.loads(finished(again)[0][-1]) for _ in range(max(1, repeats // 2))]
        medians = {stage: statistics.median(run[stage] for run in found) for stage in found[0]}
        stages.append([f"{size} MP, n = {n}", *(f"{value:.2f}" for value in medians.values())])
    whole = table(["photo", "MP", "n", "whole command, s", f"speed, {PEER} = 1"], lines)
    return f"{whole}\n\n{table(['stages one after the other, s', *medians], stages)}"


def stages(path: Path, n: int) -> dict[str, float]:
    """Do what ``cinn-colorize`` does for one photo; return the seconds of each stage."""
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - start
        return result

    modules = ("cinn_colorize.colorizer", "cinn_colorize.methods.contact_sheet")
    timed("imports", lambda: [importlib.import_module(module) for module in modules])
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.choice import ModelSpec
    from cinn_colorize.imaging.photo import open_photo
    from cinn_colorize.methods.contact_sheet import contact_sheet, save_sheet, tiles
    from cinn_colorize.models import find_weights

    colorizer = timed("weights", lambda: BaseColorizer(*ModelSpec("natural", *find_weights(), "cpu").load()))
    photo = open_photo(path)
    timed("decode", lambda: photo.luminance(256, 256))
    conditioned = timed("condition", lambda: colorizer.condition(photo))
    samples = timed("samples", lambda: conditioned.sample(n))
    results = timed("upsampling, composition", lambda: colorizer.compose(photo, samples))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed("encode", lambda: [made.save(folder / f"{made.seed}{photo.suffix}") for made in results])  # type: ignore[func-returns-value]
        timed("sheet", lambda: save_sheet(contact_sheet(tiles(photo, results)), folder / "sheet.jpg"))
    return seconds


if __name__ == "__main__":
    main()
