"""Make the photos of a run: all that there are, but fewer of narrow sources, and more of rare ones.

    python scripts/training/tilt.py photos-train-*.zip photos-extra-*.zip --output FOLDER

Of dogs, faces, cars and ten classes of ImageNet 40 % are taken, so that they do not outweigh the rest.
Genuine old colour photographs, of which there are few, come several times; sources whose colours are wrong
are left out. The choice depends on the names of zips and entries alone.
``FOLDER/photos-train-N.zip`` receive the entries as they are, in a random order, for ``train --data FOLDER``.
"""

import argparse
import random
import zipfile
import zlib
from pathlib import Path

from cinn_colorize.errors import ending_in_a_line

NARROW = [
    "woof",
    "dogs",
    "catsdogs",
    "wild",
    "faces-utk",
    "faces-celeb",
    "cars",
    "imagenette",
    "miniimagenet",
]
SHARE = 0.4  # of these that is kept
OFTEN = {"documerica": 4, "gorskii-a": 3, "gorskii-loc": 3, "whenwas": 2}  # how often each photo comes
LEFT_OUT = {
    "analog",  # films developed in the wrong bath: green skin, purple lawns
    "ddr-life",  # mostly badges, banknotes and maps
    "gorskii-b",  # plates out of register: coloured rims
    "gorskii-c",
}
A_ZIP = 4000  # photos
DATE = (2026, 1, 1, 0, 0, 0)


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("zips", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    if there := sorted(arguments.output.glob("photos-train-*.zip")):
        parser.error(f"{there[0]}: there already; choose another --output")
    if len({path.name for path in arguments.zips}) < len(arguments.zips):
        parser.error("two zips have the same name; rename one")
    opened = {path.name: zipfile.ZipFile(path) for path in sorted(arguments.zips)}
    kept = [(name, entry) for name, file in opened.items() for entry in file.namelist() if keeps(name, entry)]
    random.Random(1).shuffle(kept)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(kept), A_ZIP):
        path = arguments.output / f"photos-train-{start // A_ZIP}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for name, entry in kept[start : start + A_ZIP]:
                source, photo = entry.split("/", 1)
                content = opened[name].read(entry)
                # Entries of several zips may have the same name, and one may come several times.
                for copy in range(OFTEN.get(source, 1)):
                    path_inside = f"{source}/{f'{copy}-' if copy else ''}{Path(name).stem}-{photo}"
                    file.writestr(zipfile.ZipInfo(path_inside, DATE), content)
    print(f"{len(kept)} photos")


def keeps(name: str, entry: str) -> bool:
    """Tell whether an entry of a zip is taken."""
    source = entry.split("/")[0]
    if not entry.endswith(".webp") or source in LEFT_OUT:
        return False
    return source not in NARROW or zlib.crc32(f"{name}/{entry}".encode()) % 100 < 100 * SHARE


if __name__ == "__main__":
    main()
