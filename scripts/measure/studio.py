"""Measure how long people wait for the studio: for its page, for samples of photos, for hints.

python scripts/measure/studio.py examples/photo.jpg ../12-megapixels.jpg
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.methods.things import MEMBERS


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", metavar="PHOTO", type=Path, nargs="+")
    arguments = parser.parse_args()
    start = time.perf_counter()
    command = [sys.executable, "-m", "cinn_colorize", "studio", "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        base = next(word for word in server.stderr.readline().split() if word.startswith("http"))
        urllib.request.urlopen(base).read()
        print(f"start to page: {time.perf_counter() - start:.1f} s")
        while not _is_loaded(base):
            time.sleep(0.05)
        print(f"start to model: {time.perf_counter() - start:.1f} s")
        for photo in arguments.photos:
            _measure(base, photo)
    finally:
        server.terminate()


def _measure(base: str, path: Path) -> None:
    start = time.perf_counter()
    address = f"{base}photos?name={urllib.parse.quote(path.name)}"
    with urllib.request.urlopen(urllib.request.Request(address, path.read_bytes(), method="POST")) as answer:
        key = json.load(answer)["id"]
    (photo,) = _answers(base, "open", photo=key)
    size = f"{path.name}, {photo['width'] * photo['height'] / 1e6:.1f} MP"
    times = _times(base, start, photo=key, number=8, size="small")
    print(f"{size}: drop to first sample {times[0]:.1f} s, to eight {times[-1]:.1f} s")
    start = time.perf_counter()
    while next(_answers(base, "prepare", photo=key)) < MEMBERS:
        pass
    print(f"{size}: ensemble, in the background {time.perf_counter() - start:.1f} s")
    for place in (2, 3, 4):
        hints = f"{photo['width'] // place},{photo['height'] // place},#a03c32"
        start = time.perf_counter()
        large = _times(base, start, photo=key, hints=hints, size="large")[0]
        eight = _times(base, start, photo=key, hints=hints, number=8, size="small")[-1]
        print(f"{size}: hint to picture {large:.1f} s, to all eight {eight:.1f} s")
    start = time.perf_counter()
    list(_answers(base, "save", photo=key))
    print(f"{size}: save {time.perf_counter() - start:.1f} s")


def _times(base: str, start: float, **asked: Any) -> list[float]:
    return [time.perf_counter() - start for _ in _answers(base, "samples", **asked)]


def _answers(base: str, path: str, **asked: Any) -> Iterator[Any]:
    request = urllib.request.Request(base + path, json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        yield from map(json.loads, answer)


def _is_loaded(base: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{base}healthz").status == 200)
    except urllib.error.HTTPError:
        return False


if __name__ == "__main__":
    main()
