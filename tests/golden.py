"""What the shipped weights give for fixed photos, and the command that records it anew.

    python tests/golden.py

writes ``tests/models/golden`` after new weights: ``nll.json``, and a sample of each model as ``MODEL.npy``.
What it changes belongs into the commit that changes the weights or a default, and nowhere else.
"""

import json

import numpy as np
from helpers import EXAMPLES, ROOT

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import Source
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.methods.digits import Digits
from cinn_colorize.models import MODELS, load_model

FOLDER = ROOT / "tests/models/golden"
SHIPPED = sorted(name for name, info in MODELS.items() if info.sha256)
PHOTOS = ("astronaut.png", "coffee.png", "tea-gardens.jpg")
SEED = 3


def sample(model):
    """A sample at the model's own size: ab (2, 64, 64) of the first photo, or the ten digits (10, 28, 28)."""
    if model == "mnist":
        return Digits(device="cpu").sample(1, seed=SEED)[0]
    colorizer = Colorizer(model=model, device="cpu")
    (drawn,) = colorizer.condition(EXAMPLES / PHOTOS[0]).sample(1, seed=SEED)
    return drawn.ab


def nll(model):
    """Nats a dimension by photo; of ``mnist``, by what the recorded digits show."""
    if model == "mnist":
        digits = recorded(model)
        log_probs = Digits(device="cpu").log_prob(digits, range(len(digits)))
        return {str(digit): -float(value) / digits[0].size for digit, value in enumerate(log_probs)}
    flow = load_model(model).model
    return {photo: mean_nll(flow, [Source(EXAMPLES / photo)]) for photo in PHOTOS}


def recorded(model):
    return np.load(FOLDER / f"{model}.npy").astype(np.float32)


def main():
    FOLDER.mkdir(exist_ok=True)
    found = {}
    for model in SHIPPED:
        np.save(FOLDER / f"{model}.npy", sample(model).astype(np.float16))
        found[model] = {name: round(value, 4) for name, value in nll(model).items()}
    (FOLDER / "nll.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
