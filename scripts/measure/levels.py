"""Split the nll of a model by level: python scripts/measure/levels.py PHOTOS [PHOTOS ...].

PHOTOS are zips or folders. The nll is that of `cinn-colorize evaluate`, over the photos of each; by level it
is given in nats per dimension of that level, and in nats per photo. To find out whether a model memorises,
compare the differences between two weights on photos that it has learnt from and on others.

Then, of the latent codes z of the photos' own colours: their mean square, and that of their means over places
times the number of places. Both are 1 for noise; a larger one says that the model is too sure, the latter of
the colours of photos as a whole.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cinn_colorize.data.sources import ColorReader, Source, evenly_spaced, find_photos, readable
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation import nll_by_level
from cinn_colorize.evaluation.likelihood import with_noise
from cinn_colorize.evaluation.photos import read_square
from cinn_colorize.models import load_model
from cinn_colorize.models.base import PhotoFlow


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--model", default="natural")
    parser.add_argument("--weights", type=Path, nargs="*", default=[None], help="default: packaged")
    parser.add_argument("--of", type=int, default=100, help="photos of each, evenly spaced")
    arguments = parser.parse_args()
    for root in arguments.photos:
        photos = find_photos(root, pattern=None)
        chosen = evenly_spaced(photos, arguments.of)
        for weights in arguments.weights:
            model = load_model(arguments.model, weights).model
            assert isinstance(model, PhotoFlow)
            print(f"{root}, {weights or 'packaged weights'}: ", end="")
            show(model, nll_by_level(model, chosen), mean_squares(model, chosen))


def mean_squares(model: PhotoFlow, photos: Sequence[Source]) -> dict[int, tuple[float, float]]:
    """Return the mean squares of z, and of its means over places times their number, by level."""
    squares, count = {r: np.zeros(2) for r in model.latent_shapes}, 0
    for k, photo in readable(photos, partial(read_square, read=ColorReader())):
        count += 1
        x = torch.from_numpy(with_noise(photo.ab, k))[None] / model.config.chroma_scale
        with torch.no_grad():
            latents, _ = model(x, model.condition(torch.from_numpy(photo.L)[None, None]))
        for r, z in latents.items():
            means = z.mean((2, 3)).square().mean() * z[0, 0].numel()
            squares[r] += float(z.square().mean()), float(means)
    return {r: (each / count, whole / count) for r, (each, whole) in squares.items()}


def show(model: PhotoFlow, nll: dict[int, float], squares: dict[int, tuple[float, float]]) -> None:
    sizes = {r: math.prod(shape) for r, shape in model.latent_shapes.items()}
    mean = sum(nll.values()) / sum(sizes.values())
    print(f"{mean:.4f} nats a dimension")
    for r, nats in nll.items():
        each, whole = squares[r]
        print(
            f"  r = {r:2}: {nats / sizes[r]:8.4f} a dimension, {nats:9.1f} a photo; "
            f"mean square of z {each:.2f}, of its means {whole:.2f}"
        )


if __name__ == "__main__":
    main()
