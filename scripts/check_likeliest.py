"""The mode of the model's density: what gradient ascent on log p(ab | L) finds; writes a picture.

    python scripts/check_likeliest.py ../shared/data/photos-dev.zip --out likeliest.jpg

Of photos evenly spaced in the file, cut square and reduced to 256 px as ``evaluate`` does. Ascent is L-BFGS
on log p(x | L) = log N(z; 0, 1) - log |det dg/dz| over z, from z = 0. Printed are nats per dimension, mean
chroma and 100 * RMSE of the photo's own colours, of z = 0, of the mode found and of a sample at T = 0.8; then
what the mode's base alone gains in log p, in nats, and the length of the mode's z by level over the square
root of its dimensions, which is 1 for noise. In the picture each row is a photo, and the columns are these
four.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.latent import Latent

DIMENSIONS = 2 * 64 * 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, default=10, help="photos")
    parser.add_argument("--passes", type=int, default=60, help="at most, of the ascent")
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 3, 6, 8], help="photos of the picture")
    parser.add_argument("--weights")
    parser.add_argument("--out", default="likeliest.jpg")
    arguments = parser.parse_args()

    colorizer, read = Colorizer(weights=arguments.weights, device="cpu"), Reader()
    sources = find_photos(arguments.photos, None)
    rows, lengths, gains, pictures = [], [], [], []
    names = ["true", "z = 0", "mode", "T = 0.8"]
    print("photo" + "".join(f"{f'{m} {n}':>16}" for m in ("log p", "chroma", "RMSE") for n in names))
    for k in range(arguments.n):
        square = read_square(sources[k * len(sources) // arguments.n], read)
        conditioned = colorizer.condition(NetworkInput(square.L))
        centre = Latent.draw(conditioned.latent_shapes, [0], 0.0)
        mode = ascended(colorizer, square.L, centre, arguments.passes)
        (sample,) = conditioned.sample(1, 0.8, k)
        colours = [square.ab, conditioned.decode(centre)[0], conditioned.decode(mode)[0], sample.ab]
        shown = [to_rgb(square.L, ab) for ab in colours]
        row = [conditioned.log_prob(ab) / DIMENSIONS for ab in colours]
        row += [float(np.hypot(*ab).mean()) for ab in colours]
        row += [100 * float(np.sqrt(np.mean((rgb - square.rgb) ** 2))) for rgb in shown]
        rows.append(row)
        tinted = conditioned.decode(centre.replace([0], mode))[0]
        gains.append(conditioned.log_prob(tinted) - conditioned.log_prob(colours[1]))
        lengths.append([float(z.square().mean().sqrt()) for z in mode.levels.values()])
        print(f"{k:>5}" + "".join(f"{value:16.2f}" for value in row), flush=True)
        if k in arguments.rows:
            pictures.append(np.concatenate([np.moveaxis(rgb, 0, -1) for rgb in shown], axis=1))
    print(" mean" + "".join(f"{value:16.2f}" for value in np.mean(rows, axis=0)))
    print(f"z = 0 but for the mode's base: {np.mean(gains):+.0f} nats against z = 0")
    print("length of z:", dict(zip(mode.levels, np.mean(lengths, axis=0).round(2).tolist(), strict=True)))
    if pictures:
        sheet = (np.concatenate(pictures).clip(0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(sheet).save(arguments.out, quality=80)


def ascended(colorizer: Colorizer, L: Floats, start: Latent, passes: int) -> Latent:
    """The code with the highest log density of its colours that is found from a given one."""
    network = colorizer.network
    condition = network.condition(L)
    levels = {r: z.clone().requires_grad_() for r, z in start.levels.items()}
    optimizer = torch.optim.LBFGS(
        list(levels.values()), max_iter=passes, max_eval=passes, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        _, log_dets = network.model.inverse(levels, condition)
        loss = torch.stack(list(log_dets.values())).sum() - Latent(levels).log_prob().sum()
        loss.backward()
        return loss

    with network.inference(gradients=True):
        optimizer.step(closure)
    return Latent(levels).map(torch.Tensor.detach)


if __name__ == "__main__":
    main()
