"""Make the training photos of ``natural`` from public repositories on GitHub.

    python scripts/training/photos.py data/photos --keep-out photos-val.zip photos-dev.zip

Clones the repositories of ``sources.tsv`` one after the other and writes ``photos-NAME-0.zip`` for each. The
same command continues where it was stopped. Photos are reduced to 256 px on the shorter side. Left out are
those that teach no colours (gray, in one tone, flat, mostly white or black), near duplicates, and photos like
those to be kept out, on which results are reported. Most repositories state no terms for their photos, or
allow research only: ``sources.tsv`` has the terms.
"""

import argparse
import csv
import io
import random
import re
import subprocess
import tempfile
import zipfile
from array import array
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import chain
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.polynomial import Polynomial
from PIL import Image, ImageOps
from skimage.color import rgb2lab

from cinn_colorize.data.sources import ColorReader, Reader, Source, find_photos
from cinn_colorize.errors import DataError, ending_in_a_line
from cinn_colorize.files.atomic import writing

SHORTEST, SHORTER, LONGER, QUALITY = 200, 256, 448, 70  # sides in pixels, and the quality of WebP
SAME, LIKE = 4, 7  # bits by which hashes of near duplicates differ, and of photos like those kept out
CLONE = "init -q", "fetch -q --depth 1 {url} {commit}", "-c core.symlinks=false checkout -q FETCH_HEAD"


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep-out", type=Path, nargs="*", default=[], help="zips or folders of photos")
    parser.add_argument("--sources", type=Path, default=Path(__file__).with_name("sources.tsv"))
    arguments = parser.parse_args()
    kept_out, taken = hashes(arguments.keep_out), hashes(arguments.folder.glob("photos-*-0.zip"))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for source in csv.DictReader(arguments.sources.open(), delimiter="\t"):
        path: Path = arguments.folder / f"photos-{source['name']}-0.zip"
        if path.exists():
            continue
        url = f"https://github.com/{source['repository']}"
        commands = (command.format(url=url, **source).split() for command in CLONE)
        try:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as clone:
                if any(subprocess.run(["git", "-C", clone, *words]).returncode for words in commands):
                    raise DataError("git could not fetch it")
                left_out = pack(Path(clone), source, path, kept_out, taken)
        except DataError as error:
            failed.append(f"{url}: {error}")
        else:
            print(f"{path}: {left_out.pop('')} photos; left out: {dict(left_out)}", flush=True)
    if failed:
        raise DataError(f"left out: {'; '.join(failed)}")


def pack(
    clone: Path, source: dict[str, str], path: Path, kept_out: "array[int]", taken: "array[int]"
) -> Counter[str]:
    """Write the zip of a source; count photos by why they were left out, those taken under an empty text."""
    files = [file for file in find_photos(clone, None) if re.search(source["match"], file.name_in(clone))]
    random.Random(0).shuffle(files)
    most, most_of_folder = (int(source[column] or len(files)) for column in ("take", "per_dir"))
    counts, folders = Counter[str](), Counter[str]()
    with writing(path) as output, zipfile.ZipFile(output, "w") as archive, Pool() as pool:
        reduce = partial(reduced, white=float(source["white"] or 0.35))
        for file, (why, content, found) in zip(files, pool.imap(reduce, files, 8), strict=False):
            in_folder = str(file).rpartition("/")[0]
            if not why and folders[in_folder] == most_of_folder:
                why = "enough of its folder"
            if not why and (near(found, kept_out, LIKE) or near(found, taken, SAME)):
                why = "near another one"
            if not why:
                archive.writestr(zipfile.ZipInfo(f"{source['name']}/{counts['']:05d}.webp"), content)
                taken.append(found)
                folders[in_folder] += 1
            counts[why] += 1
            if counts[""] == most:
                break
        if not counts[""]:
            raise DataError(f"no photos are left: {dict(counts)}")
    return counts


def reduced(file: Source, white: float) -> tuple[str, bytes, int]:
    """Return why a photo is left out, if it is, its WebP file and hash; a share ``white`` may be white."""
    try:
        image = Image.fromarray(ColorReader()(file))
    except DataError:
        return "unreadable or gray", b"", 0
    shorter, longer = sorted(image.size)
    if shorter < SHORTEST or longer > 3 * shorter:
        return "small or long", b"", 0
    width, height = (round(side * min(1, SHORTER / shorter)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    image = ImageOps.fit(image, (min(width, LONGER), min(height, LONGER)))
    pixels, content = np.asarray(image), io.BytesIO()
    L, *ab = rgb2lab(image.resize((96, 96), Image.Resampling.BOX)).reshape(-1, 3).T
    tone = np.stack([Polynomial.fit(L, plane, 3)(L) for plane in ab])
    uncoloured = np.hypot(*ab).mean() < 4 or np.sqrt(np.square(ab - tone).sum(0).mean()) < 2
    if uncoloured or max(plane.std() for plane in ab) < 2.2 or L.std() < 5:
        return "without colours", b"", 0
    if (pixels >= 250).all(-1).mean() > white or (pixels <= 6).all(-1).mean() > 0.6:
        return "mostly white or black", b"", 0
    image.save(content, "WEBP", quality=QUALITY)
    return "", content.getvalue(), hashed(image)


def hashed(image: Image.Image) -> int:
    """Compute the difference hash: 64 bits, whether a pixel of (8, 9) is brighter than the one before it."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(np.diff(small) > 0))


def hashes(places: Iterable[Path]) -> "array[int]":
    photos, read = chain.from_iterable(find_photos(place, None) for place in places), Reader()
    return array("Q", (hashed(Image.fromarray(read(photo))) for photo in photos))


def near(found: int, others: "array[int]", bits: int) -> bool:
    return bool((np.bitwise_count(np.frombuffer(others, np.uint64) ^ np.uint64(found)) <= bits).any())


if __name__ == "__main__":
    main()
