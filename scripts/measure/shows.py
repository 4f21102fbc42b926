"""Say what photos show by rule alone, from their source and their ImageNet class.

    python scripts/measure/shows.py photos-val.zip photos-val-labels.tsv > photos-val-shows.tsv

Prints the table that ``cinn-colorize evaluate --subsets`` reads. Nobody looks at the photos, so a photo that
is not named may show it too. Classes count only where the thing can hardly be missing from the photo.
"""

import argparse
from pathlib import Path

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.table import read_column

SOURCES = {"sports": "people", "places-rooms": "indoors"}
CLASSES = {  # ImageNet's order
    "people": {981, 982, 983},  # ballplayer, groom, scuba diver
    # Airliner, airship, beacon, bell cote, castle, church, parachute, steel arch bridge, water tower,
    # warplane, alp, cliff, lakeside, promontory, seashore, valley, volcano.
    "sky": {404, 405, 437, 442, 483, 497, 701, 821, 900, 895, 970, 972, 975, 976, 978, 979, 980},
    # Greenhouse, lakeside, valley, rapeseed, daisy, lady's slipper, hip.
    "vegetation": {580, 975, 979, 984, 985, 986, 989},
    "food": {*range(924, 970)} - {958, 968},  # guacamole to eggnog, without hay and cup
    # Altar, barbershop, bookcase, bookshop, china cabinet, dining table, dishwasher, microwave, refrigerator,
    # stove, studio couch, toaster, toilet seat, wardrobe, washbasin.
    "indoors": {406, 424, 453, 454, 495, 532, 534, 651, 760, 827, 831, 859, 861, 894, 896},
}


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="zip of photos in folders named by their sources")
    parser.add_argument("labels", type=Path, help="table with the columns entry and class")
    arguments = parser.parse_args()
    classes = read_column(arguments.labels, "class", "0 to 999")
    print("entry\tshows")
    for source in find_photos(arguments.photos, None):
        name = source.name_in(arguments.photos)
        found = {SOURCES.get(name.partition("/")[0], "")}
        if name in classes:
            found |= {word for word, those in CLASSES.items() if int(classes[name]) in those}
        if found := found - {""}:
            print(f"{name}\t{','.join(sorted(found))}")


if __name__ == "__main__":
    main()
