"""Where the seconds of one photo go: python scripts/profile_colorize.py PHOTO [-n 8]."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def timed(stage: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    print(f"{stage:<12}{time.perf_counter() - start:8.2f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-n", type=int, default=8)
    arguments = parser.parse_args()

    def imports() -> None:
        import cinn_colorize.colorizer
        import cinn_colorize.sheet  # noqa: F401

    timed("imports", imports)
    from cinn_colorize import Colorizer
    from cinn_colorize.photo import open_photo
    from cinn_colorize.sheet import contact_sheet, save_sheet, tiles

    colorizer = timed("weights", Colorizer)
    photo = open_photo(arguments.photo)
    timed("decode", lambda: photo.luminance(256, 256))
    conditioned = timed("condition", lambda: colorizer.condition(photo))
    samples = timed("samples", lambda: conditioned.sample(arguments.n))
    results = timed("upsampling", lambda: colorizer.compose(photo, samples))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{result.seed}{photo.suffix or '.png'}" for result in results]

        def encode() -> None:
            for result, path in zip(results, paths, strict=True):
                result.save(path)

        timed("encode", encode)
        timed("sheet", lambda: save_sheet(contact_sheet(tiles(photo, results)), Path(folder) / "sheet.jpg"))


if __name__ == "__main__":
    main()
