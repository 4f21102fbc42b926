"""What holds for every model."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from helpers import stir
from narrow import NARROW_BEDROOMS, NARROW_NATURAL, SMALL_MNIST, narrow_vgg
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import WeightsError
from cinn_colorize.models import MODELS, load_model, model_class, save_model
from cinn_colorize.models.architecture import read
from cinn_colorize.models.bedrooms import BedroomsConfig
from cinn_colorize.models.imagenet_vgg import PRESETS
from cinn_colorize.models.mnist import MnistConfig
from cinn_colorize.models.natural_config import NaturalConfig
from cinn_colorize.training.task import SHEET_SAMPLES, photo_sheet

OF_PHOTOS = {
    "natural": ("natural", NARROW_NATURAL),
    "bedrooms": ("bedrooms", NARROW_BEDROOMS),
    "imagenet-vgg, paper": ("imagenet-vgg", narrow_vgg("paper")),
    "imagenet-vgg, authors": ("imagenet-vgg", narrow_vgg("authors")),
}
ALL = {**OF_PHOTOS, "mnist": ("mnist", SMALL_MNIST)}
LEARNING = {
    **OF_PHOTOS,
    "natural, as trained": ("natural", NaturalConfig.default()),
}
ORDERS = {
    "natural": (NaturalConfig.default(), [32, 16]),
    "bedrooms": (BedroomsConfig.default(), [64, 32, 16, 0]),
    "mnist": (MnistConfig(), []),
    **{f"imagenet-vgg, {preset}": (make(), [64, 32, 16, 8, 0]) for preset, make in PRESETS.items()},
}
learning = pytest.mark.parametrize(("name", "config"), LEARNING.values(), ids=LEARNING)
every = pytest.mark.parametrize(("name", "config"), ALL.values(), ids=ALL)


def build(name, config):
    torch.manual_seed(0)
    return stir(model_class(name)(config)).eval()


@pytest.fixture(scope="module", params=OF_PHOTOS)
def colorizer(request, tmp_path_factory):
    name, config = OF_PHOTOS[request.param]
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    save_model(path, build(name, config), {})
    return Colorizer(name, weights=path, device="cpu", guidance=0.0)


@learning
def test_every_trained_parameter_gets_a_gradient(name, config):
    if coarse := getattr(config, "coarse", None):
        config = replace(config, coarse=replace(coarse, condition_dropout=0.5))  # some hidden, some seen
    n = 1 if name == "imagenet-vgg" else 4  # of its size, a small GPU holds one
    model = build(name, config).train()
    if name == "natural":
        model.backbone.requires_grad_(False)
    generator, size = torch.Generator().manual_seed(1), MODELS[name].luminance_size
    L = 100 * torch.rand(n, 1, size, size, generator=generator)
    latents, log_dets = model(torch.randn(n, 2, 64, 64, generator=generator), model.condition(L))
    (sum(z.square().sum() for z in latents.values()) - sum(log_dets.values()).sum()).backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize(("config", "order"), ORDERS.values(), ids=ORDERS)
def test_config_survives_json(config, order):
    kind = type(config)
    again = read(kind, json.loads(json.dumps(asdict(config), sort_keys=True)))
    assert again == config
    assert list(getattr(again, "levels", getattr(again, "stages", ()))) == order
    with pytest.raises(TypeError):
        read(kind, asdict(config) | {"unknown": 1})


@every
def test_it_is_made_where_torch_makes_tensors(name, config):
    with torch.device("meta"):
        model = model_class(name)(config)
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}


@every
def test_saved_and_loaded(name, config, tmp_path):
    model, path = build(name, config), tmp_path / "saved.safetensors"
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.randn(buffer.shape))
    save_model(path, model, {})
    loaded = load_model(name, path).model
    assert loaded.config == config
    for each in ("levels", "stages"):
        assert list(getattr(loaded.config, each, ())) == list(getattr(config, each, ()))
    for tensor_name, tensor in model.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(loaded.state_dict()[tensor_name], expected), tensor_name
    other = "natural" if name != "natural" else "bedrooms"
    with pytest.raises(WeightsError, match=f"'{name}', not of '{other}'"):
        load_model(other, path)


@every
def test_torch_is_as_it_was_and_so_is_what_is_loaded(name, config, tmp_path):
    """Whatever its defaults are, for types, devices and random numbers."""
    save_model(tmp_path / "saved.safetensors", build(name, config), {})
    load = lambda: load_model(name, tmp_path / "saved.safetensors").model  # noqa: E731
    expected, random, usual = load(), torch.get_rng_state(), torch.get_default_dtype()
    loaded = []
    try:
        for dtype in (torch.bfloat16, torch.float64):
            torch.set_default_dtype(dtype)
            loaded.append(load())
            assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(usual)
    with torch.device("meta"):
        loaded.append(load())
    assert torch.equal(torch.get_rng_state(), random)
    for model in loaded:
        for made, as_usual in zip(
            (*model.parameters(), *model.buffers()),
            (*expected.parameters(), *expected.buffers()),
            strict=True,
        ):
            assert (made.device, made.dtype) == (as_usual.device, as_usual.dtype)
            assert torch.equal(made, as_usual)


def test_it_colours_photos(colorizer, examples):
    conditioned = colorizer.condition(examples / "camera.png")
    samples = conditioned.sample(3, seed=4)
    assert samples[0].ab.shape == (2, 64, 64)
    assert np.array_equal(conditioned.sample(1, seed=5)[0].ab, samples[1].ab)
    assert np.array_equal(*(conditioned.sample(1, temperature=0, seed=s)[0].ab for s in (1, 2)))
    assert np.abs(conditioned.decode(conditioned.encode(samples[0].ab)) - samples[0].ab).max() < 1e-2
    assert conditioned.log_prob(samples[0].ab) == pytest.approx(samples[0].log_prob, rel=1e-3)
    (colorization,) = colorizer.colorize(examples / "camera.png", upsampling="bicubic")
    assert colorization.rgb.shape == (512, 512, 3)


def test_a_model_in_train_mode_colours_as_ever_and_stays_in_it(colorizer, examples):
    photo, model = examples / "camera.png", colorizer.network.model
    expected = colorizer.condition(photo).sample(seed=1)[0]
    model.train()
    modes = [module.training for module in model.modules()]
    try:
        conditioned = colorizer.condition(photo)
        sample = conditioned.sample(seed=1)[0]
        assert [module.training for module in model.modules()] == modes
        assert conditioned.log_prob(sample.ab) == conditioned.log_prob(sample.ab)
    finally:
        model.eval()
    assert np.array_equal(sample.ab, expected.ab)
    assert sample.log_prob == expected.log_prob


def test_long_photos_are_coloured_in_windows(colorizer):
    photo = np.random.default_rng(0).integers(0, 256, (64, 200), dtype=np.uint8)
    (sample,) = colorizer.condition(photo).sample()
    assert sample.ab.shape[1] == 64
    assert sample.ab.shape[2] > 128


def test_its_runs_show_samples(colorizer, examples, tmp_path):
    model, sheet = colorizer.network.model, tmp_path / "samples.jpg"
    photo_sheet(model, find_photos(examples, None)[:2], torch.device("cpu"), sheet)
    assert Image.open(sheet).width > 2 * (1 + SHEET_SAMPLES) * 256  # two photos a row, with their samples
