"""Measure ``objects`` of perfect models, which draw truth and eight samples from one normal distribution."""

import argparse

import numpy as np

PHOTOS, SAMPLES = 20_000, 8


def perfect(dimensions: int) -> float:
    """Return ``objects`` of samples of the distribution that the truth is drawn from."""
    drawn = np.random.default_rng(0).standard_normal((PHOTOS, 1 + SAMPLES, dimensions))
    truth, samples = drawn[:, :1], drawn[:, 1:]
    both = samples, samples.mean(1, keepdims=True)
    best, mean = (np.linalg.norm(drawn - truth, axis=2).min(1).mean() for drawn in both)
    return float(best / mean)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| effective dimensions | objects of a perfect model |\n|---:|---:|")
    for dimensions in (4, 8, 16, 32):
        print(f"| {dimensions} | {perfect(dimensions):.2f} |")
