"""Time the stages of one photo, in this process: ``python stages.py PHOTO N``. Imports nothing else."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def stages(path: Path, n: int) -> dict[str, float]:
    """Do what ``cinn-colorize`` does for one photo; return the seconds of each stage."""
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        seconds[stage] = time.perf_counter() - start
        return result

    def imports() -> None:
        import cinn_colorize.colorizer
        import cinn_colorize.methods.contact_sheet  # noqa: F401

    timed("imports", imports)
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
    print(json.dumps(stages(Path(sys.argv[1]), int(sys.argv[2]))))
