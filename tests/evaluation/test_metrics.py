"""Measures must follow from their definitions, whatever the model."""

import math
import zipfile

import cv2
import numpy as np
import pytest
from helpers import Gaussian
from skimage.color import lab2rgb, rgb2lab

from cinn_colorize.evaluation import evaluate
from cinn_colorize.evaluation.metrics import color_statistics, estimate, picture_statistics

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


@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB")
def test_measures_are_those_computed_by_hand(sources):
    chosen = [sources[k] for k in (3, 150, 333)]
    colorizer = Gaussian(40)  # wide enough for colours beyond any gamut, |ab| > 110 and |ab| > 128
    report = evaluate(colorizer, chosen, samples=8)

    rows = {"model": [], "gray": [], "truth": []}
    exploding = 0
    spread, error = {s: [] for s in (64, 8, 4, 1)}, {s: [] for s in (64, 4, 1)}
    for i, source in enumerate(chosen):
        data = np.frombuffer(zipfile.ZipFile(source.path).read(source.entry), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        height, width = image.shape[:2]
        scale = 256 / min(height, width)
        image = cv2.resize(
            image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR
        )
        y, x = (image.shape[0] - 256) // 2, (image.shape[1] - 256) // 2
        image = image[y : y + 256, x : x + 256]
        lab = rgb2lab(image)
        L, ab, true = lab[..., 0], means(np.moveaxis(lab[..., 1:], -1, 0), 64), image / 255

        samples = np.stack([colorizer.ab(8 * i + k) for k in range(8)]).astype(np.float64)
        pictures = np.stack([picture(L, sample) for sample in samples])
        noisy = ab + 15 * 0.05 * np.random.default_rng(i).standard_normal(ab.shape, np.float32)
        squared = (pictures - true) ** 2
        rows["model"].append(
            {
                "nll": -colorizer.log_prob(noisy) / 8192,
                "best_of_8": 100 * math.sqrt(squared.min(0).mean()),
                "best_of_8_image": 100 * math.sqrt(min(e.mean() for e in squared)),
                "best_of_1": 100 * math.sqrt(squared[0].mean()),
                "variance": 1e4 * pictures.var(0).mean(),
            }
        )
        exploding += sum(np.abs(sample).max() > 128 for sample in samples)
        limited = np.clip(samples, -110, 110)
        for size, values in spread.items():
            values.append(means(limited, size).var(0, ddof=1).mean())
        for size, values in error.items():
            values.append(((means(limited, size).mean(0) - means(ab, size)) ** 2).mean())
        for row, colors in (("gray", 0 * ab), ("truth", ab)):
            rmse = 100 * math.sqrt(((picture(L, colors) - true) ** 2).mean())
            rows[row].append({"best_of_1": rmse, "best_of_8": rmse, "best_of_8_image": rmse})

    expected = {
        row: {name: np.mean([photo[name] for photo in photos]) for name in photos[0]}
        for row, photos in rows.items()
    }
    for name, size in (("calibration", 64), ("calibration_4x4", 4), ("calibration_photo", 1)):
        expected["model"][name] = 9 / 8 * np.mean(spread[size]) / np.mean(error[size])
    expected["model"]["block_share"] = np.mean(spread[8]) / np.mean(spread[64])
    for row, measures in expected.items():
        found = report.model[0].measures if row == "model" else getattr(report, row)
        found = {name: measure.mean for name, measure in found.items()}
        assert found == pytest.approx(measures, rel=1e-6, abs=1e-6), row
    assert report.model[0].exploding == exploding > 0


def offsets(rng, deviation, n=1, size=64):
    """Tints of blocks, (n, 2, 64, 64)."""
    return np.kron(rng.normal(0, deviation, (n, 2, size, size)), np.ones((64 // size,) * 2))


def spread_measures(deviation_of_samples, photos=400, samples=8):
    """Statistics of samples around their photo's mean, around which the photo's ab scatter with 10."""
    rng = np.random.default_rng(1)
    statistics = []
    for _ in range(photos):
        center, scatter = offsets(rng, 15, size=1), lambda n, d: offsets(rng, d, n, 1) + offsets(rng, d, n)
        drawn = center + scatter(samples, deviation_of_samples)
        statistics.append({"nll": 0.0} | color_statistics(drawn, (center + scatter(1, 10))[0]))
    rgb = np.zeros((samples, 3, 2, 2), np.float32)
    return estimate([s | picture_statistics(rgb, rgb[0]) for s in statistics], samples)


@pytest.mark.parametrize("samples", [2, 8])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_calibration_is_the_ratio_of_variances(ratio, samples):
    measures = spread_measures(10 * ratio, samples=samples)
    for name in ("calibration", "calibration_4x4", "calibration_photo"):
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
    means = {name: np.mean([s[name] for s in statistics]) for name in statistics[0]}
    assert means["spread_8"] / means["spread_64"] == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize("value", [129, -1e6, math.nan])
def test_one_pixel_makes_a_sample_explode(value):
    samples = np.full((4, 2, 64, 64), 127.0, np.float32)
    truth = np.zeros((2, 64, 64), np.float32)
    assert color_statistics(samples, truth)["exploding"] == 0
    samples[2, 1, 5, 6] = value
    assert color_statistics(samples, truth)["exploding"] == 1


def test_standard_errors_come_from_photos():
    values = np.random.default_rng(3).exponential(2.0, 500)
    photos = [
        {"nll": v, "best_of_2": 0.0, "best_of_2_image": 0.0, "best_of_1": 0.0, "variance": 0.0}
        | {f"spread_{size}": 2 * v for size in (64, 8, 4, 1)}
        | {f"error_{size}": v for size in (64, 4, 1)}
        for v in values
    ]
    measures = estimate(photos, 2)
    assert measures["nll"].se == pytest.approx(values.std() / math.sqrt(500), rel=0.1)
    # Numerator and denominator come from the same resampled photos: here their ratio never changes.
    assert measures["calibration"] == pytest.approx((3.0, 0.0))
    assert estimate(photos, 2) == measures
    assert math.isnan(estimate(photos[:1], 2)["nll"].se)
