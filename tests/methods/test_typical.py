"""Typical samples: medoids by the mean distance of ab."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinn_colorize.methods.samples import Sample, likeliest, typical


def samples_at(points):
    """Samples of one colour each, points in the plane, by their seeds."""
    ab = np.zeros((len(points), 2, 64, 64), np.float32)
    ab += np.reshape(points, (-1, 2, 1, 1))
    return [Sample(each, {}, 0.0, seed, 1.0) for seed, each in enumerate(ab)]


def seeds(samples):
    return [sample.seed for sample in samples]


def distances(points):
    return np.linalg.norm(np.subtract.outer(points, points)[:, [0, 1], :, [0, 1]], axis=0)


POINTS = st.lists(st.tuples(*[st.integers(-50, 50)] * 2), min_size=1, max_size=9)


@given(POINTS)
def test_the_first_is_the_nearest_to_the_others(points):
    sums = distances(points).sum(axis=0)
    samples = samples_at(points)
    (first,) = typical(samples, 1)
    assert sums[first.seed] == pytest.approx(sums.min())
    everyone = typical(samples)
    assert sorted(seeds(everyone)) == list(range(len(points)))
    assert np.all(np.diff(sums[seeds(everyone)]) >= -1e-3)


@given(POINTS, st.integers(1, 9))
def test_no_swap_of_one_brings_the_others_nearer(points, k):
    apart = distances(points)
    chosen = seeds(typical(samples_at(points), k))
    assert len(set(chosen)) == len(chosen) == min(k, len(points))

    def cost(medoids):
        return apart[medoids].min(axis=0).sum()

    for i, other in itertools.product(range(len(chosen)), range(len(points))):
        assert cost(chosen) <= cost([*chosen[:i], other, *chosen[i + 1 :]]) + 1e-3


def test_one_of_each_group_and_the_largest_group_first():
    groups = [(-30, 0), (-31, 1), (-30, 2), (-30.3, 0.8), (40, 0), (41, 1), (40.5, 0.4), (0, 90)]
    assert seeds(typical(samples_at(groups), 3)) == [3, 6, 7]
    assert seeds(typical(samples_at(groups[:4]), 1)) == [3]


def test_the_palest_is_not_the_most_typical():
    assert seeds(typical(samples_at([(1, 0), (30, 2), (40, -2), (20, 3), (-30, 30)]), 1)) == [3]


def test_a_patch_of_another_colour_counts_by_its_area():
    plain, tinted, patched = samples_at([(20, 0), (20, 10), (20, 0)])
    patched.ab[..., :16] += 24  # a quarter of the picture, so 8.5 in the mean, and 17 as root mean square
    assert seeds(typical([plain, tinted, patched])) == [0, 2, 1]


def test_of_equals_the_first_counts():
    assert seeds(typical(samples_at([(5, 5)] * 4), 2)) == [0, 1]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_exploded_comes_last(k, value):
    samples = samples_at([(-30, 0), (-31, 1), (40, 0), (0, 90), (5, 5), (6, 7)])
    samples[1].ab[0, 3, 4] = samples[4].ab[1, 2, 2] = value
    chosen = seeds(typical(samples, k))
    assert chosen[:4] == [seed for seed in chosen if seed not in (1, 4)]
    assert len(set(chosen)) == k
    for sample in samples:
        sample.ab[:] = value
    assert len(typical(samples, k)) == k


@pytest.mark.parametrize("k", [0, -1])
def test_at_least_one_is_asked_for(k):
    for choose in (typical, likeliest):
        with pytest.raises(ValueError, match="k must be 1 or more"):
            choose(samples_at([(1, 2), (3, 4)]), k)
    assert typical([]) == []
