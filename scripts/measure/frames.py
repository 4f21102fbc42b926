"""Measure how often the frame of a scan is found, and how often one is found where there is none.

    python scripts/measure/frames.py oldphotos.zip photos-dev.zip photos-train-0.zip --nested 200

SCANS is a zip of scans whose pictures are marked in frames.tsv: left, top, right and bottom in pixels, read
by eye, at the middle of a tilted or curved side. Of a frame that is found, the largest error of a side is
printed, as a share of the photo's width or height. PHOTOS are zips of photos; those that do have a frame are
named in frames.tsv, without numbers, and left out. The first of them are also put into frames of three kinds:
a mount within the edge of a film; a print with a white border that lies up to two degrees tilted on a board;
a strip of film with the beginning of the next picture.
"""

import argparse
import itertools
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.files.formats import SUFFIXES
from cinn_colorize.imaging.options import Box
from cinn_colorize.imaging.photo import Photo, open_photo

TABLE = Path(__file__).with_suffix(".tsv")
CLOSE = 0.01  # of the side
SIZE = 512  # longer side of photos that are put into frames

Gray = NDArray[np.floating]  # (H, W), 0 to 255


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scans", type=Path, metavar="SCANS")
    parser.add_argument("photos", type=Path, metavar="PHOTOS", nargs="*")
    parser.add_argument("-n", type=int, default=600, help="number of photos without a frame")
    parser.add_argument("--nested", type=int, default=0, metavar="N", help="number of frames of each kind")
    arguments = parser.parse_args()
    marked = table()
    scans = ((photo, marked.get(photo.name)) for photo in photos([arguments.scans]))
    errors = [(error(photo, box), photo.name) for photo, box in scans if box]
    for worst, name in sorted(errors, key=lambda row: -1 if row[0] is None else -row[0]):
        print(f"{name}: {'no frame' if worst is None else f'{100 * worst:.2f} %'}")
    summarize("scans", [worst for worst, _ in errors])
    start, seen, false = time.process_time(), 0, []
    without = (photo for photo in photos(arguments.photos) if photo.name not in marked)
    for photo in itertools.islice(without, arguments.n):
        seen += 1
        if found := photo.framed("auto").frame:
            false.append(f"{photo.name} {found}")
    if seen:
        print(f"{seen} photos without a frame: one found in {len(false)}", *false, sep="\n")
        print(f"{1000 * (time.process_time() - start) / seen:.0f} ms of processor time a photo")
    for kind in (mounts, boards, strips) if arguments.nested else ():
        rng = np.random.default_rng(0)
        without = (photo for photo in photos(arguments.photos) if photo.name not in marked)
        grays = (np.array(photo.thumbnail(SIZE).convert("L"), np.float32) for photo in without)
        made = (kind(gray, rng) for gray in itertools.islice(grays, arguments.nested))
        opened = ((open_photo(scan.clip(0, 255).astype(np.uint8)), box) for scan, box in made)
        summarize(kind.__name__, [error(photo, box) for photo, box in opened])


def summarize(kind: str, errors: Sequence[float | None]) -> None:
    some = [worst for worst in errors if worst is not None]
    close = sum(worst <= CLOSE for worst in some)
    print(f"{len(errors)} {kind}: a frame in {len(some)}, within {CLOSE:.0%} of the side in {close}")


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


def mounts(photo: Gray, rng: np.random.Generator) -> tuple[Gray, Box]:
    """Put a photo into a mount within the edge of a film."""
    mount, edge = (int(rng.uniform(*share) * SIZE) for share in ((0.04, 0.16), (0.02, 0.07)))
    mounted = np.pad(photo, mount, constant_values=rng.uniform(110, 250))
    return np.pad(mounted, edge, constant_values=rng.uniform(3, 25)), box_of(photo, mount + edge)


def boards(photo: Gray, rng: np.random.Generator) -> tuple[Gray, Box]:
    """Lay a print with a white border on a board."""
    border, board = (int(rng.uniform(*share) * SIZE) for share in ((0.02, 0.07), (0.04, 0.16)))
    paper = np.pad(photo, border, constant_values=rng.uniform(215, 250))
    paper = np.pad(paper, board, constant_values=-1)
    height, width = paper.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-2, 2), 1)
    turned = cv2.warpAffine(paper, turn, (width, height), flags=cv2.INTER_NEAREST, borderValue=-1)
    grain = cv2.GaussianBlur(rng.normal(0, 15, paper.shape), (0, 0), 1)
    return np.where(turned < 0, rng.uniform(20, 180) + grain, turned), box_of(photo, border + board)


def strips(photo: Gray, rng: np.random.Generator) -> tuple[Gray, Box]:
    """Scan a photo on a strip of film, with the beginning of the next one."""
    rebate = int(rng.uniform(0.02, 0.06) * SIZE)
    tone = rng.choice([rng.uniform(3, 30), rng.uniform(225, 250)])
    following = photo[:, : int(rng.uniform(0.03, 0.12) * SIZE)]
    sides = (rebate, rebate), (rebate, 0)
    both = [np.pad(each, sides, constant_values=tone) for each in (photo, following)]
    return np.hstack(both), box_of(photo, rebate)


def box_of(photo: Gray, margin: int) -> Box:
    """Return where a photo lies that has a margin to the left and above."""
    return Box(margin, margin, margin + photo.shape[1], margin + photo.shape[0])


if __name__ == "__main__":
    main()
