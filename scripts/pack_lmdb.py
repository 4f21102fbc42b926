"""Pack photos into LMDBs in LSUN's layout: python scripts/pack_lmdb.py PHOTOS FOLDER [--val 200].

PHOTOS is a zip or folder. FOLDER receives bedroom_train_lmdb and bedroom_val_lmdb, which `cinn-colorize train
--dataset lsun --data FOLDER` reads. Keys are SHA-1 sums, as LSUN's are, so their order is random; the first
ones go to the validation set. WebP and JPEG files are packed as they are, others as WebP.
"""

import argparse
import hashlib
from pathlib import Path

import cv2
import lmdb

from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import DataError, ending_in_a_line
from cinn_colorize.training.bedrooms import LSUN_TRAIN, LSUN_VAL

PAGE = 4096  # bytes, of LMDB


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--val", type=int, default=200, help="number of photos in the validation set")
    arguments = parser.parse_args()

    for name in (LSUN_VAL, LSUN_TRAIN):
        if (arguments.folder / name).exists():
            parser.error(f"{arguments.folder / name}: there already; choose another FOLDER")
    read, packed = Reader(), {}
    for source in find_photos(arguments.photos, pattern=None):
        data = read.file(source)
        if not (data[:2] == b"\xff\xd8" or data[8:12] == b"WEBP"):
            image = cv2.cvtColor(read(source), cv2.COLOR_RGB2BGR)
            data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 95])[1].tobytes()
        packed[hashlib.sha1(data).hexdigest().encode()] = data

    keys, val = sorted(packed), arguments.val
    if len(keys) <= val:
        few = f"--val {val} of {len(keys)} photos leaves none to train on; give a smaller number"
        raise DataError(f"{arguments.photos}: {few}")
    for name, chosen in ((LSUN_VAL, keys[:val]), (LSUN_TRAIN, keys[val:])):
        path = arguments.folder / name
        path.mkdir(parents=True)
        size = sum(len(packed[key]) + 2 * PAGE for key in chosen) + 2**20
        with lmdb.open(str(path), map_size=size) as environment, environment.begin(write=True) as transaction:
            for key in chosen:
                transaction.put(key, packed[key])
        print(f"{path}: {len(chosen)} photos")


if __name__ == "__main__":
    main()
