"""The network as printed: its laws, the authors' counts, ImageNet's layout, training."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers import longer, stir
from narrow import narrow_vgg
from torch import nn
from typer.testing import CliRunner

from cinn_colorize import Colorizer
from cinn_colorize.cli.app import app
from cinn_colorize.data.sources import FolderPhotos, Source, find_photos
from cinn_colorize.errors import DataError, WeightsError
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.flow.downsampling import HaarDownsampling
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models import MODELS, Loaded, load_model, save_model
from cinn_colorize.models.conditioning.gamut import ColorBins
from cinn_colorize.models.imagenet_vgg import (
    PRESETS,
    BinClassifier,
    ImagenetVgg,
    ImagenetVggConfig,
    VggNetwork,
)
from cinn_colorize.training.datasets import open_task
from cinn_colorize.training.imagenet import (
    GrayToBins,
    ImagenetJointTask,
    ImagenetTask,
    ImagenetTraining,
    JointTraining,
    VggTask,
    VggTraining,
    find_imagenet,
)
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.task import Noise, load_network

CPU = torch.device("cpu")
WIDTHS = narrow_vgg().network


def build(preset="paper"):
    torch.manual_seed(0)
    return stir(ImagenetVgg(narrow_vgg(preset))).eval()


@pytest.fixture(scope="module")
def colorizer():
    model = build().requires_grad_(False)
    return Colorizer(Loaded(model, MODELS["imagenet-vgg"], ""), device="cpu")


def inputs(n, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    L = torch.rand(n, 1, 256, 256, generator=generator, dtype=dtype) * 100
    return L, torch.randn(n, 2, 64, 64, generator=generator, dtype=dtype)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(make):
    with torch.device("meta"):
        return make()


def test_the_preset_of_the_authors_has_the_parameters_of_their_code():
    model = on_meta(lambda: ImagenetVgg(ImagenetVggConfig.authors()))
    assert (
        count(model) - count(model.network) == 54_352_208 + 2_361_472
    )  # INN with heads; fully connected head
    # Their classifier has the 313 bins of Zhang et al., and a layer that brings those to colours.
    classifier = on_meta(lambda: BinClassifier(256, 313))
    to_colours = on_meta(lambda: nn.Conv2d(313, 2, 1))
    assert count(model.network) + count(classifier) + count(to_colours) == 32_236_013
    assert count(model) + count(classifier) + count(to_colours) == 88_949_693  # 88.95 M


def test_the_preset_of_the_paper_has_99_89_million_parameters():
    model = on_meta(lambda: ImagenetVgg(ImagenetVggConfig.paper()))
    assert count(model) == 99_890_416
    assert count(on_meta(lambda: BinClassifier(256, len(ColorBins())))) == 67_077


def test_the_narrow_preset_has_7_77_million_parameters():
    model = on_meta(lambda: ImagenetVgg(ImagenetVggConfig.narrow()))
    assert count(model) == 7_773_760
    assert count(model.network) == pytest.approx(32_154_944 / 16, rel=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_sizes_of_the_latents_are_the_authors(preset):
    shapes = on_meta(lambda: ImagenetVgg(PRESETS[preset]())).latent_shapes
    assert shapes == {16: (16, 16, 16), 8: (32, 8, 8), 4: (96, 4, 4), 0: (512, 1, 1)}
    assert [int(np.prod(shape)) for shape in shapes.values()] == [4096, 2048, 1536, 512]


@pytest.mark.parametrize("preset", ["paper", "narrow"])
@pytest.mark.parametrize("r", [32, 16])
def test_a_split_leaves_the_means_and_a_part_of_the_details_of_every_direction(preset, r):
    config = narrow_vgg(preset)
    model, channels = ImagenetVgg(config), {32: 8, 16: 16}[r]
    stage = model.stages[r].eval()  # whose couplings begin as the identity
    parts = stage.prepare(torch.zeros(1, model.network.channels, 64, 64))
    shares = []
    for band in range(4):  # means, horizontal, vertical and diagonal details
        reduced = torch.zeros(1, 4, channels, r // 2, r // 2)
        reduced[:, band] = torch.randn(reduced[:, band].shape, generator=torch.Generator().manual_seed(0))
        x, _ = HaarDownsampling().inverse(reduced.flatten(1, 2))
        with torch.no_grad():
            z, _ = stage(x, parts)
        energy = z.square().sum(dim=(0, 2, 3))
        shares.append(float(energy[: config.stages[r].keep].sum() / energy.sum()))
    assert shares[0] == pytest.approx(1)
    assert min(shares[1:]) > 0.2
    assert max(shares[1:]) < 0.5


def test_features_are_256_maps_of_64_px_and_see_far():
    assert on_meta(lambda: VggNetwork()(torch.empty(1, 1, 256, 256))).shape == (1, 256, 64, 64)
    torch.manual_seed(0)
    network = VggNetwork((8, 8, 8, 8)).eval()
    L = torch.rand(1, 1, 256, 256, requires_grad=True)
    network(L)[0, :, 32, 32].sum().backward()
    seen = L.grad[0, 0].abs().sum(1).nonzero()
    assert seen.max() - seen.min() > 200


@pytest.mark.parametrize("preset", ["paper", "authors"])
def test_gradients_are_the_same_when_memory_is_saved(preset):
    model, (L, x) = build(preset).double().train(), inputs(2, torch.float64)

    def gradients(save_memory):
        for module in model.modules():
            if isinstance(module, Sequence):
                module.save_memory = save_memory
        latents, log_dets = model(x, model.condition(L))
        loss = sum(z.square().sum() for z in latents.values()) - sum(log_dets.values()).sum()
        return torch.autograd.grad(loss, list(model.parameters()))

    for expected, found in zip(gradients(False), gradients(True), strict=True):
        # A bias before a batch norm has none.
        assert (found - expected).norm() < 1e-8 * expected.norm() + 1e-10


def test_the_conditioning_network_keeps_the_statistics_of_its_pretraining():
    model = build().train()
    assert model.stages[64].heads.training
    assert not any(module.training for module in model.network.modules())


def test_weights_of_another_reduction_do_not_fit(tmp_path):
    model, path = build(), tmp_path / "imagenet-vgg.safetensors"
    stages = {r: replace(stage, reduction="sum") for r, stage in model.config.stages.items()}
    model.config = replace(model.config, stages=stages)
    save_model(path, model, {})
    with pytest.raises(WeightsError, match="does not fit"):
        load_model("imagenet-vgg", path)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Photos in ImageNet's layout: train/CLASS/*.JPEG, val/*.JPEG."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    names = [f"train/n0144076{i % 2}/n0144076{i % 2}_{i}.JPEG" for i in range(8)]
    names += [f"val/ILSVRC2012_val_{i:08}.JPEG" for i in range(3)]
    for name in names:
        gray = cv2.resize(rng.uniform(0, 255, (4, 5)), (160, 128), interpolation=cv2.INTER_LINEAR)
        image = gray[..., None] * [0.3, 0.6, 1.0]  # all are orange, blue first
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    (root / "train" / "n01440760" / "._n01440760_0.JPEG").write_bytes(b"of a Mac")
    return root


def test_imagenet_is_read_as_it_is_laid_out(imagenet, tmp_path):
    photos, dev = find_imagenet(imagenet)
    assert (len(photos), len(dev)) == (8, 3)
    assert photos[0] == Source(imagenet / "train/n01440760/n01440760_0.JPEG")
    assert list(photos) == find_photos(imagenet / "train")
    assert photos[-2:] == [photos[6], photos[7]]
    assert len(find_imagenet(imagenet / "train")[0]) == 8
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no photos"):
        find_imagenet(tmp_path)


def test_names_that_are_no_text_are_kept(tmp_path):
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    (tmp_path / name).write_bytes(b"")
    assert FolderPhotos(tmp_path)[0] == find_photos(tmp_path)[0]


CONFIG = {"photos": 32, "batch": 4, "warmup": 4, "learning_rate": 2e-3}


@pytest.mark.ci
def test_the_conditioning_network_learns_colour_bins_and_resumes_exactly(imagenet, tmp_path):
    task = VggTask(*find_imagenet(imagenet))
    config = VggTraining(photos=40, batch=4, learning_rate=0.1, prior_photos=4)

    def run(name, config, **options):
        torch.manual_seed(0)
        options = RunOptions(CPU, workers=0, **options)
        return train(GrayToBins(WIDTHS), task, config, tmp_path / name, options)

    reports = []
    run("learns", config, report=reports.append, report_seconds=0)
    losses = [report.figures["loss"] for report in reports]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.5
    config = replace(config, photos=12)
    whole = run("whole", config)
    steps = iter([True, True])
    run("parts", config, stop=lambda: next(steps))
    resumed = run("parts", config, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    figures = task.measure(whole)
    assert 0 < figures["bins"] < 50
    assert 0 < figures["error"] < 100
    task.save(whole, tmp_path / "vgg.safetensors", {})
    network = VggNetwork(WIDTHS)
    load_network(network, tmp_path / "vgg.safetensors", VggTask.model)
    assert torch.equal(network.layers[0].weight, whole.network.layers[0].weight)


def test_the_loss_of_colour_bins_is_a_mean_in_which_rare_colours_count_more():
    """By two photos of one colour each, which lies nearest to a bin, but not at its centre."""
    torch.manual_seed(0)
    task, model = VggTask([]), GrayToBins(WIDTHS).eval()
    task.rarity = torch.linspace(0.2, 3, len(task.bins))
    L, chosen = inputs(2)[0], [40, 200]
    ab = (task.bins.centres[chosen] + torch.tensor([2.0, -1.0]))[:, :, None, None].expand(-1, -1, 64, 64)
    with torch.no_grad():
        loss = task.losses(model, (L, ab), VggTraining(), Noise(torch.Generator()), torch.float32)["loss"]
        entropy = task.bins.cross_entropy(model(L), ab).mean((1, 2))
    torch.testing.assert_close(loss, (task.rarity[chosen] * entropy).mean())


@pytest.mark.parametrize("stage", [*longer("flow"), "joint"])
def test_the_flow_learns(imagenet, tmp_path, stage):
    photos, dev = find_imagenet(imagenet)
    joint = stage == "joint"
    task = (ImagenetJointTask if joint else ImagenetTask)(photos, dev)
    config, reports = (JointTraining if joint else ImagenetTraining)(**CONFIG), []
    model = build()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    statistics = {name for name, _ in model.network.named_buffers()}
    options = RunOptions(CPU, workers=0, report=reports.append, report_seconds=0)
    whole = train(model, task, config, tmp_path / "w", options)
    losses = [report.figures["nll"] for report in reports]
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.1
    kept = {name for name, tensor in whole.network.state_dict().items() if torch.equal(tensor, before[name])}
    assert kept == (statistics if joint else set(before))
    if joint:
        return
    steps = iter([False, True, True])
    train(build(), task, config, tmp_path / "p", replace(options, stop=lambda: next(steps)))
    resumed = train(build(), task, config, tmp_path / "p", replace(options, resume=True))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert task.measure(whole) == pytest.approx({"nll": mean_nll(whole, dev)})
    assert task.draw(whole, CPU, tmp_path / "sheet.jpg")
    assert cv2.imread(str(tmp_path / "sheet.jpg")) is not None
    other = build("authors")
    with pytest.raises(DataError, match="another architecture"):
        train(other, task, config, tmp_path / "p", replace(options, resume=True))


def test_a_new_model_begins_with_a_pretrained_network(imagenet, tmp_path, monkeypatch):
    config = narrow_vgg("authors")
    monkeypatch.setitem(PRESETS, "authors", lambda: config)
    task = VggTask(*find_imagenet(imagenet))
    pretrained = GrayToBins(WIDTHS)
    task.save(pretrained, tmp_path / "vgg.safetensors", {})
    task = open_task("imagenet", [imagenet], "flow", tmp_path / "vgg.safetensors", "authors")
    begun = task.initial_model()
    assert begun.config == config
    assert torch.equal(begun.network.layers[0].weight, pretrained.network.layers[0].weight)
    with pytest.raises(DataError, match="--backbone"):
        open_task("imagenet", [imagenet], "joint").initial_model()
    save_model(tmp_path / "other.safetensors", begun, {})
    with pytest.raises(WeightsError, match="--stage features"):
        open_task("imagenet", [imagenet], "flow", tmp_path / "other.safetensors", "authors").initial_model()
    with pytest.raises(WeightsError, match="does not fit"):
        load_network(VggNetwork((2, 2, 2, 2)), tmp_path / "vgg.safetensors", VggTask.model)


def test_tasks_of_imagenet(imagenet):
    assert isinstance(open_task("imagenet", [imagenet], "features"), VggTask)
    assert isinstance(open_task("imagenet", [imagenet], "joint"), ImagenetJointTask)
    two = open_task("imagenet", [imagenet, imagenet])
    assert (two.distinct, len(two.dev), two.preset) == (16, 6, "paper")
    network = on_meta(open_task("imagenet", [imagenet], "features", preset="narrow").initial_model).network
    assert network.channels == 64
    with pytest.raises(DataError, match="--backbone"):
        open_task("imagenet", [imagenet], "features", imagenet / "vgg.safetensors")
    with pytest.raises(DataError, match="--preset"):
        open_task("photos", [imagenet / "val"], preset="paper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("colorize {photo} --model imagenet-vgg", "--weights"),
        ("train --dataset imagenet --data {root}", "--backbone"),
        (
            "train --dataset imagenet --data {root} --backbone missing.safetensors",
            "missing.safetensors: no such",
        ),
        ("train --dataset imagenet --data {root} --start a.safetensors --preset paper", "--preset"),
        ("train --dataset imagenet --data {root}/missing", "missing: does not exist"),
        ("train --dataset lsun --data {root} --preset paper", "--preset"),
    ],
)
def test_bad_input_gets_one_line(imagenet, examples, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "paper", lambda: narrow_vgg("authors"))
    words = [word.format(photo=examples / "camera.png", root=imagenet) for word in arguments.split()]
    result = CliRunner().invoke(app, [*words, "--device", "cpu", "-q"])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert message in line
    assert not list(tmp_path.rglob("*.*"))
