"""Time one photo with each engine: python scripts/benchmarks/engines.py PHOTO [-r 7].

Processes of both engines alternate, so that other load on the machine affects both. The pictures are compared
as PNG.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
from shared import finished

ENGINES = ("torch", "onnx")


def run(photo: Path, engine: str, folder: Path) -> list[float]:
    """Measure wall-clock seconds, CPU seconds and peak memory in MiB of a whole process."""
    command = [sys.executable, "-m", "cinn_colorize", str(photo), "--seed", "0", "--engine", engine, "-q"]
    output = ["-o", str(folder / engine), "--overwrite", "--format", "png", "--device", "cpu"]
    return finished([*command, *output])[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("-r", "--repeats", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for engine in ENGINES:  # reads all files once, so that the system has them
            run(arguments.photo, engine, folder)
        rounds = [[run(arguments.photo, e, folder) for e in ENGINES] for _ in range(arguments.repeats)]
        times = np.array(rounds)  # (rounds, engines, 3)
        print("| | wall clock | CPU time | peak memory |\n|---|---|---|---|")
        for engine, (clock, processor, memory) in zip(ENGINES, np.median(times, axis=0), strict=True):
            print(f"| `--engine {engine}` | {clock:.1f} s | {processor:.2f} s | {memory:.0f} MiB |")
        ratios = np.median(times[:, 1] / times[:, 0], axis=0)
        print(f"| ratio | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
        picture = f"{arguments.photo.stem}_000.png"
        pictures = [np.asarray(PIL.Image.open(folder / engine / picture), int) for engine in ENGINES]
        difference = np.abs(pictures[0] - pictures[1])
        share = f"{100 * (difference > 0).mean():.2g} % of the values"
        print(f"\nThe largest difference between the two pictures is {difference.max()} of 255, in {share}.")


if __name__ == "__main__":
    main()
