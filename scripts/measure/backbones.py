"""Compare features of backbones on gray photos with the original's in colour.

    python scripts/measure/backbones.py PHOTOS [BACKBONE.safetensors ...]

For the original and for each weights file, prints the error of the features by stride (squared, over their
variance), the Kullback-Leibler divergence of the 1000 classes, and how often the likeliest class is that of
the original in colour.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import read_square
from cinn_colorize.models.conditioning import EfficientNetLite2, gray_input, pretrained
from cinn_colorize.models.conditioning.backbone import Classifier
from cinn_colorize.training.features import distillation


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("files", type=Path, nargs="*", metavar="BACKBONE")
    arguments = parser.parse_args()
    state = pretrained.LITE2.state()
    original = EfficientNetLite2()
    original.load_pretrained(state)
    classifier = Classifier(state)
    backbones = {"original": original}
    for file in arguments.files:
        backbones[str(file)] = EfficientNetLite2()
        backbones[str(file)].load_state_dict({k: v.float() for k, v in load_file(file).items()})
    read = Reader()
    squares = [read_square(source, read) for source in find_photos(arguments.photos)]
    with torch.inference_mode():
        colours = [2 * torch.from_numpy(square.rgb).float()[None] - 1 for square in squares]
        targets = [original(colour) for colour in colours]
        some = {s: torch.cat([t[s].flatten(2) for t in targets[::4]], 2) for s in targets[0]}
        spread = {s: values.var(2)[..., None, None] for s, values in some.items()}
        for name, backbone in backbones.items():
            found = []
            for square, target in zip(squares, targets, strict=True):
                features = backbone(gray_input(torch.from_numpy(square.L)[None, None]))
                found.append(distillation(features, target, spread, classifier))
            means = {key: sum(float(losses[key]) for losses in found) / len(found) for key in found[0]}
            print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in means.items()))


if __name__ == "__main__":
    main()
