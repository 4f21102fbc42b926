"""An evaluation: its seeds, its rows, its report, and the calibration beside it."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Gaussian

from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import Calibration, Estimate, evaluate, mean_nll
from cinn_colorize.evaluation.photos import read_square, to_rgb


class StandardNormal(torch.nn.Module):
    """An identity flow with its own scale."""

    def __init__(self, scale):
        super().__init__()
        self.config = SimpleNamespace(chroma_scale=scale)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def condition(self, L):
        assert not self.training
        assert L.shape[1:] == (1, 256, 256)

    def forward(self, x, condition):
        return {64: x}, {64: torch.zeros(len(x))}


def test_seeds_are_those_of_the_place_in_the_list(sources, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    colorizer, steps = Gaussian(), []
    photos = [sources[0], Source(broken), sources[1]]
    report = evaluate(
        colorizer, photos, samples=4, temperatures=[0.5], progress=lambda *step: steps.append(step)
    )
    assert colorizer.asked == [(4, 0.5, 0), (4, 0.5, 8)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert report.photos == 2
    assert [str(broken) in failure for failure in report.failures] == [True]
    assert {"best_of_1", "best_of_4", "best_of_4_image"} <= set(report.model[0].measures)
    assert not {"best_of_8", "best_of_8_image"} & set(report.model[0].measures)
    with pytest.raises(DataError, match=r"broken\.jpg"):
        evaluate(colorizer, [Source(broken)])


def test_each_temperature_is_measured_as_if_alone(sources):
    temperatures = [0.5, {64: 0.25}, 1.0]
    together = evaluate(Gaussian(), sources[:2], temperatures=temperatures)
    assert [row.temperature for row in together.model] == temperatures
    for temperature, row in zip(temperatures, together.model, strict=True):
        alone = evaluate(Gaussian(), sources[:2], temperatures=[temperature])
        assert alone.model == (row,)
        assert (alone.gray, alone.truth) == (together.gray, together.truth)
    objects = json.loads(together.to_json())
    assert [found["temperature"] for found in objects] == [0.5, {"64": 0.25}, 1]
    labels = [line.split("|")[1].strip() for line in together.to_markdown().splitlines()[2:7]]
    assert labels == ["T = 0.5", "T = 0.25", "T = 1", "gray", "truth"]
    with pytest.raises(ValueError, match="temperature"):
        evaluate(Gaussian(), sources[:2], temperatures=[])


class Red:
    """A measure: how red pictures are."""

    name = "red"

    def of(self, pictures, photo, source):
        assert (pictures.shape[1:], photo.rgb.shape) == ((3, 256, 256), (3, 256, 256))
        return pictures[:, 0].mean(axis=(1, 2))

    def estimate(self, found):
        return Estimate(float(np.concatenate(found).mean()), len(found))


def test_further_measures_see_all_samples_of_every_row(sources):
    report = evaluate(Gaussian(), sources[:2], samples=3, temperatures=[0], measures=[Red()])
    photos = [read_square(source, Reader()) for source in sources[:2]]
    own = np.mean([to_rgb(photo.L, photo.ab)[0].mean() for photo in photos])
    gray = np.mean([to_rgb(photo.L, 0 * photo.ab)[0].mean() for photo in photos])
    assert report.truth["red"] == pytest.approx((own, 2))
    assert report.gray["red"] == report.model[0].measures["red"] == pytest.approx((gray, 2))


def test_calibration_of_a_model_that_knows():
    """Photos and samples come from one distribution: points lie on the diagonal, frequencies agree."""
    rng = np.random.default_rng(5)
    calibration = Calibration(48)  # fewer leave the spread uncertain
    deviations = rng.uniform(2, 20, 60)
    for deviation in deviations:
        center = rng.normal(0, 15, (2, 1, 1))
        colours = (center + deviation * rng.standard_normal((49, 2, 64, 64))).astype(np.float32)
        calibration.add(math.log(deviation), colours[:48], colours[48])
    for size in (64, 4):
        points = calibration.reliability(size)
        likely = points.share > 0.02
        assert points.share.sum() > 0.95
        assert points.found[likely] == pytest.approx(points.expected[likely], rel=0.15)
    truth, samples = calibration.colors(0)
    assert truth.sum() == samples.sum() == pytest.approx(1)
    assert np.abs(np.cumsum(truth) - np.cumsum(samples)).max() < 0.02
    assert np.corrcoef(calibration.error, deviations)[0, 1] > 0.95
    assert np.array_equal(calibration.nll, np.log(deviations))
    with pytest.raises(ValueError, match="2 samples"):
        Calibration(1)


def test_one_sample_has_no_spread(sources):
    report = evaluate(Gaussian(), sources[:2], samples=1)
    assert set(report.model[0].measures) == {"nll", "best_of_1"}
    with pytest.raises(ValueError, match="samples"):
        evaluate(Gaussian(), sources[:2], samples=0)


def test_json_and_table(sources):
    report = evaluate(Gaussian(), sources[::200], temperatures=[0])
    found = json.loads(report.to_json(), parse_constant=pytest.fail)
    names = {"nll", "best_of_8", "best_of_8_image", "best_of_1", "variance", "calibration", "block_share"}
    assert names | {"exploding", "gray", "truth"} <= set(found)
    assert found["calibration"]["mean"] == 0
    assert found["block_share"] == {"mean": None, "se": None}  # nothing varies
    assert (found["photos"], found["samples"], found["temperature"], found["failed"]) == (2, 8, 0, 0)
    assert found["gray"]["best_of_1"]["mean"] == pytest.approx(found["best_of_1"]["mean"])
    assert 0 < found["truth"]["best_of_1"]["mean"] < 0.5 * found["gray"]["best_of_1"]["mean"]

    lines = report.to_markdown().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [row[0] for row in cells] == ["", "---", "model", "gray", "truth"]
    assert {len(row) for row in cells} == {len(cells[0])}
    at = cells[0].index("best_of_1")
    assert cells[3][at].startswith(f"{found['gray']['best_of_1']['mean']:.3f} ± ")


@pytest.mark.parametrize("training", [True, False])
def test_mean_nll_is_the_nll_of_an_evaluation(sources, training):
    chosen = sources[::40]  # more than a batch
    model = StandardNormal(5.0).train(training)
    expected = evaluate(Gaussian(5.0), chosen, samples=1).model[0].measures["nll"].mean
    assert mean_nll(model, chosen) == pytest.approx(expected, rel=1e-6)
    assert model.training == training


def test_the_model_itself_can_be_measured(sources):
    from cinn_colorize.colorizer import Colorizer
    from cinn_colorize.models import MODELS, Loaded
    from cinn_colorize.models.natural import Natural, NaturalConfig

    torch.manual_seed(0)
    model = Natural(NaturalConfig.default()).eval()
    for parameter in model.levels.parameters():  # else the last layers are zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    report = evaluate(Colorizer(Loaded(model, MODELS["natural"], ""), device="cpu"), sources[:2], samples=2)
    assert math.isfinite(report.model[0].measures["nll"].mean)
    assert mean_nll(model, sources[:2]) == pytest.approx(report.model[0].measures["nll"].mean, abs=1e-4)
