"""Measure how exact latent codes are: python scripts/measure/latents.py PHOTOS [--limit 40]."""

import argparse
from pathlib import Path

import numpy as np

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.noise import Floats
from cinn_colorize.methods import mix as mix_method


def error(ab: Floats, other: Floats) -> float:
    """Compute the mean Delta E76 of ab (L is the same)."""
    return float(np.hypot(*(ab - other)).mean())


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder or zip of colour photos")
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    draws, read = Colorizer(), Reader()
    used = mix_method.FINEST_JOINED
    joined_levels = (-1, *sorted(draws.model.latent_shapes))  # finest encoded level of a mix, -1 for none
    side = np.linspace(-1, 1, 64)
    disc = (np.hypot(side[:, None], side) < 0.7).astype(np.float32)
    mask = mix_method.Mask(disc, "")
    decoded, transferred, full, apart = [], [], [], []
    mixed: dict[int, list[float]] = {r: [] for r in joined_levels}
    for source in find_photos(arguments.photos, pattern=None)[: arguments.limit]:
        photo = open_photo(read(source))
        own, conditioned = photo.lab(64, 64)[1:], draws.condition(photo)
        decoded.append(error(conditioned.decode(conditioned.encode(own))[0], own))
        if photo.is_color:
            (sample,) = conditioned.transfer(draws.reference(photo), noise=0)
            transferred.append(error(sample.ab, own))
            (colorization,) = draws.compose(photo, [sample])
            full.append(error(open_photo(colorization.rgb).lab(64, 64)[1:], own))
        inside, outside = (conditioned.sample(1, 0.8, seed)[0].ab for seed in (1, 2))
        apart.append(error(inside, outside))
        for mix_method.FINEST_JOINED in joined_levels:
            mix = conditioned.mix((1, 2), mask, 0.8).ab
            joined = disc * inside + (1 - disc) * outside
            mixed[mix_method.FINEST_JOINED].append(error(mix, joined))
    print("| | mean Delta E76 |\n|---|---:|")
    print(f"| `decode(encode(ab))` to the photo's own ab | {np.mean(decoded):.5f} |")
    itself = "`transfer` of a photo to itself, `--strength 1`"
    print(f"| {itself}, as the network outputs it | {np.mean(transferred):.5f} |")
    print(f"| the same in the full-size picture, upsampled along edges | {np.mean(full):.2f} |")
    print(f"| between the two samples that a mix is made of | {np.mean(apart):.1f} |\n")
    levels = ("none" if r < 0 else f"**{r}**" if r == used else str(r) for r in joined_levels)
    print(f"| finest encoded level of a mix | {' | '.join(levels)} |\n|---{len(joined_levels) * '|---:'}|")
    cells = (f"{np.mean(mixed[r]):.1f}" for r in joined_levels)
    print(f"| Delta E76 from the two samples side by side | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
