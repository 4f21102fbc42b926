"""Measure how exact latent codes are: python scripts/measure/latents.py PHOTOS [--limit 40]."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.methods import mix as mix_method
from cinn_colorize.samples import Floats

JOINED = (-1, 0, 1, 2, 4, 8, 16, 32)  # finest encoded level of a mix, -1 for none


def error(ab: Floats, other: Floats, where: Floats | float = 1.0) -> float:
    """Compute the mean Delta E76 of ab (L is the same)."""
    return float((np.hypot(*(ab - other)) * where).sum() / np.broadcast_to(where, ab.shape[1:]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="folder or zip of colour photos")
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    draws, read = Colorizer(), Reader()
    side = np.linspace(-1, 1, 64)
    disc = (np.hypot(side[:, None], side) < 0.7).astype(np.float32)
    mask = mix_method.Mask(disc, "")
    decoded, transferred, full, apart = [], [], [], []
    mixed: dict[int, list[float]] = {r: [] for r in JOINED}
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
        for mix_method.FINEST_JOINED in JOINED:
            mix = conditioned.mix((1, 2), mask, 0.8).ab
            joined = disc * inside + (1 - disc) * outside
            mixed[mix_method.FINEST_JOINED].append(error(mix, joined))
    print("Mean Delta E76 of ab at 64 px")
    print(
        f"decode(encode(ab)) to ab                    {np.mean(decoded):8.5f}, at most {np.max(decoded):.5f}"
    )
    print(f"transfer of a photo to itself, strength 1   {np.mean(transferred):8.5f} as it leaves the flow")
    print(f"                                            {np.mean(full):8.5f} in the picture at full size")
    print(f"the two samples of a mix                    {np.mean(apart):8.5f}")
    print("a mix to the one inside, the other outside, by the finest level that is encoded:")
    for r, errors in mixed.items():
        print(f"{'none' if r < 0 else r:>4} {np.mean(errors):8.3f}")


if __name__ == "__main__":
    main()
