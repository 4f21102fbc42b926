"""Measures must follow from their definitions, whatever the model."""

import json
import math
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from helpers import SHARED
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from typer.testing import CliRunner

from cinn_colorize.data.sources import Reader, Source, find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import Calibration, Estimate, evaluate, mean_nll
from cinn_colorize.evaluation.metrics import color_statistics, estimate, picture_statistics
from cinn_colorize.evaluation.photos import read_square, to_rgb, to_square

DEV = SHARED / "photos-dev.zip"


@pytest.fixture(scope="module")
def sources():
    if not DEV.exists():
        pytest.skip(f"{DEV} is not here")
    return find_photos(DEV)


class Gaussian:
    """A colorizer: ab is white noise of a known deviation around zero, and seeds are kept."""

    def __init__(self, deviation=20.0):
        self.deviation, self.asked = deviation, []

    def condition(self, photo):
        assert photo.square.shape == (256, 256)
        assert photo.square.dtype == np.float32
        return self

    def sample(self, n=1, temperature=0.8, seed=0):
        self.asked.append((n, temperature, seed))
        return [SimpleNamespace(ab=self.ab(k, temperature)) for k in range(seed, seed + n)]

    def ab(self, seed, temperature=1.0):
        noise = np.random.default_rng(seed).standard_normal((2, 64, 64), np.float32)
        temperature = temperature if isinstance(temperature, int | float) else max(temperature.values())
        return np.float32(temperature * self.deviation) * noise

    def log_prob(self, ab):
        x, s = np.asarray(ab, np.float64) / 15, self.deviation / 15
        return float((-0.5 * (x / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)).sum())


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


def write(path, image):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), image)
    return Source(path)


def test_squares_are_the_centre_at_256_px(tmp_path):
    image = np.zeros((1024, 2048, 3), np.uint8)
    image[::4, 512:1536] = 200  # lines of one pixel, in the centre alone
    read = lambda source: cv2.imread(str(source.path))  # noqa: E731
    square = read_square(write(tmp_path / "wide.png", image), read)
    assert square.rgb.shape == (3, 256, 256)
    assert np.abs(square.rgb - 50 / 255).max() < 1e-6  # the lines' mean, and nothing of the sides
    small = read_square(write(tmp_path / "small.png", image[:150, 600:700]), read)
    assert (small.rgb.shape, small.L.shape, small.ab.shape) == ((3, 256, 256), (256, 256), (2, 64, 64))
    with pytest.raises(DataError, match=r"strip\.png.*too narrow"):
        read_square(write(tmp_path / "strip.png", image[:1]), read)


def test_ab_is_an_area_mean():
    image = np.random.default_rng(4).integers(0, 256, (256, 256, 3), np.uint8)
    lab = rgb2lab(image)
    square = to_square(image)
    assert np.allclose(square.ab[:, 10, 20], lab[40:44, 80:84, 1:].mean((0, 1)), atol=1e-5)
    assert np.allclose(square.L, lab[..., 0], atol=1e-5)


def test_photos_come_in_the_order_of_their_names_from_folders_and_zips(tmp_path):
    names = ["a-b/1.png", "a/2.png", "a/1.JPG", "B.webp"]
    folder, archive = tmp_path / "folder", tmp_path / "photos-train-0.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in [*names, "a/._1.JPG", "notes.txt", "a.png/"]:
            file.writestr(name, "")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if name.endswith("/") else path.write_bytes(b"")
    assert [photo.entry for photo in find_photos(archive)] == sorted(names)
    assert [photo.path.relative_to(folder).as_posix() for photo in find_photos(folder)] == sorted(names)
    # A folder with zips of training photos is for training, not for measuring.
    assert len(find_photos(tmp_path)) == len(names)
    assert {photo.entry for photo in find_photos(tmp_path, pattern=None)} == {None}


@pytest.fixture
def run(monkeypatch):
    from cinn_colorize import colorizer
    from cinn_colorize.cli.app import app

    monkeypatch.setattr(colorizer, "Colorizer", lambda *_, **__: Gaussian())
    return lambda *args: CliRunner().invoke(app, ["evaluate", *map(str, args)])


def test_command_prints_json_and_names_what_it_cannot_read(sources, tmp_path, run):
    with zipfile.ZipFile(DEV) as archive:
        for i in range(3):
            (tmp_path / f"{i}.webp").write_bytes(archive.read(sources[i].entry))
    good = run(tmp_path, "--json", "--limit", 2)
    assert (good.exit_code, good.stderr) == (0, "")
    assert json.loads(good.stdout)["photos"] == 2
    assert run(tmp_path).stdout.startswith("|  | nll |")

    whole = (tmp_path / "1.webp").read_bytes()
    (tmp_path / "1.webp").write_bytes(whole[: len(whole) // 2])
    bad = run(tmp_path, "--json")
    assert bad.exit_code == 1
    assert [("1.webp" in line) for line in bad.stderr.splitlines()] == [True]
    found = json.loads(bad.stdout)
    assert (found["photos"], found["failed"]) == (2, 1)


@pytest.mark.parametrize("content", ["missing", "empty", "no zip"])
def test_command_without_photos_fails_in_one_line(tmp_path, run, content):
    path = tmp_path / "photos"
    if content == "empty":
        path.mkdir()
    elif content == "no zip":
        path.write_text("text")
    result = run(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert str(path) in result.stderr


def test_command_has_a_row_for_each_temperature_and_draws_one(sources, tmp_path, run):
    photos, plot = tmp_path / "photos", tmp_path / "plots" / "calibration.png"
    photos.mkdir()
    with zipfile.ZipFile(DEV) as archive:
        for i in range(4):
            (photos / f"{i}.webp").write_bytes(archive.read(sources[i].entry))
    several = run(photos, "--every", 2, "-t", 0.5, "-t", "0.8,32:0.5", "--json")
    found = json.loads(several.stdout)
    assert [len(found), found[0]["photos"]] == [2, 2]
    assert found[0]["temperature"] == 0.5
    assert found[1]["temperature"] == {
        r: 0.5 if r == "32" else 0.8 for r in ("32", "16", "8", "4", "2", "1", "0")
    }
    assert run(photos, "--limit", 2, "--plot", plot).exit_code == 0
    with Image.open(plot) as image:
        assert image.width > 2 * image.height > 500
    before = plot.read_bytes()
    refused = run(photos, "--limit", 2, "--plot", plot)
    assert (refused.exit_code, plot.read_bytes()) == (1, before)
    assert "exists; add --overwrite" in refused.stderr


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--metrics", "kid_lite0"], "kid_lite0 requires --reference"),
        (["--metrics", "top5_vgg16"], "top5_vgg16 requires --labels"),
        (["--metrics", "lpips"], "'lpips' is not one of"),
        (["--reference", "x.zip"], "requires --metrics kid_lite0 or fid"),
        (["--labels", "x.tsv", "--metrics", "st_lpips"], "requires --metrics top5_lite0 or top5_vgg16"),
        (["--plot", "a.png", "-t", "1", "-t", "0.8"], "one temperature"),
        (["--plot", "a.txt"], "must end in"),
        (["--plot", "a.png", "--samples", "1"], "two samples"),
        (["-t", "0.5,0.8"], "more than one number for all levels"),
        (["-t", "3:0.5"], "no level 3"),
    ],
)
def test_command_refuses_options_that_do_not_fit(tmp_path, run, options, problem):
    result = run(tmp_path, *options)
    assert result.exit_code == 2
    assert problem in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "option",
    [
        ("--samples", 0),
        ("--every", 0),
        ("--reference-limit", 1),
        ("--temperature", -1),
        ("--temperature", "nan"),
        ("--limit", 0),
        ("--device", "x"),
    ],
)
def test_command_refuses_values_out_of_range(tmp_path, run, option):
    assert run(tmp_path, *option).exit_code == 2


def test_command_is_quick_to_import():
    heavy = "{'torch', 'cv2', 'numpy', 'skimage'} & set(sys.modules)"
    code = f"import sys, cinn_colorize.cli.evaluate; print({heavy})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
