"""An evaluation: its seeds, its rows, its report, and the calibration beside it."""

import json
import math
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Gaussian
from narrow import NARROW_NATURAL
from PIL import Image
from skimage.color import lab2rgb

from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.engines.interface import NetworkInput
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import (
    Calibration,
    DrawnBy,
    Estimate,
    evaluate,
    mean_nll,
    read_earlier,
    read_subsets,
)
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


def test_gray_photos_are_not_measured(sources, tmp_path):
    gray = tmp_path / "gray.jpg"
    Image.fromarray(Reader()(sources[0])).convert("L").convert("RGB").save(gray)
    report = evaluate(Gaussian(), [Source(gray), sources[1]], samples=2)
    assert report.photos == 1
    assert report.failures == (f"{gray}: a gray photo, whose colours nobody knows",)


def test_seeds_are_those_of_the_place_in_the_list(sources, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    colorizer, steps = Gaussian(), []
    photos = [sources[0], Source(broken), sources[1]]
    report = evaluate(
        colorizer, photos, samples=4, temperatures=[0.5], progress=lambda *step: steps.append(step)
    )
    # The colours under the tints are those at temperature 0.
    assert colorizer.asked == [(4, 0.5, 0), (1, 0, 0), (4, 0.5, 8), (1, 0, 8)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert report.photos == 2
    assert [str(broken) in failure for failure in report.failures] == [True]
    assert {"best_of_1", "best_of_4", "best_of_4_image"} <= set(report.model[0].measures)
    assert not {"best_of_8", "best_of_8_image"} & set(report.model[0].measures)
    with pytest.raises(DataError, match=r"broken\.jpg"):
        evaluate(colorizer, [Source(broken)])


@pytest.mark.ci
def test_each_temperature_is_measured_as_if_alone(sources):
    temperatures = [0.5, {64: 0.25}, 1.0]
    together = evaluate(Gaussian(), sources[:2], temperatures=temperatures)
    assert [row.temperature for row in together.model] == temperatures
    for temperature, row in zip(temperatures, together.model, strict=True):
        alone = evaluate(Gaussian(), sources[:2], temperatures=[temperature])
        assert repr(alone.model) == repr((row,))  # with nan, of hues that these photos lack
        for row in ("gray", "truth"):
            assert repr(alone.references[row]) == repr(together.references[row])
    # Tints are like the first temperature's samples.
    first = evaluate(Gaussian(), sources[:2], temperatures=temperatures[:1])
    assert repr(first.references) == repr(together.references)
    objects = json.loads(together.to_json())
    assert [found["temperature"] for found in objects] == [0.5, {"64": 0.25}, 1]
    labels = [line.split("|")[1].strip() for line in together.to_markdown().splitlines()[2:10]]
    assert labels == ["T = 0.5", "T = 0.25", "T = 1", "tint", "tint*", "saturations", "gray", "truth"]
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
    rows = {"model": report.model[0], **report.references}
    found = {name: row.measures["red"] for name, row in rows.items() if "red" in row.measures}
    assert found.keys() == {"model", "gray", "truth"}  # tints need no network
    assert found["truth"] == pytest.approx((own, 2))
    for row in ("gray", "model"):
        assert found[row] == pytest.approx((gray, 2))


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
    shares = {f"{hue}_{chroma}" for hue in ("red", "green", "blue") for chroma in (20, 40)}
    assert set(report.model[0].measures) == {"nll", "best_of_1", "structure", "hue_1", "chroma"} | shares
    assert set(report.references) == {"gray", "truth"}
    assert all("best_of_1_image" not in row.measures for row in report.references.values())
    with pytest.raises(ValueError, match="samples"):
        evaluate(Gaussian(), sources[:2], samples=0)


def tables_of(markdown):
    """The cells of each table."""
    parts = [part for part in markdown.split("\n\n") if part.startswith("|")]
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
        for part in parts
    ]


def test_json_and_table(sources):
    report = evaluate(Gaussian(), sources[::200], temperatures=[0])
    found = json.loads(report.to_json(), parse_constant=pytest.fail)
    names = {"nll", "best_of_8", "best_of_8_image", "best_of_1", "variance", "calibration", "block_share"}
    names |= {"objects", "alignment", "structure", "hue_1", "hue_8", "chroma", "band_4x4", "band_64x64"}
    names |= {"energy", "energy_4x4", "red_20", "green_40", "blue_20"}
    assert names | {"exploding", "tint", "tint*", "saturations", "gray", "truth"} <= set(found)
    assert found["calibration"]["mean"] == 0
    assert found["block_share"] == {"mean": None, "se": None}  # nothing varies
    assert (found["photos"], found["samples"], found["temperature"], found["failed"]) == (2, 8, 0, 0)
    assert found["gray"]["best_of_1"]["mean"] == pytest.approx(found["best_of_1"]["mean"])
    assert 0 < found["truth"]["best_of_1"]["mean"] < 0.5 * found["gray"]["best_of_1"]["mean"]

    assert found["tint*"]["hue_8"].keys() == {"mean", "se", "sigma"}

    tables = tables_of(report.to_markdown())
    assert [[row[0] for row in cells] for cells in tables] == [
        ["", "---", "model", "tint", "tint*", "saturations", "gray", "truth"],
        ["", "---", "model", "tint", "tint*", "saturations"],  # one picture has no calibration
        ["", "---", "model", "tint", "tint*", "saturations", "gray", "truth"],
        ["", "---", "model", "tint", "tint*", "saturations", "gray", "truth"],
    ]
    columns = [name for cells in tables for name in cells[0][1:]]
    assert set(columns) == names | {"exploding", *report.model[0].measures}
    assert len(columns) == len(set(columns))
    for cells in tables:
        assert {len(row) for row in cells} == {len(cells[0])}
    at = tables[0][0].index("best_of_1")
    assert tables[0][6][at].startswith(f"{found['gray']['best_of_1']['mean']:.3f} ± ")
    assert tables[0][4][at].endswith(f" ({found['tint*']['best_of_1']['sigma']:g})")


def test_without_a_spread_the_best_guess_has_no_tint(tmp_path):
    """Of a photo whose colours are gray on average; which tint fits another one by chance is no law."""
    light = np.where(np.indices((256, 256)).sum(0) // 32 % 2, 1, -1) * np.array([10, 5])[:, None, None]
    path = tmp_path / "board.png"
    board = np.stack([np.full((256, 256), 60.0), *light], axis=-1)
    Image.fromarray((255 * lab2rgb(board)).round().astype(np.uint8)).save(path)
    tables = tables_of(evaluate(Gaussian(), [Source(path)], temperatures=[0]).to_markdown())
    assert tables[0][4][tables[0][0].index("best_of_1")].endswith("(0)")


def test_every_measure_follows_from_its_values_by_photo(sources):
    report = evaluate(Gaussian(), sources[::100], samples=3, root=sources[0].path)
    found = json.loads(report.to_json())
    per_photo = found["per_photo"]
    assert per_photo["names"] == [source.entry for source in sources[::100]]
    for row in ("model", "tint", "tint*", "saturations", "gray", "truth"):
        measures = found if row == "model" else found[row]
        assert "best_of_3" in per_photo[row]
        for name, photos in per_photo[row].items():
            weights = np.sum(photos.get("weights", np.ones(4)))
            mean = pytest.approx(np.sum(photos["values"]) / weights, rel=1e-5) if weights else None
            assert measures[name]["mean"] == mean, name


@pytest.mark.ci
def test_differences_are_paired(sources, tmp_path):
    path = tmp_path / "before.json"
    before = evaluate(Gaussian(), sources[:50:10], temperatures=[0.5, 1])
    path.write_text(before.to_json())
    after = evaluate(Gaussian(25), sources[:40:10], temperatures=[0.5])
    earlier = read_earlier(path, after.names, 8)
    differences = json.loads(after.to_json(earlier))["differences"]
    assert [d["to"] for d in differences] == ["T = 0.5", "T = 1", "tint", "tint*", "saturations", "gray"]
    assert {d["photos"] for d in differences} == {4}
    for row, found in zip(before.model, differences, strict=False):
        pairs = zip(after.model[0].photos, row.photos, strict=False)
        changes = np.array([ours["best_of_8"].value - theirs["best_of_8"].value for ours, theirs in pairs])
        assert found["best_of_8"]["mean"] == pytest.approx(changes.mean(), rel=1e-4)
        assert found["best_of_8"]["se"] == pytest.approx(changes.std() / 2, rel=0.15)
        assert found["best_of_8"]["se"] < 0.7 * after.model[0].measures["best_of_8"].se
    same = read_earlier(path, before.names, 8)
    tables = tables_of(before.to_markdown(same))
    rows = [found["to"] for found in differences]
    labels = [f"{t} - earlier {row}" for t in ("T = 0.5", "T = 1") for row in rows]
    assert [row[0] for row in tables[4]] == ["", "---", *labels]
    assert set(tables[4][2][1:]) == {"0.000 ± 0.000"}
    assert "on 5 photos" in before.to_markdown(same)
    # All that were in both may turn out to be gray.
    others = evaluate(Gaussian(25), sources[1:20:10], temperatures=[0.5])
    assert "on 0 photos" in others.to_markdown(same)
    assert {d["photos"] for d in json.loads(others.to_json(same))["differences"]} == {0}


@pytest.mark.ci
def test_photos_by_what_they_show(sources, tmp_path):
    table = tmp_path / "shows.tsv"
    entries = [source.entry for source in sources[:40:10]]
    shows = ("people", "", "sky, people", "sky")
    lines = [f"{entry}\tx\t{words}" for entry, words in zip(entries, shows, strict=True)]
    table.write_text("\n".join(["entry\tother\tshows", *lines, "elsewhere.png\tx\tfood"]) + "\n")
    report = evaluate(Gaussian(), sources[:40:10], root=sources[0].path)
    subsets = read_subsets(table, report.names)
    assert subsets == {"people": {entries[0], entries[2]}, "sky": {entries[2], entries[3]}}
    found = json.loads(report.to_json(subsets=subsets))["subsets"]
    assert {word: of["photos"] for word, of in found.items()} == {"people": 2, "sky": 2}
    for row, measured in ((report.model[0], found["sky"]), (report.references["tint"], found["sky"]["tint"])):
        terms = [row.photos[i]["objects"] for i in (2, 3)]
        expected = sum(t.value for t in terms) / sum(t.weight for t in terms)
        assert measured["objects"]["mean"] == pytest.approx(expected, rel=1e-6)
    rows = [row[0] for row in tables_of(report.to_markdown(subsets=subsets))[-1]]
    assert rows[2:] == [f"{word} (2), {row}" for word in ("people", "sky") for row in ("model", "tint")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("entry\tclass\na.png\t1\n", "requires the columns entry and shows, words"),
        ("entry\tshows\na.png\n", "requires the columns entry and shows, words"),
        ("entry\tshows\nb.png\tsky\n", r"names none of the 1 photos, such as a\.png"),
        ("entry\tshows\nb.png\tsky\na.png\t\n", "has a word for none of the 1 photos"),
    ],
)
def test_subsets_that_cannot_be_used(tmp_path, content, problem):
    table = tmp_path / "shows.tsv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(DataError, match=rf"shows\.tsv.*{problem}"):
        read_subsets(table, ["a.png"])


def test_both_networks_of_a_comparison_are_named(sources, tmp_path):
    networks = [DrawnBy("natural", digit * 64, guidance) for digit, guidance in (("a", 0.0), ("b", 0.3))]
    path = tmp_path / "before.json"
    reports = [evaluate(Gaussian(), sources[:1], network=network) for network in networks]
    path.write_text(reports[0].to_json())
    assert json.loads(path.read_text())["network"] == asdict(networks[0])
    text = reports[1].to_markdown(read_earlier(path, reports[1].names, 8))
    assert "temperature 1, drawn by natural, weights bbbbbbbb, guidance 0.3; " in text
    assert "Differences to before.json, drawn by natural, weights aaaaaaaa, photo by photo" in text.replace(
        str(tmp_path) + "/", ""
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: None, "cannot be read"),
        (lambda text: "{", "make it with evaluate --json"),
        (lambda text: "[]", "make it with evaluate --json"),
        (lambda text: text.replace("per_photo", "photo"), "make it with evaluate --json"),
        (lambda text: text.replace('"values": [', '"values": [1, '), "make it with evaluate --json"),
        (lambda text: text.replace('"samples": 8', '"samples": 4'), "made with --samples 4; choose the same"),
        (lambda text: text.replace('"names": ["', '"names": ["x'), "has none of the 1 photos, such as"),
    ],
)
def test_what_cannot_be_compared_with(sources, tmp_path, change, problem):
    path = tmp_path / "before.json"
    report = evaluate(Gaussian(), sources[:1])
    if (text := change(report.to_json())) is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=rf"before\.json: .*{problem}"):
        read_earlier(path, report.names, 8)


@pytest.mark.parametrize("training", [True, False])
def test_mean_nll_is_the_nll_of_an_evaluation(sources, training):
    chosen = sources[::40]  # more than a batch
    model = StandardNormal(5.0).train(training)
    expected = evaluate(Gaussian(5.0), chosen, samples=1).model[0].measures["nll"].mean
    assert mean_nll(model, chosen) == pytest.approx(expected, rel=1e-6)
    assert model.training == training


def test_photos_that_cannot_be_read_are_left_out_of_a_mean_and_named(sources, tmp_path, caplog):
    damaged, gray = tmp_path / "damaged.png", tmp_path / "gray.png"
    damaged.write_bytes(b"damaged")
    Image.new("L", (300, 300), 99).save(gray)
    chosen = list(sources[::40])
    model = StandardNormal(5.0)
    expected = mean_nll(model, chosen)
    assert mean_nll(model, [*chosen, Source(damaged), Source(gray)]) == expected
    assert all(f"left out: {path}" in caplog.text for path in (damaged, gray))
    with pytest.raises(DataError, match=r"damaged\.png"):
        mean_nll(model, [Source(damaged)])


@pytest.mark.parametrize("scale", [15.0, 10.0])
def test_the_model_itself_can_be_measured(sources, scale):
    from cinn_colorize.colorizer import Colorizer
    from cinn_colorize.models import Loaded
    from cinn_colorize.models.natural import Natural

    torch.manual_seed(0)
    model = Natural(replace(NARROW_NATURAL, chroma_scale=scale)).eval()
    for parameter in model.levels.parameters():  # else the last layers are zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    colorizer = Colorizer(Loaded.of(model), device="cpu", guidance=0.0)
    report = evaluate(colorizer, sources[:2], samples=2)
    measures = report.model[0].measures
    assert all(math.isfinite(measures[name].mean) for name in measures if not name.endswith(("_20", "_40")))
    assert mean_nll(model, sources[:2]) == pytest.approx(report.model[0].measures["nll"].mean, abs=1e-4)
    conditioned = colorizer.condition(NetworkInput(read_square(sources[0], Reader()).L))
    (sample,) = conditioned.sample(1, 0.5)
    assert sample.log_prob_per_dimension == pytest.approx(conditioned.log_prob(sample.ab) / 8192, abs=1e-4)
