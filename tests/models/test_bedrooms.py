"""The model of bedrooms: its laws, LSUN's layout, and its training."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import ENVIRONMENT, ROOT, stir
from narrow import NARROW_BEDROOMS

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.data.sources import Reader, Source
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import mean_nll
from cinn_colorize.models import MODELS, Loaded, load_model
from cinn_colorize.models.bedrooms import Bedrooms, BedroomsConfig
from cinn_colorize.training.bedrooms import BedroomsTask, BedroomsTraining, find_lsun
from cinn_colorize.training.loop import RunOptions, train

CPU = torch.device("cpu")


def build():
    torch.manual_seed(0)
    return stir(Bedrooms(NARROW_BEDROOMS)).eval()


@pytest.fixture(scope="module")
def bedrooms():
    return Colorizer(Loaded(build().requires_grad_(False), MODELS["bedrooms"], ""), device="cpu")


def inputs(n, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    L = torch.rand(n, 1, 64, 64, generator=generator, dtype=dtype) * 100
    return L, torch.randn(n, 2, 64, 64, generator=generator, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)], ids=str)
def test_round_trip_of_the_shipped_weights(dtype, tolerance):
    model = load_model("bedrooms").model.to(dtype)
    L, x = inputs(2, dtype)
    with torch.no_grad():
        condition = model.condition(L)
        latents, log_dets = model(x, condition)
        back, inverse = model.inverse(latents, condition)
    assert (back - x).abs().max() < tolerance
    for r, log_det in log_dets.items():
        assert (log_det + inverse[r]).abs().max() < 1e4 * tolerance


def test_it_starts_as_the_identity_but_for_scale():
    model = Bedrooms(NARROW_BEDROOMS).eval()
    L, x = inputs(1)
    z, _ = model(x, model.condition(L))
    assert sum(level.square().sum() for level in z.values()).item() < x.square().sum().item()
    other, _ = model(x, model.condition(100 - L))
    assert all(torch.equal(other[r], z[r]) for r in z)


def test_size():
    model = Bedrooms(BedroomsConfig.default())
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(model.stages) == 9_555_080  # the authors' 9.56 M
    assert 2 * count(model) < 24 * 2**20


def test_a_larger_luminance_is_reduced_and_others_are_refused(bedrooms):
    L = np.random.default_rng(0).uniform(0, 100, (256, 256)).astype(np.float32)
    small = L.reshape(64, 4, 64, 4).mean((1, 3))
    one, two = (bedrooms.condition(NetworkInput(each)).sample()[0].ab for each in (L, small))
    assert np.abs(one - two).max() < 1e-2
    for shape in ((100, 100), (64, 128), (0, 0), (64,)):
        with pytest.raises(ValueError, match="64"):
            bedrooms.condition(NetworkInput(np.zeros(shape)))


@pytest.fixture(scope="module")
def lsun(tmp_path_factory):
    """Photos in a folder, and packed in LSUN's layout by the script."""
    folder = tmp_path_factory.mktemp("lsun")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i, suffix in enumerate([".jpg", ".webp", ".png"] * 4):
        image = cv2.resize(
            rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (160, 128), interpolation=cv2.INTER_CUBIC
        )
        cv2.imwrite(str(folder / "photos" / f"{i}{suffix}"), image)
    script = ROOT / "scripts" / "pack_lmdb.py"
    command = [sys.executable, script, folder / "photos", folder / "packed", "--val", "4"]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    return folder


def test_lsun_is_read_as_it_is_laid_out(lsun):
    photos, dev = find_lsun(lsun / "packed")
    assert (len(photos), len(dev)) == (8, 4)
    read = Reader()
    found = [read(source) for source in [*photos, *dev]]
    files = [read(Source(path)) for path in (lsun / "photos").iterdir()]
    means = lambda images: sorted(image.mean() for image in images)  # noqa: E731
    assert np.allclose(means(found), means(files), atol=1)
    assert {image.shape for image in found} == {(128, 160, 3)}
    keys = [source.entry for source in photos]
    assert keys == sorted(keys)
    assert photos[-1] == photos[7]
    assert photos[2:4] == [photos[2], photos[3]]
    assert find_lsun(lsun / "packed" / "bedroom_train_lmdb")[0][0] == photos[0]
    assert len(find_lsun(lsun / "photos")[0]) == 12


@pytest.mark.ci
def test_no_lmdb_is_packed_without_photos_to_train_on(lsun, tmp_path):
    command = [sys.executable, ROOT / "scripts" / "pack_lmdb.py", lsun / "photos", tmp_path / "packed"]
    done = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "--val 200 of 12 photos leaves none to train on" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "packed").exists()


def test_lmdbs_that_cannot_be_read(lsun, tmp_path):
    photos, _ = find_lsun(lsun / "packed")
    with pytest.raises(DataError, match="no such key"):
        Reader()(photos[0]._replace(entry="other"))
    (tmp_path / "data.mdb").write_bytes(b"no lmdb" * 2000)
    with pytest.raises(DataError, match="LMDB"):
        find_lsun(tmp_path)
    (tmp_path / "short").mkdir()
    whole = (lsun / "packed/bedroom_train_lmdb/data.mdb").read_bytes()
    (tmp_path / "short/data.mdb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=f"is cut off, at {len(whole) // 2} of [0-9]+ bytes; copy it again"):
        find_lsun(tmp_path / "short")
    import lmdb

    (tmp_path / "empty").mkdir()
    lmdb.open(str(tmp_path / "empty")).close()
    with pytest.raises(DataError, match="without photos"):
        find_lsun(tmp_path / "empty")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="no photos"):
        find_lsun(tmp_path / "nothing")


@pytest.mark.ci
def test_training_learns_and_resumes_exactly(lsun, tmp_path):
    photos, dev = find_lsun(lsun / "packed")
    task, config = BedroomsTask(photos, dev), BedroomsTraining(photos=48, batch=4, warmup=4)

    def run(name, workers=0, **options):
        options = RunOptions(CPU, workers=workers, **options)
        return train(build(), task, config, tmp_path / name, options)

    losses = []
    whole = run("whole", report=lambda progress: losses.append(progress.figures["loss"]), report_seconds=0)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    assert not whole.training
    steps = iter([False, False, True, True])
    run("parts", stop=lambda: next(steps))
    resumed = run("parts", workers=1, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert task.measure(whole)["nll"] == pytest.approx(mean_nll(whole, dev))
    task.draw(whole, CPU, tmp_path / "sheet.jpg")
    assert cv2.imread(str(tmp_path / "sheet.jpg")) is not None
