"""Training: data by position, the objective, and runs that resume exactly."""

import math
import sys
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import pyvips
import torch
from helpers import GRAY, longer, write_blobs
from narrow import NARROW_NATURAL
from PIL import Image, ImageCms

from cinn_colorize.data.sources import LmdbPhotos, Reader, Source, find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.models.conditioning.backbone import DEEP, Pretrained
from cinn_colorize.models.natural import Natural
from cinn_colorize.training.crops import Crops, Loading, batches, random_crop, squeezed, to_network
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.natural import (
    JointTask,
    JointTraining,
    NaturalTask,
    NaturalTraining,
    features_in_chunks,
)
from cinn_colorize.training.state import load_newest, save_checkpoint
from cinn_colorize.training.task import (
    Noise,
    TrainingConfig,
    add_noise,
    balanced_loss,
    cosine,
    level_nll,
    mean_loss,
    without,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Ten colourful photos of smooth blobs."""
    return write_blobs(tmp_path_factory.mktemp("photos"), *[(300 + 10 * i, 260) for i in range(10)])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Natural(NARROW_NATURAL)


CONFIG = NaturalTraining(photos=24, batch=4, warmup=4)


def run(model, photos, folder, config=CONFIG, **options):
    options = RunOptions(CPU, workers=0, **options)
    return train(model, NaturalTask(find_photos(photos)), config, folder, options)


def test_positions_decide_what_is_seen(photos):
    crops, again = Crops(find_photos(photos), seed=1), Crops(find_photos(photos), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(crops[13].parts, again[13].parts, strict=True))
    assert not torch.equal(crops[13].parts[0], crops[23].parts[0])
    other = Crops(find_photos(photos), seed=2)
    assert not torch.equal(crops[13].parts[0], other[13].parts[0])


def source_of(crops, position):
    return crops.photos[crops._order[position]]


def test_an_epoch_sees_every_photo_once(photos):
    crops = Crops(find_photos(photos), seed=1)
    for epoch in range(2):
        seen = {source_of(crops, 10 * epoch + i) for i in range(10)}
        assert seen == set(crops.photos)
    assert [source_of(crops, i) for i in range(10)] != [source_of(crops, 10 + i) for i in range(10)]


@pytest.mark.ci
def test_workers_change_nothing(photos):
    crops = Crops(find_photos(photos), seed=0)
    alone, helped = batches(crops, 4, 16, 4, Loading()), batches(crops, 4, 16, 4, Loading(workers=2))
    for one, two in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parts, two.parts, strict=True))


def test_processes_share_every_batch(photos):
    crops = Crops(find_photos(photos), seed=0)
    shares = [batches(crops, 4, 16, 4, Loading(rank=rank, processes=2)) for rank in range(2)]
    for whole, one, two in zip(batches(crops, 4, 16, 4, Loading()), *shares, strict=True):
        assert torch.equal(whole.parts[1], torch.stack([one.parts[1], two.parts[1]], 1).flatten(0, 1))
    ab, generator = torch.zeros(6, 2, 64, 64), torch.Generator()
    whole = add_noise(ab, 0.05, 0.07, Noise(generator.manual_seed(0)))
    for rank in range(2):
        share = add_noise(ab[:3], 0.05, 0.07, Noise(generator.manual_seed(0), rank, 2))
        assert torch.equal(share, whole[rank::2])


def test_crops_are_of_many_aspects_and_mirrored_half_of_the_time():
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0] = np.arange(256)
    aspects, mirrored = [], 0
    for i in range(400):
        crop = random_crop(image, np.random.default_rng(i))
        aspects.append(crop.shape[1] / crop.shape[0])
        mirrored += bool(crop[0, 0, 0] > crop[0, -1, 0])
    assert 0.49 < min(aspects) < 0.6
    assert 1.7 < max(aspects) < 2.05
    assert 150 < mirrored < 250


def test_crops_show_from_a_third_of_a_photo_to_nearly_all_of_it():
    image = np.zeros((256, 256, 3), np.uint8)
    areas = [random_crop(image, np.random.default_rng(i)).size / image.size for i in range(400)]
    assert 0.34 < min(areas) < 0.37
    assert max(areas) > 0.9


def test_photos_shrink_by_area_means():
    """Whatever falls between the pixels of the square counts, so that patterns make no others."""
    image = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)
    expected = image.reshape(256, 3, 256, 4, 3).mean((1, 3))
    assert np.abs(squeezed(image, 256) - expected).max() < 0.51


def test_network_inputs_are_area_means_of_lab():
    from skimage.color import rgb2lab

    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    L, ab = to_network(image)
    lab = rgb2lab(image)
    assert np.abs(L[0] - lab[..., 0]).max() < 1e-2
    expected = lab[..., 1:].reshape(64, 4, 64, 4, 2).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(ab - expected).max() < 1e-2


@pytest.mark.parametrize("workers", longer(0, 1))
def test_a_photo_that_cannot_be_read_or_is_gray_is_named_and_replaced(
    photos, tmp_path, caplog, model, workers
):
    for file in photos.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no photo")
    Image.fromarray(GRAY).save(tmp_path / "gray.png")
    reports, config = [], replace(CONFIG, photos=32)  # almost three epochs
    task = NaturalTask(find_photos(tmp_path))
    options = RunOptions(CPU, workers=workers, report=reports.append, report_seconds=0)
    train(model, task, config, tmp_path, options)
    for name in ("bad.png", "gray.png: a gray photo"):
        assert sum(name in record.getMessage() for record in caplog.records) == 1
    assert reports[-1].unreadable == 2
    assert reports[-1].seen == 32


def test_no_photos(tmp_path):
    with pytest.raises(DataError, match="missing"):
        find_photos(tmp_path / "missing")
    with pytest.raises(DataError, match="no photos"):
        find_photos(tmp_path)
    (tmp_path / "photos-train-0.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"photos-train-0\.zip"):
        find_photos(tmp_path)
    with zipfile.ZipFile(tmp_path / "photos-train-0.zip", "w") as archive:
        archive.writestr("\u00e4.jpg", "x")
    content = (tmp_path / "photos-train-0.zip").read_bytes()
    for old, new in ((b"\xc3\xa4", b"\xc3\xff"), (b"PK\1\2\x14\x03\x14", b"PK\1\2\x14\x03\xff")):
        assert content.count(old)
        (tmp_path / "photos-train-0.zip").write_bytes(content.replace(old, new))
        with pytest.raises(DataError, match=r"photos-train-0\.zip: not a readable zip"):
            find_photos(tmp_path)


def test_photos_are_in_the_colours_of_their_profiles(tmp_path):
    expected, srgb = np.full((40, 60, 3), (200, 60, 40), np.uint8), ImageCms.createProfile("sRGB")
    p3 = bytes(pyvips.Operation.call("profile_load", "p3"))
    in_p3 = ImageCms.profileToProfile(Image.fromarray(expected), srgb, ImageCms.ImageCmsProfile(BytesIO(p3)))
    assert np.abs(np.asarray(in_p3) - expected.astype(int)).max() > 10
    name = "sP3C".encode("utf-16-be")
    assert name in p3
    for profile in (p3, p3.replace(name, "sRGB".encode("utf-16-be"))):  # names say nothing
        in_p3.save(tmp_path / "a.png", icc_profile=profile)
        assert np.abs(Reader()(Source(tmp_path / "a.png")) - expected.astype(int)).max() <= 2
    for profile in (ImageCms.ImageCmsProfile(srgb).tobytes(), b"damaged", p3[:200]):
        Image.fromarray(expected).save(tmp_path / "b.png", icc_profile=profile)
        assert np.array_equal(Reader()(Source(tmp_path / "b.png")), expected)


def test_without_lmdb_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match=r"reading LSUN requires lmdb; pip install 'cinn-colorize\[train\]'"):
        LmdbPhotos(tmp_path)


def test_a_damaged_pretrained_network_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_network" / "models").mkdir(parents=True)
    (tmp_path / "a_network" / "__init__.py").touch()
    for content in (b"", b"garbage", b"PK\3\4"):
        (tmp_path / "a_network" / "models" / "a.pth").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.pth: cannot be read; reinstall a-network"):
            Pretrained("a_network", "a.pth", "train").state()


def test_nll_is_that_of_the_change_of_variables():
    z = {1: torch.randn(3, 6, 1, 1), 0: torch.randn(3, 2, 1, 1)}
    log_dets = {1: torch.randn(3), 0: torch.randn(3)}
    flat = torch.cat([z[1].flatten(1), z[0].flatten(1)], 1)
    expected = -torch.distributions.Normal(0, 1).log_prob(flat).sum(1) - log_dets[1] - log_dets[0]
    assert torch.allclose(sum(level_nll(z, log_dets).values()), expected, atol=1e-5)


def test_loss_weighs_levels_by_the_root_of_their_share():
    nll = {1: torch.tensor([6.0, 18.0]), 0: torch.tensor([4.0, 4.0])}
    assert mean_loss(nll, {1: 6, 0: 2}).item() == pytest.approx((12 + 4) / 8)
    assert balanced_loss(nll, {1: 6, 0: 2}).item() == pytest.approx(
        2 * math.sqrt(6 / 8) + 2 * math.sqrt(2 / 8)
    )


def test_noise_has_a_part_at_every_scale():
    generator = torch.Generator().manual_seed(0)
    noise = add_noise(torch.zeros(400, 2, 64, 64), 0.05, 0.07, Noise(generator))
    whole = noise.mean((2, 3), keepdim=True)
    blocks = torch.nn.functional.avg_pool2d(noise - whole, 4)  # of waves of 16 pixels nearly all is left
    pixels = noise - torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
    assert whole.std().item() == pytest.approx(0.07, rel=0.15)
    assert blocks.std().item() == pytest.approx(0.07, rel=0.05)
    assert pixels[..., 1:-1, 1:-1].std().item() == pytest.approx(0.05 * math.sqrt(8 / 9), rel=0.02)


def test_coarse_noise_has_no_edges():
    noise = add_noise(torch.zeros(400, 2, 64, 64), 0.0, 0.07, Noise(torch.Generator().manual_seed(0)))
    steps = noise.diff(dim=3).std(dim=(0, 1, 2))
    assert steps.max() < 0.03  # blocks would differ by 0.07 * sqrt(2) at every eighth pixel


def test_learning_rate_rises_then_falls_to_zero():
    rates = [cosine(seen, photos=1000, peak=1.0, warmup=100) for seen in range(0, 1001, 50)]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates.index(max(rates)) == 2
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_a_step_has_the_rate_of_its_middle_and_the_warm_up_is_at_most_a_tenth():
    config = TrainingConfig(photos=1000, batch=100, learning_rate=1.0, warmup=5000)
    assert config.rate(0) == cosine(50, photos=1000, peak=1.0, warmup=100) > 0
    assert config.rate(50) == max(config.rate(seen) for seen in range(0, 1000, 10))
    assert config.rate(900) == cosine(950, photos=1000, peak=1.0, warmup=100) > 0


def test_a_stopped_run_resumes_exactly(model, photos, tmp_path):
    import copy

    twin = copy.deepcopy(model)
    whole = run(model, photos, tmp_path / "whole")
    steps = iter([False, False, True])
    run(copy.deepcopy(twin), photos, tmp_path / "parts", stop=lambda: next(steps))
    torch.manual_seed(99)
    torch.rand(7)
    resumed = run(twin, photos, tmp_path / "parts", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.ci
def test_training_learns(model, photos, tmp_path):
    reports = []
    config = replace(CONFIG, photos=96, learning_rate=2e-3, films=0.0)  # too few photos to learn from films
    run(model, photos, tmp_path, config, report=reports.append, report_seconds=0)
    losses = [report.figures["loss"] for report in reports]
    assert reports[-1].seen == 96
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.2


@pytest.mark.ci
def test_the_backbone_stays_as_it_is(model, photos, tmp_path):
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    run(model, photos, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbone.state_dict().items())


@pytest.mark.ci
def test_in_the_joint_stage_the_deep_stages_of_the_backbone_learn_too(model, photos, tmp_path):
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    task, config = JointTask(find_photos(photos)), JointTraining(photos=8, batch=4, warmup=0)
    train(model, task, config, tmp_path, RunOptions(CPU, workers=0))
    deep = {
        name for name, tensor in model.backbone.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert deep == {
        name
        for name in before
        if name.startswith(("stages.3", "stages.4", "stages.5", "stages.6")) and "depthwise" not in name
    }


def test_the_backbone_learns_at_a_tenth_of_the_rate(model, photos):
    (rest, whole), (deep, share) = JointTask(find_photos(photos)).learning(model, JointTraining())
    assert (whole, share) == (1.0, 0.1)
    backbone = set(model.backbone.parameters())
    assert backbone.issuperset(deep)
    assert backbone.isdisjoint(rest)


def test_features_in_chunks_are_those_of_all_photos_with_their_gradients(model):
    L = 100 * torch.rand(5, 1, 256, 256)
    model.backbone.requires_grad_(False)
    weight = model.backbone.pointwise(DEEP)[0].requires_grad_(True)
    whole = model.features(L)
    whole[32].square().sum().backward()
    expected, weight.grad = weight.grad, None
    parts = features_in_chunks(model, L, torch.float32)
    parts[32].square().sum().backward()
    assert all((parts[s] - whole[s]).abs().max() < 1e-3 * whole[s].abs().max() for s in whole)
    assert (weight.grad - expected).abs().max() < 1e-3 * expected.abs().max()


def test_convolutions_take_steps_in_all_directions_alike(model, photos, tmp_path):
    """Muon: most singular values of a step are 0.2 sqrt(larger side) times the rate; none is far larger."""
    weight = dict(model.named_parameters())["levels.16.flow.maps.2.subnet1.last.weight"]
    before = weight.detach().clone()
    config = replace(CONFIG, photos=4, warmup=0, weight_decay=0.0)
    run(model, photos, tmp_path, config)
    step = (weight.detach() - before).flatten(1)
    rate = config.rate(0)
    values = torch.linalg.svdvals(step) / (rate * 0.2 * max(step.shape) ** 0.5)
    assert values.max() < 1.5
    assert values.median() > 0.7  # of Adam's steps most are far below the largest


def test_a_run_of_another_optimiser_is_not_resumed(model, photos, tmp_path):
    run(model, photos, tmp_path, replace(CONFIG, photos=8), stop=lambda: True)
    state = load_newest(tmp_path)
    state["optimizer"] = torch.optim.AdamW(model.parameters()).state_dict()
    save_checkpoint(tmp_path, state)
    with pytest.raises(DataError, match="another optimiser"):
        run(model, photos, tmp_path, replace(CONFIG, photos=8), resume=True)


def test_what_cannot_be_resumed(model, photos, tmp_path):
    (tmp_path / "checkpoint-0000000004.pt").write_bytes(b"damaged")
    with pytest.raises(DataError, match="damaged"):
        run(model, photos, tmp_path, resume=True)
    (tmp_path / "checkpoint-0000000004.pt").unlink()
    run(model, photos, tmp_path, replace(CONFIG, photos=4), resume=True)  # nothing yet, so it begins
    with pytest.raises(DataError, match="seed 0, not 1"):
        run(model, photos, tmp_path, replace(CONFIG, photos=4, seed=1), resume=True)


def test_what_cannot_be_learnt_from_leaves_the_folder_as_it_was(model, photos, tmp_path):
    with pytest.raises(DataError, match="a --batch that is a multiple of 2"):
        run(model, photos, tmp_path, replace(CONFIG, batch=3))
    (tmp_path / "gray").mkdir()
    Image.new("RGB", (300, 260), (90, 90, 90)).save(tmp_path / "gray/a.png")
    with pytest.raises(DataError, match="can be learnt from"):
        run(model, tmp_path / "gray", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gray"]


def test_a_photo_is_cropped_anew_in_every_epoch(tmp_path):
    crops = Crops(find_photos(write_blobs(tmp_path, *[(300, 260)] * 3)), seed=1)
    first, second = ({source_of(crops, p): p for p in range(start, start + 3)} for start in (0, 3))
    assert first.keys() == second.keys()
    for photo, position in first.items():
        assert not torch.equal(crops[position].parts[0], crops[second[photo]].parts[0])


def test_colours_get_the_noise_of_the_settings():
    model, generator = Natural(without(NARROW_NATURAL, ["conditioning"])), torch.Generator()
    L, ab = torch.full((2, 1, 256, 256), 50.0), 30 * torch.ones(2, 2, 64, 64)
    config = NaturalTraining(pixel_noise=0.05, coarse_noise=0.4)
    x, *_ = NaturalTask([]).prepare(model, [L, ab], config, Noise(generator.manual_seed(1)), torch.float32)
    expected = add_noise(ab / model.config.chroma_scale, 0.05, 0.4, Noise(generator.manual_seed(1)))
    assert torch.equal(x, expected)
