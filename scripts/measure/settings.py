"""Compare settings of samples, several at once, photo by photo.

    python scripts/measure/settings.py photos-dev.zip photos-train-0.zip 0.8 0.85,32:0.6@0.3

A setting is a temperature, as ``-t`` takes it, and after ``@`` a guidance, which may be left out. Measures
every fourth photo of the first zip, in a fixed random order, so that any number of them (``--photos``, or
Ctrl-C) represents all. All settings have the same noise, and differences from the first are photo by photo.
``kid_lite0`` is 1,000 times that to 1,000 photos of the second zip.

``score`` sums up how much better a setting is than the first, in steps that a viewer would notice:

    objects / 0.02 + hue_1 / 0.02 + best_of_8_image / 0.1 + kid_lite0 / 1 + |log chroma| / 0.1

each the gain over the first setting; docs/temperature.md says how the default follows from it.
"""

import argparse
import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from paired import cell, compared

from cinn_colorize.colorizer import Colorizer, NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation import KidLite0
from cinn_colorize.evaluation.metrics import Statistics, difference, estimate, exploding, picture_statistics
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.levels import PerLevel, parse_temperature
from cinn_colorize.models import load_model

SAMPLES = 8
ERRORS = ("best_of_1", "best_of_8_image")
SHOWN = (*ERRORS, "energy", "energy_4x4", "objects", "structure", "hue_1", "chroma", "blue_20")
STEPS = {"objects": -0.02, "hue_1": 0.02, "best_of_8_image": -0.1}  # that a viewer notices, for the better
GRAY = "gray photo"


class Settings(dict[str, tuple[PerLevel, float]]):
    """Temperatures and guidances by their text, and what draws samples of all with the same noise."""

    def __init__(self, texts: list[str], weights: str | None = None, **options: Any) -> None:
        loaded = load_model(source=weights)
        levels = list(loaded.model.latent_shapes)
        for text in texts:
            if not (found := re.fullmatch(r"([0-9.,:]+)(?:@([0-9.]+))?", text)):
                raise SystemExit(f"{text!r} is not a setting such as 0.85,32:0.6@0.3")
            self[text] = parse_temperature(found[1], levels, 1.0), float(found[2] or 0)
        guidances = {guidance for _, guidance in self.values()}
        self.colorizers = {g: Colorizer(loaded, chunk=SAMPLES, guidance=g, **options) for g in guidances}
        self.any = next(iter(self.colorizers.values()))

    def drawn(self, seen: NetworkInput, i: int) -> Iterator[tuple[str, Floats]]:
        """Yield ab (N, 2, 64, 64) of photo i by setting."""
        conditioned = {guidance: c.condition(seen).whole for guidance, c in self.colorizers.items()}
        for text, (temperature, guidance) in self.items():
            samples = conditioned[guidance].sample(SAMPLES, temperature, SAMPLES * i)
            yield text, np.stack([sample.ab for sample in samples])


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("settings", nargs="+", metavar="T@GUIDANCE")
    parser.add_argument("--photos", type=int, default=100, dest="number")
    parser.add_argument("--weights")
    arguments = parser.parse_args()

    settings = Settings(arguments.settings, arguments.weights, precision="bf16")
    photos = find_photos(arguments.photos)[::4]
    kid = KidLite0(find_photos(arguments.reference)[:1000], settings.any.device, lambda done, total: None)
    statistics = defaultdict[str, list[Statistics]](list)
    exploded = defaultdict[str, int](int)
    features = defaultdict[str, list[np.ndarray]](list)
    read = Reader()
    with contextlib.suppress(KeyboardInterrupt):
        for i in np.random.default_rng(0).permutation(len(photos))[: arguments.number]:
            photo = read_square(photos[i], read)
            for text, ab in settings.drawn(NetworkInput(photo.L), int(i)):
                pictures = np.stack([to_rgb(photo.L, colours) for colours in ab])
                statistics[text].append(compared(photo, pictures, ab))
                features[text].append(kid.of(pictures, photo, photos[i]))
                exploded[text] += exploding(ab)
            for row, colours in ((GRAY, 0 * photo.ab), ("true colours at 64 px", photo.ab)):
                picture = to_rgb(photo.L, colours)[None]
                rmse = picture_statistics(picture, photo.rgb)["best_of_1"]
                statistics[row].append(dict.fromkeys(ERRORS, rmse))
                features[row].append(kid.of(picture, photo, photos[i]))

    print(f"{len(features[GRAY])} photos\n")
    print(f"| setting | {' | '.join(SHOWN)} | kid_lite0 | exploding | score |")
    print("|" + "---|" * (len(SHOWN) + 4))
    first = next(iter(settings))
    reference = estimate(statistics[first])
    for row, measured in statistics.items():
        means, changes = estimate(measured), difference(measured, statistics[first])
        cells = []
        for name in SHOWN:
            change = f" ({cell(changes.get(name), 3, '+')})" if row != first else ""
            cells.append(f"{means[name].mean:.3f}{change}" if name in means else "-")
        distance = kid.estimate(features[row])
        cells.append(f"{1000 * distance.mean:.1f} ± {1000 * distance.se:.1f}")
        scored = ["-", "-"]
        if row in settings:
            nearer = 1000 * (kid.estimate(features[first]).mean - distance.mean)
            gains = sum((means[name].mean - reference[name].mean) / step for name, step in STEPS.items())
            chroma = [abs(np.log(each["chroma"].mean)) / 0.1 for each in (reference, means)]
            scored = [f"{exploded[row]}", f"{gains + chroma[0] - chroma[1] + nearer:+.1f}"]
        print(f"| {' | '.join([row, *cells, *scored])} |")


if __name__ == "__main__":
    main()
