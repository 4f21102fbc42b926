"""Measures must follow from their definitions, whatever the model."""

import itertools
import math
import zipfile

import cv2
import numpy as np
import pytest
from helpers import Gaussian, longer
from scipy.linalg import sqrtm
from skimage.color import lab2rgb, rgb2lab

from cinn_colorize.evaluation import evaluate
from cinn_colorize.evaluation.metrics import (
    Term,
    color_statistics,
    difference,
    estimate,
    exploding,
    limited,
    mean_estimate,
)

SHARES = [f"{hue}_{chroma}" for hue in ("red", "green", "blue") for chroma in (20, 40)]

# The definitions once more, by hand, in double precision.


def cubic_weights(size, enlarged):
    """The matrix of a bicubic resampling with a = -0.75 and edges repeated."""
    weights = np.zeros((enlarged, size))
    for i in range(enlarged):
        at = (i + 0.5) * size / enlarged - 0.5
        for tap in range(math.floor(at) - 1, math.floor(at) + 3):
            t, a = abs(at - tap), -0.75
            w = (a + 2) * t**3 - (a + 3) * t**2 + 1 if t <= 1 else a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            weights[i, min(max(tap, 0), size - 1)] += w
    return weights


def picture(L, ab):
    W = cubic_weights(64, 256)
    return np.clip(lab2rgb(np.stack([L, *(W @ plane @ W.T for plane in ab)], axis=-1)), 0, 1)


def means(values, size):
    block = values.shape[-1] // size
    rows = values.reshape(*values.shape[:-1], size, block).mean(-1)
    return rows.reshape(*rows.shape[:-2], size, block, size).mean(-2)


def read(source):
    """L (256, 256), ab (2, 64, 64) and RGB (256, 256, 3) of the centre of a photo."""
    data = np.frombuffer(zipfile.ZipFile(source.path).read(source.entry), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    height, width = image.shape[:2]
    scale = 256 / min(height, width)
    image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    y, x = (image.shape[0] - 256) // 2, (image.shape[1] - 256) // 2
    image = image[y : y + 256, x : x + 256]
    lab = rgb2lab(image)
    return lab[..., 0], means(np.moveaxis(lab[..., 1:], -1, 0), 64), image / 255


def hue(ab):
    return np.degrees(np.arctan2(ab[1], ab[0]))


def by_hand(samples, L, ab, true):
    """Numerators and denominators of all measures of samples of a photo, but for its nll."""
    pictures = np.stack([picture(L, sample) for sample in samples])
    squared = (pictures - true) ** 2
    found = {
        "best_of_1": (100 * math.sqrt(squared[0].mean()), 1),
        "best_of_8": (100 * math.sqrt(squared.min(0).mean()), 1),
        "best_of_8_image": (100 * math.sqrt(min(e.mean() for e in squared)), 1),
        "variance": (1e4 * pictures.var(0).mean(), 1),
    }
    limited = np.clip(samples, -110, 110)

    def spread_and_error(part):
        return 9 / 8 * part(limited).var(0, ddof=1).mean(), (part(limited.mean(0) - ab) ** 2).mean()

    found["calibration"] = spread_and_error(lambda x: x)
    found["calibration_4x4"] = spread_and_error(lambda x: means(x, 4))
    found["calibration_photo"] = spread_and_error(lambda x: means(x, 1))
    for size, coarser in ((4, 1), (8, 4), (16, 8), (64, 16)):
        found[f"band_{size}x{size}"] = spread_and_error(
            lambda x, s=size, c=coarser: means(x, s) - np.kron(means(x, c), np.ones((s // c, s // c)))
        )
    found["block_share"] = (means(limited, 8).var(0, ddof=1).mean(), limited.var(0, ddof=1).mean())

    around = [sample - sample.mean((1, 2))[:, None, None] for sample in limited]
    own, center = ab - ab.mean((1, 2))[:, None, None], np.mean(around, 0)
    rmse = [math.sqrt(((sample - own) ** 2).mean()) for sample in around]
    error = ((center - own) ** 2).mean()
    found["objects"] = (min(rmse), math.sqrt(error))
    found["structure"] = ((own**2).mean() - error, (own**2).mean())
    cosines = [
        np.vdot(sample - center, own - center)
        / np.linalg.norm(sample - center)
        / np.linalg.norm(own - center)
        for sample in around
        if np.abs(sample - center).max() > 1e-6
    ]
    found["alignment"] = (max(cosines, default=0), 1)

    vivid = np.hypot(*ab) > 20
    right = [
        (np.abs((hue(sample) - hue(ab) + 180) % 360 - 180) <= 30) & (np.hypot(*sample) > 10) & vivid
        for sample in limited
    ]
    found["hue_1"] = (right[0].sum(), vivid.sum())
    found["hue_8"] = (max(places.sum() for places in right), vivid.sum())
    found["chroma"] = (np.mean([np.hypot(*sample).mean() for sample in limited]), np.hypot(*ab).mean())
    for name, angle in (("red", 0), ("green", 180), ("blue", 270)):
        for chroma in (20, 40):
            found[f"{name}_{chroma}"] = [
                np.mean([
                    (np.abs((hue(colors) - angle + 180) % 360 - 180) < 45) & (np.hypot(*colors) > chroma)
                    for colors in drawn
                ])
                for drawn in (limited, [ab])
            ]  # fmt: skip
    found["energy"] = (energy(limited, ab), 1)
    found["energy_4x4"] = (energy([means(sample, 4) for sample in around], means(own, 4)), 1)
    return found


def energy(samples, truth):
    """The energy score with all pairs of different samples, distances as root mean squares."""
    apart = [math.sqrt(np.mean((x - y) ** 2)) for x, y in itertools.permutations(samples, 2)]
    return np.mean([math.sqrt(np.mean((x - truth) ** 2)) for x in samples]) - np.mean(apart) / 2


def over_photos(photos):
    sums = {name: np.sum([photo[name] for photo in photos], axis=0) for name in photos[0]}
    return {name: value / weight if weight else math.nan for name, (value, weight) in sums.items()}


def values(row):
    return {name: measure.mean for name, measure in row.measures.items()}


class Around(Gaussian):
    """Samples scatter around the colours that have the seed 1000: by pixel, and as a whole."""

    def ab(self, seed, temperature=1.0):
        tint = temperature * np.random.default_rng(seed).normal(0, (12, 5)).astype(np.float32)
        blocks = np.kron(super().ab(1000)[:, ::8, ::8], np.ones((8, 8), np.float32))
        return blocks + tint[:, None, None] + super().ab(seed, temperature)


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_measures_are_those_computed_by_hand(sources):
    chosen = [sources[k] for k in (3, 150, 333)]
    colorizer = Gaussian(40)  # wide enough for colours beyond any gamut, |ab| > 110 and |ab| > 128
    report = evaluate(colorizer, chosen, samples=8)

    rows = {"model": [], "gray": [], "truth": []}
    exploding = 0
    for i, source in enumerate(chosen):
        L, ab, true = read(source)
        samples = np.stack([colorizer.ab(8 * i + k) for k in range(8)]).astype(np.float64)
        noisy = ab + 15 * 0.05 * np.random.default_rng(i).standard_normal(ab.shape, np.float32)
        nll = {"nll": (-colorizer.log_prob(noisy) / 8192, 1)}
        rows["model"].append(nll | by_hand(samples, L, ab, true))
        exploding += sum(np.abs(sample).max() > 128 for sample in samples)
        # What does not need several different pictures.
        alone = ("best_of_1", "best_of_8", "best_of_8_image", "structure", "hue_1", "hue_8", "chroma")
        alone += ("energy", "energy_4x4", *SHARES)
        for row, colors in (("gray", 0 * ab), ("truth", ab)):
            found = by_hand(np.stack([colors] * 8), L, ab, true) if row == "gray" else None
            if row == "truth":
                rmse = 100 * math.sqrt(((picture(L, colors) - true) ** 2).mean())
                found = dict.fromkeys(alone, (1, 1)) | dict.fromkeys(alone[:3], (rmse, 1))
                found |= {"energy": (0, 1), "energy_4x4": (0, 1)}
                found |= {name: (0, 0) for name in SHARES if not rows["model"][-1][name][1]}
            rows[row].append({name: found[name] for name in alone})
    assert values(report.model[0]) == pytest.approx(
        over_photos(rows["model"]), rel=1e-6, abs=1e-6, nan_ok=True
    )
    for row in ("gray", "truth"):
        expected = over_photos(rows[row])
        assert values(report.references[row]) == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True), row
    assert report.model[0].exploding == exploding > 0


@pytest.mark.ci
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_tints_and_saturations_are_those_drawn_by_hand(sources):
    chosen = [sources[k] for k in (3, 150, 333)]
    colorizer = Around(15)
    report = evaluate(colorizer, chosen, samples=8)
    like, vivid, isotropic = [], [], {sigma: [] for sigma in range(0, 33, 4)}
    for i, source in enumerate(chosen):
        photo = read(source)
        normal = np.random.default_rng((i, 8)).standard_normal((8, 2))
        means_of_samples = [colorizer.ab(8 * i + k).mean((1, 2)) for k in range(8)]
        root = sqrtm(np.cov(np.transpose(means_of_samples)))
        center = colorizer.ab(0, 0.0).astype(np.float64)

        def samples(tints, center=center):
            return np.stack([center + tint[:, None, None] for tint in tints])

        like.append(by_hand(samples([root @ z for z in normal]), *photo))
        vivid.append(by_hand(np.stack([k / 4 * center for k in range(1, 9)]), *photo))
        for sigma, found in isotropic.items():
            found.append(by_hand(samples(sigma * normal), *photo))
    expected = over_photos(like)
    tint, best = report.references["tint"], report.references["tint*"]
    assert values(tint) == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
    assert tint.measures["objects"] == pytest.approx((1, 0), abs=1e-12)
    assert tint.measures["alignment"] == (0, 0)
    saturations, expected = values(report.references["saturations"]), over_photos(vivid)
    assert saturations["objects"] < 1
    assert saturations == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)

    found = {sigma: over_photos(photos) for sigma, photos in isotropic.items()}
    lowest = {"best_of_1": 0, "best_of_8": 0, "best_of_8_image": 0}
    lowest |= {"energy": 0}
    lowest |= {"calibration": 1, "calibration_4x4": 1, "calibration_photo": 1, "chroma": 1}
    wanted = lowest | {"hue_1": 1, "hue_8": 1} | dict.fromkeys(SHARES, 1)
    sigmas = {name: min(found, key=lambda s, n=name: abs(found[s][n] - wanted[n])) for name in wanted}
    assert best.sigmas == sigmas
    assert len(set(sigmas.values())) > 2
    assert values(best) == pytest.approx(
        {n: found[s][n] for n, s in sigmas.items()}, rel=1e-4, abs=1e-6, nan_ok=True
    )


def offsets(rng, deviation, n=1, size=64):
    """Tints of blocks, (n, 2, 64, 64)."""
    return np.kron(rng.normal(0, deviation, (n, 2, size, size)), np.ones((64 // size,) * 2))


def spread_measures(deviation_of_samples, photos=400, samples=8):
    """Measures of samples around their photo's mean, around which the photo's ab scatter with 10."""
    rng = np.random.default_rng(1)
    statistics = []
    for _ in range(photos):
        center, scatter = offsets(rng, 15, size=1), lambda n, d: offsets(rng, d, n, 1) + offsets(rng, d, n)
        drawn = center + scatter(samples, deviation_of_samples)
        statistics.append(color_statistics(drawn, (center + scatter(1, 10))[0]))
    return estimate(statistics)


@pytest.mark.parametrize("samples", [2, *longer(8)])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_calibration_is_the_ratio_of_variances(ratio, samples):
    measures = spread_measures(10 * ratio, samples=samples)
    # Pixels scatter around the photo's mean, so that every band has its part.
    for name in ("calibration", "calibration_4x4", "calibration_photo", "band_4x4", "band_8x8", "band_64x64"):
        # The error of the mean of n samples has their variance over n in it.
        expected = (1 + 1 / samples) * ratio**2 / (1 + ratio**2 / samples)
        assert abs(measures[name].mean - expected) < 3.5 * measures[name].se < 0.4 * expected, name


@pytest.mark.parametrize(("tint", "noise", "share"), [(0, 10, 1 / 64), (10, 0, 1), (10, 10, 65 / 128)])
def test_block_share_tells_speckle_from_tints(tint, noise, share):
    rng = np.random.default_rng(2)
    statistics = [
        color_statistics(offsets(rng, tint, 8, size=8) + offsets(rng, noise, 8), np.zeros((2, 64, 64)))
        for _ in range(50)
    ]
    assert estimate(statistics)["block_share"].mean == pytest.approx(share, rel=0.05)


def test_the_energy_score_is_lowest_for_the_distribution_of_the_photos():
    """Of samples that differ too little, just as much, or too much; and around a wrong centre."""
    rng, scores = np.random.default_rng(4), {}
    truths = [offsets(rng, 10, size=8)[0] for _ in range(300)]
    for deviation, shift in ((0, 0), (5, 0), (10, 0), (20, 0), (10, 5)):
        drawn = [shift + offsets(rng, deviation, 8, size=8) for _ in truths]
        drawn = [sample + shift * np.tri(64) for sample in drawn]  # which no mean takes away
        scores[deviation, shift] = [color_statistics(*both) for both in zip(drawn, truths, strict=True)]
    own = scores.pop((10, 0))
    for name in ("energy", "energy_4x4"):
        for worse in scores.values():
            more = difference(worse, own)[name]
            assert more.mean > 4 * more.se, name
    # The expected distance of two draws less half of it.
    found = estimate(own)["energy"]
    half = np.mean([math.sqrt(np.mean((x - y) ** 2)) for x, y in itertools.pairwise(truths)]) / 2
    assert found.mean == pytest.approx(half, rel=0.02)


def test_a_tint_moves_no_energy_within_the_photo():
    rng = np.random.default_rng(5)
    samples, truth = offsets(rng, 10, 8, size=8), offsets(rng, 10, size=8)[0]
    tinted = color_statistics(samples + rng.normal(0, 20, (8, 2, 1, 1)), truth)
    plain = color_statistics(samples, truth)
    assert tinted["energy_4x4"] == pytest.approx(plain["energy_4x4"])
    assert tinted["energy"].value > plain["energy"].value


@pytest.mark.parametrize("value", [129, -1e6, math.nan])
def test_one_pixel_makes_a_sample_explode(value):
    samples = np.full((4, 2, 64, 64), 127.0, np.float32)
    assert exploding(samples) == 0
    samples[2, 1, 5, 6] = value
    assert exploding(samples) == 1


def test_a_sample_without_a_number_leaves_no_measure_but_the_hues():
    samples = np.random.default_rng(7).normal(0, 20, (4, 2, 64, 64))
    samples[2, 1, 5, 6] = math.nan
    for name, term in color_statistics(samples, scattered(np.random.default_rng(8))).items():
        assert not math.isfinite(term.value) or name.startswith(("hue", "red", "green", "blue")), name


def scattered(rng, n=64):
    return np.kron(rng.normal(0, 20, (2, 8, 8)), np.ones((8, 8)))


def test_samples_that_know_objects_are_told_from_tints():
    rng = np.random.default_rng(6)
    truth, other = scattered(rng), scattered(rng)
    tint = rng.normal(0, 20, (8, 2, 1, 1))
    knows = color_statistics(limited(tint + np.stack([truth, *[other] * 7])), truth)
    assert knows["objects"].value == pytest.approx(0, abs=1e-9)
    assert knows["alignment"].value == pytest.approx(1)
    guesses = color_statistics(limited(tint + np.stack([scattered(rng) for _ in range(8)])), truth)
    assert guesses["objects"].value > guesses["objects"].weight
    assert 0 < guesses["alignment"].value < 0.6
    gray = color_statistics(np.zeros((8, 2, 64, 64)), truth)
    assert (gray["objects"].value, gray["alignment"].value) == (gray["objects"].weight, 0)
    assert gray["structure"].value == pytest.approx(0)


@pytest.mark.parametrize(("angle", "chroma", "right"), [(29, 40, 1), (31, 40, 0), (-29, 11, 1), (0, 9, 0)])
def test_a_hue_is_right_within_30_degrees_if_there_is_any(angle, chroma, right):
    at = np.radians([170, 170 + angle])
    truth, sample = (np.outer([np.cos(a), np.sin(a)], np.ones(4096)).reshape(2, 64, 64) for a in at)
    truth[:, 32:] *= 19.9  # does not count
    truth[:, :32] *= 20.1
    opposite = -chroma * sample
    found = color_statistics(np.stack([opposite, chroma * sample]), truth)
    assert found["hue_1"] == (0, 0.5)
    assert found["hue_2"] == (right / 2, 0.5)


def test_standard_errors_come_from_photos():
    values = np.random.default_rng(3).exponential(2.0, 500)
    photos = [{"nll": Term(v), "calibration": Term(3 * v, v)} for v in values]
    measures = estimate(photos)
    assert measures["nll"].se == pytest.approx(values.std() / math.sqrt(500), rel=0.1)
    # Numerator and denominator come from the same resampled photos: here their ratio never changes.
    assert measures["calibration"] == pytest.approx((3.0, 0.0))
    assert estimate(photos) == measures
    assert math.isnan(estimate(photos[:1])["nll"].se)
    assert estimate([]) == {}
    assert all(map(math.isnan, mean_estimate(np.empty(0))))


def test_differences_have_the_errors_of_pairs():
    rng = np.random.default_rng(4)
    values, weights, gains = rng.exponential(2.0, 500), rng.exponential(1.0, 500), rng.normal(0.1, 0.5, 500)
    before = [{"a": Term(v), "b": Term(v, w)} for v, w in zip(values, weights, strict=True)]
    after = [
        {"a": Term(v + g), "b": Term(v + 2 * w, w), "c": Term(1)}
        for v, w, g in zip(values, weights, gains, strict=True)
    ]
    found = difference(after, before)
    assert found.keys() == {"a", "b"}
    assert found["a"].mean == pytest.approx(gains.mean())
    assert found["a"].se == pytest.approx(gains.std() / math.sqrt(500), rel=0.1)
    assert found["b"] == pytest.approx((2, 0))  # a ratio, larger by 2 in any resample
