"""Split the nll of a model by level: python scripts/measure/levels.py PHOTOS [PHOTOS ...].

PHOTOS are zips or folders. To find out whether a model memorises, compare the differences between two weights
on photos that it has learnt from and on others.
"""

import argparse
import math
from pathlib import Path

from cinn_colorize.data.sources import evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation import nll_by_level
from cinn_colorize.models import load_model
from cinn_colorize.models.base import PhotoFlow


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, nargs="*", default=[None], help="default: packaged")
    parser.add_argument("--of", type=int, default=100, help="photos of each, evenly spaced")
    arguments = parser.parse_args()
    for root in arguments.photos:
        photos = evenly_spaced(find_photos(root, pattern=None), arguments.of)
        for weights in arguments.weights:
            model = load_model(source=weights).model
            assert isinstance(model, PhotoFlow)
            nll = nll_by_level(model, photos)
            sizes = {r: math.prod(shape) for r, shape in model.latent_shapes.items()}
            mean = sum(nll.values()) / sum(sizes.values())
            print(f"{root}, {weights or 'packaged weights'}: {mean:.4f} nats a dimension")
            for r, nats in nll.items():
                print(f"  r = {r:2}: {nats / sizes[r]:8.4f} a dimension, {nats:9.1f} a photo")


if __name__ == "__main__":
    main()
