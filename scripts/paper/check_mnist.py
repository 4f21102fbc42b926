"""Measure `mnist`.

    python scripts/paper/check_mnist.py MNIST

Prints the test set's nll with the noise of training, the share of test digits that the flow classifies
correctly by their likelihoods, and the share of samples at temperature 0.88 that a classifier recognises as
the requested digit. The classifier is a small convolutional network, trained here on MNIST without noise.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.methods.digits import TEMPERATURE, Digits
from cinn_colorize.training.mnist import SIGMA, Part, nll_per_dimension, read_mnist

BATCH = 128


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of MNIST's files")
    arguments = parser.parse_args()

    digits = Digits()
    test = read_mnist(arguments.data, "t10k")
    print(f"nll of the test set, noise {SIGMA}: {nll_per_dimension(digits, test, SIGMA):.4f} nats/dimension")
    some = test.images[:1000] + SIGMA * np.random.default_rng(1).standard_normal((1000, 28, 28))
    told = digits.log_probs(some).argmax(1) == test.labels[:1000]
    print(f"told apart by their likelihoods: {told.mean():.1%} of 1,000 test digits")

    classifier = train_classifier(read_mnist(arguments.data, "train"), epochs=3)
    right = classify(classifier, test.images) == test.labels
    print(f"classifier on {len(right):,} real test digits: {right.mean():.2%}")
    drawn = digits.sample(100, TEMPERATURE).reshape(-1, 28, 28)
    wanted = np.tile(np.arange(10), 100)
    right = classify(classifier, drawn) == wanted
    by_digit = "  ".join(f"{d}: {right[wanted == d].mean():.0%}" for d in range(10))
    share = f"{right.mean():.1%} of {len(right):,}"
    print(f"samples at {TEMPERATURE} recognised: {share}  ({by_digit})")


def train_classifier(part: Part, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU()]
    second = [nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3)]
    model = nn.Sequential(*first, *second, nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))
    images, labels = torch.from_numpy(part.images)[:, None], torch.from_numpy(part.labels)
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(BATCH)[:-1]:
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


def classify(model: nn.Module, images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(np.clip(images, 0, 1).astype(np.float32))[:, None]
    with torch.no_grad():
        scores: Tensor = torch.cat([model(part) for part in x.split(1000)])
    return scores.argmax(1).numpy()


if __name__ == "__main__":
    main()
