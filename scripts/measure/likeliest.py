"""Look for the mode of the model's density by gradient ascent on log p(ab | L), and draw a picture.

    python scripts/measure/likeliest.py photos-dev.zip --show examples/coffee.png

Takes photos evenly spaced in the file, at 256 px as in ``evaluate``. Ascent is L-BFGS on log p(x | L) =
log N(f(x); 0, 1) + log |det df/dx| over x, from the colours of z = 0 and from gray; the mode is where the
higher of the two ends. Prints measures of the photo's own colours, of z = 0, of the mode and of a sample at
temperature 0.8; then the length of the mode's z by level over the square root of its dimensions, which is 1
for noise, and what the coarsest level of the mode alone gains in log p. The added noise is that of training,
0.05 in ab / 15. In the picture each row is a photo given with ``--show``, and the columns are these four.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import ConditionedPhoto, NetworkInput
from cinn_colorize.data.sources import Reader, Source, evenly_spaced, find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.evaluator import with_noise
from cinn_colorize.evaluation.photos import Square, read_square, to_rgb
from cinn_colorize.imaging.color import Floats
from cinn_colorize.latents.latent import Latent
from cinn_colorize.models.base import one_thread

DIMENSIONS = 2 * 64 * 64
PASSES = 200  # of the ascent, at most
ROWS = {  # digits
    "log p, nats per dimension": 2,
    "the same, with a little noise added to the colours": 2,
    "mean chroma": 1,
    "100 RMSE from the photo": 2,
}


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-n", type=int, default=10, help="number of photos")
    parser.add_argument("--show", type=Path, nargs="*", default=[], help="photos for the picture")
    parser.add_argument("--out", type=Path, default=Path("likeliest.jpg"))
    arguments = parser.parse_args()

    colorizer, read = Colorizer(device="cpu", guidance=0.0), Reader()
    sources = evenly_spaced(find_photos(arguments.photos, None), arguments.n)
    found, lengths, gains = [], [], []
    for k, source in enumerate(sources):
        square = read_square(source, read)
        conditioned, colours = compared(colorizer, square, k)
        centre, mode = Latent.draw(conditioned.latent_shapes, [0], 0.0), conditioned.encode(colours[2])
        densities = [conditioned.log_prob(ab) / DIMENSIONS for ab in colours]
        noisy = [conditioned.log_prob(with_noise(ab, k)) / DIMENSIONS for ab in colours]
        chroma = [np.hypot(*ab).mean() for ab in colours]
        errors = [100 * np.sqrt(np.mean((to_rgb(square.L, ab) - square.rgb) ** 2)) for ab in colours]
        found.append([densities, noisy, chroma, errors])
        coarsest = conditioned.decode(centre.replace([min(mode.levels)], mode))[0]
        gains.append(conditioned.log_prob(coarsest) - conditioned.log_prob(colours[1]))
        lengths.append([float(z.square().mean().sqrt()) for z in mode.levels.values()])
        print(f"photo {k + 1} of {len(sources)}", file=sys.stderr, flush=True)
    print("| | true colours | z = 0 | mode | T = 0.8 |\n|---|---|---|---|---|")
    for (name, digits), values in zip(ROWS.items(), np.mean(found, axis=0), strict=True):
        print(f"| {name} | {' | '.join(f'{value:.{digits}f}' for value in values)} |")
    print(f"\n| level of z | {' | '.join(map(str, mode.levels))} |\n|---{len(mode.levels) * '|---'}|")
    of_levels = " | ".join(f"{length:.2f}" for length in np.mean(lengths, axis=0))
    print(f"| length of the mode's z, as a multiple of noise's | {of_levels} |")
    side = "above" if np.mean(gains) > 0 else "below"
    print("\nWith the coarsest level of the mode and z = 0 in all others, log p is")
    print(f"{abs(np.mean(gains)):.0f} nats {side} that of z = 0. Photos: {len(sources)}.")
    rows = []
    for k, path in enumerate(arguments.show):
        square = read_square(Source(path), read)
        _, colours = compared(colorizer, square, k)
        rows.append(np.concatenate([to_rgb(square.L, ab) for ab in colours], axis=2))
    if rows:
        sheet = np.moveaxis(np.concatenate(rows, axis=1), 0, -1).clip(0, 1)
        Image.fromarray(np.uint8((sheet * 255).round())).save(arguments.out, quality=80)


def compared(colorizer: Colorizer, square: Square, seed: int) -> tuple[ConditionedPhoto, list[Floats]]:
    """Return a photo, conditioned, and its true colours, those of z = 0, the mode and a sample."""
    conditioned = colorizer.condition(NetworkInput(square.L))
    ab = conditioned.decode(Latent.draw(conditioned.latent_shapes, [0], 0.0))[0]
    ends = [ascended(colorizer, square.L, start) for start in (ab, np.zeros_like(ab))]
    (sample,) = conditioned.sample(1, 0.8, seed)
    return conditioned, [square.ab, ab, max(ends, key=conditioned.log_prob), sample.ab]


def ascended(colorizer: Colorizer, L: Floats, start: Floats) -> Floats:
    """Return the colours (2, 64, 64) with the highest log density that are found from given ones."""
    network = colorizer.network
    condition, model = network.condition(L), network.model
    x = torch.from_numpy(start / model.config.chroma_scale)[None].requires_grad_()
    optimizer = torch.optim.LBFGS([x], max_iter=PASSES, max_eval=PASSES, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        latents, log_dets = model(x, condition)
        loss = -torch.stack(list(log_dets.values())).sum() - Latent(latents).log_prob().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with one_thread():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return model.config.chroma_scale * x.detach().numpy()[0]


if __name__ == "__main__":
    main()
