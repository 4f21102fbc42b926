"""Measure how often the frame of a scan is found, and how often one is found where there is none.

    python scripts/measure/frames.py oldphotos.zip photos-dev.zip photos-train-0.zip

SCANS is a zip of scans whose pictures are marked in frames.tsv: left, top, right and bottom in pixels, read
by eye, at the middle of a tilted or curved side. Of a frame that is found, the largest error of a side is
printed, as a share of the photo's width or height. PHOTOS are zips of photos; those that do have a frame are
named in frames.tsv, without numbers, and left out.
"""

import argparse
import itertools
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.files.formats import SUFFIXES
from cinn_colorize.imaging.options import Box
from cinn_colorize.imaging.photo import Photo, open_photo

TABLE = Path(__file__).with_suffix(".tsv")
CLOSE = 0.01  # of the side


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scans", type=Path, metavar="SCANS")
    parser.add_argument("photos", type=Path, metavar="PHOTOS", nargs="*")
    parser.add_argument("-n", type=int, default=600, help="number of photos without a frame")
    arguments = parser.parse_args()
    marked = table()
    scans = ((photo, marked.get(photo.name)) for photo in photos([arguments.scans]))
    errors = [(error(photo, box), photo.name) for photo, box in scans if box]
    for worst, name in sorted(errors, key=lambda row: -1 if row[0] is None else -row[0]):
        print(f"{name}: {'no frame' if worst is None else f'{100 * worst:.2f} %'}")
    some = [worst for worst, _ in errors if worst is not None]
    close = sum(worst <= CLOSE for worst in some)
    print(f"{len(errors)} scans: a frame in {len(some)}, within {CLOSE:.0%} of the side in {close}")
    start, seen, false = time.process_time(), 0, []
    without = (photo for photo in photos(arguments.photos) if photo.name not in marked)
    for photo in itertools.islice(without, arguments.n):
        seen += 1
        if found := photo.framed("auto").frame:
            false.append(f"{photo.name} {found}")
    if seen:
        print(f"{seen} photos without a frame: one found in {len(false)}", *false, sep="\n")
        print(f"{1000 * (time.process_time() - start) / seen:.0f} ms of processor time a photo")


def table() -> dict[str, Box | None]:
    """Return the marks by the photo's name in its zip; None for a frame without a mark."""
    _, *lines = TABLE.read_text().splitlines()
    rows = (line.partition("\t") for line in lines)
    return {name: Box.parse(place.replace("\t", ",")) if place else None for name, _, place in rows}


def photos(zips: Sequence[Path]) -> Iterator[Photo]:
    for path in zips:
        with zipfile.ZipFile(path) as file:
            for name in file.namelist():
                if Path(name).suffix in SUFFIXES:
                    yield open_photo(file.read(name), name=name)


def error(photo: Photo, box: Box) -> float | None:
    """Return the largest error of a side, as a share of the photo's width or height; None without a frame."""
    if (found := photo.framed("auto").frame) is None:
        return None
    across = max(abs(found.left - box.left), abs(found.right - box.right)) / photo.width
    return max(across, abs(found.top - box.top) / photo.height, abs(found.bottom - box.bottom) / photo.height)


if __name__ == "__main__":
    main()
