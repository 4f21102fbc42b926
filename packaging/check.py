"""Use a built folder as people do, and print its size, how long it takes and how much memory.

    python packaging/check.py dist/cinn-colorize
    python packaging/check.py dist/cinn-colorize --within 'env -i HOME=/tmp'

Colorizes by the command line, in one process and in workers, then in the studio, saves, and ends it. Exits
with an error if a step fails. Requires only Python's standard library.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHOTOS = ("photo.jpg", "old/roof.jpg", "camera.png")
LEFT_OUT = ("torch", "pandas", "pyarrow", "tensorboard", "ray", "skimage", "huggingface_hub")


def main() -> None:
    """Parse the command line, and check."""
    parser = argparse.ArgumentParser(description="Use a built folder as people do.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--within", default="", help="words before each command, as of a sandbox")
    parser.add_argument("--photos", type=Path, default=None, help="folder that the sandbox can write to")
    parser.add_argument("--most", type=float, default=400, help="MB that the folder may have")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    program = [*shlex.split(asked.within), str(folder / "cinn-colorize")]

    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"size unpacked          {size:8.0f} MB in {len(files)} files")
    parts = {part for path in files for part in path.relative_to(folder).parts}
    assert not (unwanted := parts & {*LEFT_OUT}), f"has {unwanted}"
    assert size <= asked.most, f"more than {asked.most:.0f} MB"

    with tempfile.TemporaryDirectory(dir=asked.photos) as name:
        photos = [shutil.copy(ROOT / "examples" / photo, name) for photo in PHOTOS]
        Path(name).chmod(0o777)
        command_line(program, photos, Path(name) / "drawn")
        studio(program, photos[0])


def command_line(program: list[str], photos: list[str], drawn: Path) -> None:
    """Colorize one photo, and several in worker processes."""
    seconds("--version", [*program, "--version"])
    seconds("one photo, -n 1", [*program, photos[0], "-o", str(drawn)])
    seconds("one photo, -n 8", [*program, photos[0], "-n", "8", "-o", str(drawn / "eight")])
    seconds("three photos, 2 workers", [*program, *photos, "--workers", "2", "-o", str(drawn / "many")])
    assert len([*drawn.glob("photo_*.jpg")]) == 1
    assert len([*(drawn / "eight").glob("photo_00?.jpg")]) == 8
    assert len([*(drawn / "many").iterdir()]) == 3


def studio(program: list[str], photo: str) -> None:
    """Open the studio with a photo, look at samples, save one, and end it by closing its input."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*program, "--until-input-ends", "studio", photo, "--port", "0", "--no-browser"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        while not (found := re.search(r"http://\S+?/", line := process.stderr.readline())):
            assert line, f"the studio ended, exit code {process.wait()}"
        url = found[0]
        assert b"cinn-colorize" in urllib.request.urlopen(url).read()
        said("studio: start to page", time.perf_counter() - start)
        given = json.loads(ask(url, "facts", {}))["given"][0]["id"]
        number = {"photo": given, "size": "large", "number": 8}
        lines = ask(url, "samples", number).splitlines()
        said("studio: start to eight pictures", time.perf_counter() - start)
        assert len(lines) == 8
        assert all("picture" in json.loads(line) for line in lines), lines
        hints = {"photo": given, "size": "large", "seed": 3, "hints": "310,120,#a02832"}
        assert "picture" in json.loads(ask(url, "samples", hints))
        saved = json.loads(ask(url, "save", {"photo": given, "seed": 3}))["saved"]
        assert Path(saved[0]).stat().st_size > 1000
        said("studio: start to a hint and a file", time.perf_counter() - start)
        if memory := peak(process.pid):
            print(f"studio: memory at most {memory:8.0f} MB")
        start = time.perf_counter()
        process.stdin.close()
        code = process.wait(20)
        said(f"studio: end, exit code {code},", time.perf_counter() - start)
    finally:
        process.kill()


def ask(url: str, job: str, asked: dict[str, object]) -> bytes:
    """Ask the studio as a page does."""
    request = urllib.request.Request(f"{url}{job}", json.dumps(asked).encode())
    return urllib.request.urlopen(request, timeout=300).read()


def peak(process: int) -> float:
    """Return the most memory that a process, or one that it started, has had, in MB; 0 if unknown here."""
    if not Path("/proc/self/status").exists():
        return 0
    status = Path(f"/proc/{process}/status").read_text()
    started = Path(f"/proc/{process}/task").glob("*/children")  # by each of its threads
    children = [child for by_thread in started for child in by_thread.read_text().split()]
    own = float(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6
    return max([own, *(peak(int(child)) for child in children)])


def seconds(what: str, command: list[str]) -> None:
    """Run a command and say how long it took."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{what}: exit code {done.returncode}\n{done.stderr}"
    said(what, time.perf_counter() - start)


def said(what: str, took: float) -> None:
    """Print a line of the table."""
    print(f"{what:36s} {took:6.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
