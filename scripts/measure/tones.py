"""Count the samples of gray photos that are a mere tint: one colour for each brightness, as in a sepia print.

    python scripts/measure/tones.py oldphotos.zip 0.7,8:0.75@0.3 0.7,8:0.8@0.3

Settings are those of settings.py. A sample is in a single tone if its ab at 64 px lie within 3 units, root
mean square, of the cubic polynomial of L that fits them best. ``beyond`` is the mean of that distance, the
colour that follows things instead of brightness, and ``chroma`` the mean chroma, both in units of ab. The
picture inside a frame counts alone. All settings have the same noise; ± is one standard error over photos,
and differences to the first setting are taken photo by photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from settings import SAMPLES, Setting

from cinn_colorize.colorizer import Colorizer, NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.imaging.color import Floats
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.models import load_model

NEAR = 3.0  # units of ab
COLUMNS = ("single tone, %", "beyond", "chroma")


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("settings", nargs="+", metavar="T@GUIDANCE*SATURATION")
    parser.add_argument("--weights")
    arguments = parser.parse_args()

    loaded = load_model(source=arguments.weights)
    levels = list(loaded.model.latent_shapes)
    settings = {text: Setting.parse(text, levels) for text in arguments.settings}
    measured: dict[str, list[Floats]] = {text: [] for text in settings}
    read, photos = Reader(), find_photos(arguments.photos, pattern=None)
    for text, setting in settings.items():
        colorizer = Colorizer(loaded, chunk=SAMPLES, guidance=setting.guidance)
        for i, source in enumerate(photos):
            photo = open_photo(read.file(source), name=str(source)).framed()
            seen = NetworkInput.of(photo, colorizer.info.luminance_size)
            drawn = colorizer.condition(seen).sample(SAMPLES, setting.temperature, SAMPLES * i)
            ab = np.stack([np.float32(setting.saturation) * sample.ab for sample in drawn])
            measured[text].append(tones(ab, seen.square).mean(0))

    print(f"{len(photos)} photos\n")
    print(f"| setting | {' | '.join(COLUMNS)} |\n|---|---|---|---|")
    first = np.stack(measured[arguments.settings[0]])
    for text, found in measured.items():
        values = np.stack(found)
        cells = [f"{mean:.1f} ± {se:.1f}" for mean, se in zip(values.mean(0), error(values), strict=True)]
        if text != arguments.settings[0]:
            changes = zip((values - first).mean(0), error(values - first), strict=True)
            cells = [f"{cell} ({by:+.1f} ± {se:.1f})" for cell, (by, se) in zip(cells, changes, strict=True)]
        print(f"| {text} | {' | '.join(cells)} |")


def tones(ab: Floats, L: Floats) -> Floats:
    """Return what :data:`COLUMNS` show of samples.

    Args:
        ab: (N, 2, s, s).
        L: L* of their photo, (S, S), S a multiple of s.

    Returns:
        (N, 3): 100 if the sample is in a single tone, else 0; the distance; the chroma.
    """
    s, by = ab.shape[-1], len(L) // ab.shape[-1]
    small = L.reshape(s, by, s, by).mean((1, 3)).ravel() / 100
    powers = np.stack([small**k for k in range(4)], axis=1)
    found = []
    for colours in ab.reshape(len(ab), 2, -1):
        rest = colours.T - powers @ np.linalg.lstsq(powers, colours.T, rcond=None)[0]
        beyond = np.sqrt((rest**2).sum(1).mean())
        found.append((100 * (beyond < NEAR), beyond, np.hypot(*colours).mean()))
    return np.array(found)


def error(values: Floats) -> Floats:
    """Return the standard errors of means over photos."""
    return np.asarray(values.std(0, ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main()
