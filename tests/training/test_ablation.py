"""Ablations: models train without a part, are stored, load and sample."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers import process, stir
from narrow import NARROW_BEDROOMS

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.flow.coupling import AffineCoupling, soft_clamp
from cinn_colorize.flow.downsampling import Squeeze, haar
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation
from cinn_colorize.methods.digits import Digits
from cinn_colorize.models import MODELS, Loaded, load_model, save_model
from cinn_colorize.models.bedrooms import Bedrooms, BedroomsConfig
from cinn_colorize.models.conditioning.pyramid import LuminancePyramid
from cinn_colorize.models.mnist import Mnist, MnistConfig
from cinn_colorize.models.natural import Natural
from cinn_colorize.models.natural_config import NaturalConfig
from cinn_colorize.training.bedrooms import BedroomsTask
from cinn_colorize.training.choices import Ablation
from cinn_colorize.training.datasets import open_task
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.state import load_newest, save_checkpoint
from cinn_colorize.training.task import without

CPU = torch.device("cpu")
OPTIONS = RunOptions(CPU, workers=0)


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(BedroomsConfig, "default", lambda: NARROW_BEDROOMS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(4):
        image = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (256, 256))
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return folder


def bedrooms(ablate):
    return Bedrooms(without(NARROW_BEDROOMS, [ablate]))


def test_each_takes_away_what_it_says():
    def kinds(model, *sought):
        return [module for module in model.modules() if isinstance(module, sought)]

    assert {c.clamp for c in kinds(bedrooms("clamp"), AffineCoupling)} == {math.inf}
    assert not kinds(bedrooms("mixing"), OrthogonalMixing, Permutation)
    assert isinstance(bedrooms("haar").stages.reduce, Squeeze)
    assert isinstance(bedrooms("conditioning").network, LuminancePyramid)
    assert not kinds(Mnist(without(MnistConfig(), ["mixing"])), Permutation)
    s = torch.linspace(-50, 50, 11)
    assert torch.equal(soft_clamp(s, math.inf), s)


@pytest.mark.parametrize("ablate", ["clamp", "mixing"])
def test_mnist_without_a_part_is_stored_and_samples(ablate, tmp_path):
    config = without(MnistConfig(blocks=3, hidden=(8,)), [ablate])
    model = Mnist(config)
    save_model(tmp_path / "mnist.safetensors", model, {})
    assert load_model("mnist", tmp_path / "mnist.safetensors").model.config == config
    digits = Digits("mnist", weights=tmp_path / "mnist.safetensors", device="cpu")
    assert digits.sample(1).shape[:2] == (1, 10)


def test_the_pyramid_of_luminance_holds_all_of_it():
    L = torch.randn(2, 1, 64, 64)
    pyramid = LuminancePyramid()(L)
    shapes = {r: tuple(p.shape[1:]) for r, p in pyramid.items() if r}
    assert shapes == {r: (c, r, r) for r, c in LuminancePyramid.CHANNELS.items() if r}
    assert pyramid[0].shape == (2, LuminancePyramid.CHANNELS[0])
    assert torch.allclose(pyramid[1][:, 0, 0, 0], L.mean((1, 2, 3)), atol=1e-6)
    assert torch.allclose(pyramid[32][:, 1:], haar(L)[1])


def test_natural_without_conditioning_network(tmp_path, examples):
    torch.manual_seed(0)
    model = stir(Natural(without(NaturalConfig.default(), ["conditioning"])))
    assert not any(name.startswith(("backbone", "pyramid")) for name in model.state_dict())
    path = tmp_path / "natural.safetensors"
    save_model(path, model, {})
    colorizer = Colorizer("natural", weights=path, device="cpu")
    conditioned = colorizer.condition(examples / "camera.png")
    (sample,) = conditioned.sample(1)
    assert np.abs(conditioned.decode(conditioned.encode(sample.ab)) - sample.ab).max() < 1e-2


@pytest.mark.parametrize("ablate", [(), *((name,) for name in Ablation)], ids=lambda names: "".join(names))
def test_bedrooms_train_without_a_part(ablate, photos, narrow, tmp_path):
    task = BedroomsTask(find_photos(photos, pattern=None))
    task.ablate = ablate
    config = task.settings(photos=8, batch=2, warmup=2)
    assert (config.pixel_noise + config.coarse_noise == 0) == ("noise" in ablate)
    torch.manual_seed(0)
    model = task.initial_model()
    couplings = [module for module in model.modules() if isinstance(module, AffineCoupling)]
    starts_as_identity = not any(list(c.subnet2.parameters())[-2].any() for c in couplings)
    assert starts_as_identity == ("initialisation" not in ablate)
    before = {name: tensor.clone() for name, tensor in model.network.named_parameters()}
    result = train(model, task, config, tmp_path, OPTIONS)
    same = [torch.equal(tensor, before[name]) for name, tensor in model.network.named_parameters()]
    assert any(not each for each in same) == (not {"learning", "conditioning"} & {*ablate})
    if ablate in (("haar",), ("learning",)):
        Colorizer(Loaded(result, MODELS["bedrooms"], ""), device="cpu").condition(
            NetworkInput(np.full((64, 64), 50, np.float32))
        ).sample()


@pytest.mark.ci
def test_natural_trains_without_conditioning_network(photos, tmp_path):
    task = NaturalTask(find_photos(photos, pattern=None))
    task.ablate = ("conditioning",)
    model = task.initial_model()
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    train(model, task, task.settings(photos=8, batch=4), tmp_path, OPTIONS)
    learnt = [name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])]
    assert "levels.8.read.weight" in learnt


def test_a_run_cannot_be_resumed_without_what_it_had(photos, narrow, tmp_path):
    task = BedroomsTask(find_photos(photos, pattern=None))
    train(task.initial_model(), task, task.settings(photos=4, batch=4), tmp_path, OPTIONS)
    task.ablate = ("noise",)
    with pytest.raises(
        DataError, match=r"has pixel_noise 0\.05, not 0\.0; ablate \(\), not \('noise',\); coarse_noise"
    ):
        train(
            task.initial_model(),
            task,
            task.settings(photos=4, batch=4),
            tmp_path,
            replace(OPTIONS, resume=True),
        )


def test_a_run_without_a_part_is_resumed(photos, narrow, tmp_path):
    task = open_task("lsun", [photos], ablate=[Ablation.clamp])  # as the command line gives it
    config = task.settings(photos=8, batch=4)
    train(task.initial_model(), task, config, tmp_path, replace(OPTIONS, stop=lambda: True))
    train(task.initial_model(), task, config, tmp_path, replace(OPTIONS, resume=True))
    assert load_newest(tmp_path)["seen"] == 8


def test_a_checkpoint_from_before_there_were_ablations_is_resumed(photos, narrow, tmp_path):
    task = BedroomsTask(find_photos(photos, pattern=None))
    config = task.settings(photos=8, batch=4)
    train(task.initial_model(), task, config, tmp_path, replace(OPTIONS, stop=lambda: True))
    state = load_newest(tmp_path)
    assert state["seen"] == 4
    del state["config"]["ablate"]
    save_checkpoint(tmp_path, state)
    train(task.initial_model(), task, config, tmp_path, replace(OPTIONS, resume=True))
    assert load_newest(tmp_path)["seen"] == 8


def test_a_run_that_explodes_can_still_be_measured(photos, narrow):
    model = BedroomsTask(()).initial_model()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, AffineCoupling):
                module.clamp = math.inf
        stir(model).stages[64].flow.maps[1].subnet1.last.bias.fill_(1e6)
    assert not math.isfinite(mean_nll(model, find_photos(photos, pattern=None)))


def test_only_what_a_model_has_can_be_left_out(photos, tmp_path):
    task = open_task("lsun", [photos], ablate=["clamp", "noise", "noise"])
    assert task.ablate == task.settings().ablate == ("clamp", "noise")
    assert MnistTask.ablations == ("noise", "clamp", "mixing", "initialisation")
    with pytest.raises(DataError, match="does not apply to natural, where nothing"):
        open_task("photos", [photos], "joint", ablate=["conditioning"])
    with pytest.raises(DataError, match="does not apply to imagenet-vgg, where nothing"):
        open_task("imagenet", [photos], ablate=["clamp"])
    with pytest.raises(DataError, match="has no backbone"):
        open_task("photos", [photos], "flow", tmp_path / "backbone.safetensors", ablate=["conditioning"])


@pytest.mark.ci
def test_on_the_command_line(photos, tmp_path):
    result = process(tmp_path, "train", "--data", photos, "--ablate", "haar")
    assert result.returncode == 1
    message = "cinn-colorize: --ablate haar: does not apply to natural, where conditioning can be left out"
    assert result.stderr.splitlines()[-1] == message
