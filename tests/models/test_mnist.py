"""The model of digits: its laws, MNIST's files, and pictures of digits."""

import gzip
import shutil
import struct

import cv2
import numpy as np
import pytest
import torch
from helpers import stir
from narrow import SMALL_MNIST

from cinn_colorize.errors import DataError, WeightsError
from cinn_colorize.latents.latent import Latent
from cinn_colorize.methods.digits import (
    ATTRIBUTES,
    TEMPERATURE,
    Digits,
    Walk,
    picture,
    principal_axes,
    read_digit,
    samples_picture,
    slant,
    thickness,
    transfer_picture,
    walks_picture,
    width,
)
from cinn_colorize.models import MODELS, Loaded
from cinn_colorize.models.mnist import LEVEL, Mnist, MnistConfig
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.mnist import (
    DEV,
    SIGMA,
    MnistTask,
    MnistTraining,
    Part,
    nll_per_dimension,
    read_mnist,
)


@pytest.fixture(scope="module")
def digits():
    torch.manual_seed(0)
    return Digits(
        Loaded(stir(Mnist(SMALL_MNIST)).eval().requires_grad_(False), MODELS["mnist"], ""), device="cpu"
    )


def images(n, seed=0):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_starts_as_a_normalisation():
    model = Mnist(SMALL_MNIST)
    x = images(1).float()
    z, log_det = model(x, model.condition(torch.tensor([0])))
    expected = (x.flatten() - SMALL_MNIST.mean) / SMALL_MNIST.deviation
    assert torch.equal(z[LEVEL].flatten().sort()[0], expected.sort()[0])
    assert log_det[LEVEL].item() == pytest.approx(-784 * np.log(SMALL_MNIST.deviation))


def test_sizes():
    def parameters(config):
        return sum(p.numel() for p in Mnist(config).parameters())

    assert parameters(MnistConfig.authors()) == 54_424_320  # the authors' 54.42 M
    assert 2 * parameters(MnistConfig()) < 16 * 2**20


def test_a_model_of_digits_colours_no_photos(digits):
    from cinn_colorize import Colorizer

    with pytest.raises(WeightsError, match=r"mnist.*natural"):
        Colorizer(Loaded(digits.model, MODELS["mnist"], ""))


def test_a_row_depends_on_its_seed_alone(digits):
    rows = digits.sample(3, seed=5)
    assert rows.shape == (3, 10, 28, 28)
    assert np.array_equal(digits.sample(1, seed=6)[0], rows[1])
    assert not np.array_equal(rows[0], rows[1])
    assert np.array_equal(digits.sample(1, 0.0, seed=1), digits.sample(1, 0.0, seed=2))


def test_digits_are_drawn_in_single_precision_whatever_is_around_and_given(digits):
    codes = Latent.draw(digits.model.latent_shapes, [5], 1.0)
    expected = digits.decode(codes)
    assert np.array_equal(digits.decode(codes.map(torch.Tensor.double)), expected)
    shown = expected[0, :1]
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(digits.decode(codes), expected)
        inside = digits.log_prob(shown, [3])
    assert inside == digits.log_prob(shown, [3])


@pytest.mark.parametrize(
    ("shown", "labels", "error", "problem"),
    [
        (np.zeros((2, 28, 28), np.float32), [3, 10], ValueError, "digits are 0 to 9, not 3 to 10"),
        (np.zeros((2, 28, 28), np.float32), [3], ValueError, "must have the shape"),
        (np.zeros((28, 28), np.float32), [3], ValueError, "must have the shape"),
        (np.zeros((1, 14, 56), np.float32), [3], ValueError, "must have the shape"),
        (np.zeros((0, 28, 28), np.float32), np.zeros(0, int), ValueError, "must have the shape"),
        (np.zeros((1, 28, 28), np.uint8), [3], TypeError, "must be floats"),
        (np.zeros((1, 28, 28), np.float32), [3.7], TypeError, "digits integers"),
    ],
)
def test_what_is_no_digit(digits, shown, labels, error, problem):
    for method in (digits.encode, digits.log_prob):
        with pytest.raises(error, match=problem):
            method(shown, labels)


@pytest.mark.parametrize("arguments", [{"n": 0}, {"seed": -1}, {"temperature": 3}])
def test_what_cannot_be_drawn(digits, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        digits.sample(**arguments)


def test_transfer_keeps_the_image_under_its_own_digit(digits):
    shown = images(2)[:, 0].float().numpy()
    rows = digits.transfer(shown, [4, None])
    likely = int(digits.log_probs(shown)[1].argmax())
    assert np.abs(rows[0, 4] - shown[0]).max() < 1e-4
    assert np.abs(rows[1, likely] - shown[1]).max() < 1e-4
    assert np.abs(rows[0, 5] - shown[0]).max() > 1e-3


def test_transfer_needs_a_digit_for_each_image(digits):
    with pytest.raises(ValueError, match="2 images must have as many digits, not 1"):
        digits.transfer(np.zeros((2, 28, 28), np.float32), [1])
    with pytest.raises(ValueError, match="steps must be 1 or more, not 0"):
        digits.walks(steps=0)


def test_the_command_and_the_library_draw_at_one_temperature():
    assert MODELS["mnist"].temperature == TEMPERATURE == 0.88


def test_log_probs_are_those_of_each_digit(digits):
    shown = images(3)[:, 0].float().numpy()
    table = digits.log_probs(shown)
    assert table.shape == (3, 10)
    assert np.allclose(table[:, 6], digits.log_prob(shown, [6, 6, 6]))
    z = digits.encode(shown, [6, 6, 6])
    assert np.isfinite(table).all()
    assert len(z) == 3


def test_principal_axes_are_those_of_the_covariance():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(500, 6, generator=generator, dtype=torch.float64) * torch.tensor([5, 1, 3, 1, 1, 1])
    centre, axes = principal_axes(latents, 2)
    assert torch.allclose(centre, latents.mean(0))
    covariance = latents.T.cov()
    for axis in axes:
        assert torch.allclose(covariance @ axis, axis.square().sum() * axis, atol=1e-8)
    assert axes[0].abs().argmax() == 0
    assert axes[1].abs().argmax() == 2
    assert (axes.gather(1, axes.abs().argmax(1, keepdim=True)) > 0).all()


def stroke(lean=0.0, thick=3, half=8):
    """A stroke that leans ``lean`` pixels per pixel to the right."""
    image = np.zeros((28 * 8, 28 * 8), np.uint8)
    ends = [(round(8 * (14 + s * half * lean)), round(8 * (14 - s * half))) for s in (-1, 1)]
    cv2.line(image, *ends, 255, 8 * thick)
    return cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def test_attributes_measure_what_they_are_called():
    assert slant(stroke(0.5)) == pytest.approx(0.5, abs=0.1)
    assert slant(stroke(-0.5)) == pytest.approx(-0.5, abs=0.1)
    assert slant(stroke()) == pytest.approx(0, abs=0.02)
    assert thickness(stroke(thick=5)) > 1.4 * thickness(stroke(thick=3))
    assert thickness(stroke(0.3)) == pytest.approx(thickness(stroke()), rel=0.25)
    wide = np.maximum(np.roll(stroke(), -6, 1), np.roll(stroke(), 6, 1))
    narrow = np.maximum(np.roll(stroke(), -3, 1), np.roll(stroke(), 3, 1))
    assert width(wide) > 1.5 * width(narrow)
    noise = 0.1 * np.random.default_rng(0).standard_normal((28, 28))
    assert all(m(wide + noise) == pytest.approx(m(wide), rel=0.2, abs=0.1) for m in ATTRIBUTES.values())


def test_walks_go_through_the_centre_and_are_labelled(digits):
    torch.manual_seed(1)
    digits.model.axes.copy_(torch.randn(4, 784) / 28)
    walks = digits.walks(steps=3)
    assert [walk.images.shape for walk in walks] == [(3, 10, 28, 28)] * 4
    assert np.array_equal(walks[0].images[1], walks[3].images[1])
    assert all(walk.attributes and set(walk.attributes) <= set(ATTRIBUTES) for walk in walks)
    assert Walk(walks[0].images, {"width": 0.2, "thickness": -3, "slant": 1.5}).attributes == [
        "thickness",
        "slant",
    ]
    assert Walk(walks[0].images, {"width": 0.2, "thickness": -0.3, "slant": 0}).attributes == ["thickness"]


def test_pictures_of_digits():
    rows = np.zeros((2, 3, 28, 28), np.float32)
    rows[1, 2] = 1.5
    page = np.asarray(picture(rows, scale=2, gap=4).convert("L"))
    assert page.shape == (2 * 60 + 4, 3 * 60 + 4)
    assert (page[64:120, 124:180] == 0).all()
    assert (page[:64] == 255).all()
    labelled = picture(rows, ["one", "two"], ["a", "b", "c"])
    assert labelled.width > page.shape[1]
    assert labelled.height > page.shape[0]


def test_figures(digits, tmp_path):
    torch.manual_seed(1)
    digits.model.axes.copy_(torch.randn(4, 784) / 28)
    every, sevens = samples_picture(digits, 2), samples_picture(digits, 12, digit=7)
    assert every.height == 2 * 60 + 24
    assert sevens.height == 2 * 60 + 4  # ten and two
    cv2.imwrite(str(tmp_path / "7.png"), (stroke(0.3) * 255).astype(np.uint8))
    styles = np.asarray(transfer_picture(digits, [tmp_path / "7.png"], digit=7).convert("L"))
    shown, again = styles[24:80, 4:60], styles[24:80, 4 + 8 * 60 : 60 + 8 * 60]
    assert np.abs(shown.astype(int) - again).max() <= 1
    assert walks_picture(digits).height == 8 * 60 + 4
    assert walks_picture(digits, 3).height == 4 * 60 + 4


def test_a_digit_on_paper_becomes_one_of_mnist(tmp_path):
    small = (stroke(0.3) * 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "small.png"), small)
    assert np.array_equal(read_digit(tmp_path / "small.png"), (small / 255).astype(np.float32))
    cv2.imwrite(str(tmp_path / "black on white.png"), 255 - small)
    assert np.abs(read_digit(tmp_path / "black on white.png") - small / 255).max() < 1e-6
    paper = np.full((300, 400, 3), 230, np.uint8)
    cv2.line(paper, (90, 250), (150, 50), (40, 40, 40), 20)
    cv2.imwrite(str(tmp_path / "paper.jpg"), paper)
    digit = read_digit(tmp_path / "paper.jpg")
    rows = np.nonzero((digit > 0.3).any(1))[0]
    assert digit.shape == (28, 28)
    assert 19 <= rows[-1] - rows[0] + 1 <= 21
    y, x = np.mgrid[:28, :28]
    assert (x * digit).sum() / digit.sum() == pytest.approx(14, abs=0.3)
    assert (y * digit).sum() / digit.sum() == pytest.approx(14, abs=0.3)
    assert slant(digit) == pytest.approx(60 / 200, abs=0.1)


def test_images_without_a_digit(tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((60, 50), 200, np.uint8))
    (tmp_path / "text.png").write_text("no image")
    for name in ("empty.png", "text.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            read_digit(tmp_path / name)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def folder(tmp_path):
    """MNIST's four files, with few digits."""
    rng = np.random.default_rng(0)
    for part, n in (("train", DEV + 64), ("t10k", 40)):
        write_idx(
            tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        )
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, n, dtype=np.uint8))
    return tmp_path


def test_mnist_is_read_where_it_lies(shared):
    before = sorted(p.name for p in (shared / "MNIST").rglob("*"))
    test = read_mnist(shared / "MNIST", "t10k")
    assert test.images.shape == (10_000, 28, 28)
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert sorted(p.name for p in (shared / "MNIST").rglob("*")) == before


def test_mnist_unpacked_is_the_same_and_what_torchvision_reads(folder, tmp_path):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    raw = tmp_path / "other" / "raw"
    raw.mkdir(parents=True)
    for path in folder.glob("*.gz"):
        with gzip.open(path) as packed, (raw / path.stem).open("wb") as file:
            shutil.copyfileobj(packed, file)
    found = read_mnist(tmp_path / "other", "t10k")
    for one, two in zip(read_mnist(folder, "t10k"), found, strict=True):
        assert np.array_equal(one, two)
    assert np.allclose(found.images * 255, read_image_file(str(raw / "t10k-images-idx3-ubyte")))
    assert np.array_equal(found.labels, read_label_file(str(raw / "t10k-labels-idx1-ubyte")))


def test_files_that_are_not_mnists(folder):
    images_file, labels_file = folder / "t10k-images-idx3-ubyte.gz", folder / "t10k-labels-idx1-ubyte.gz"
    content = images_file.read_bytes()
    for damage in (
        content[:-9],
        b"text",
        gzip.compress(b"text"),
        gzip.compress(gzip.decompress(content)[:-1]),
    ):
        images_file.write_bytes(damage)
        with pytest.raises(DataError, match="t10k-images"):
            read_mnist(folder, "t10k")
    images_file.write_bytes(content)
    write_idx(labels_file, np.zeros(7, np.uint8))
    with pytest.raises(DataError, match="labels"):
        read_mnist(folder, "t10k")
    labels_file.unlink()
    with pytest.raises(DataError, match=r"t10k-labels.*missing"):
        read_mnist(folder, "t10k")


def test_too_few_digits_to_hold_some_out(folder):
    write_idx(folder / "train-images-idx3-ubyte.gz", np.zeros((9, 28, 28), np.uint8))
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(9, np.uint8))
    with pytest.raises(DataError, match="has 9 digits for training, of which 5,000 are held out"):
        MnistTask(folder)


def test_training_learns_resumes_and_stores_the_axes(folder, tmp_path):
    task = MnistTask(folder)
    task.initial_model = lambda: Mnist(SMALL_MNIST)
    config = MnistTraining(photos=256, batch=32, warmup=32)

    def run(name, **options):
        torch.manual_seed(0)
        options = RunOptions(torch.device("cpu"), **options)
        return train(stir(Mnist(SMALL_MNIST)), task, config, tmp_path / name, options)

    losses = []
    whole = run("whole", report=lambda progress: losses.append(progress.figures["loss"]), report_seconds=0)
    assert losses[-1] < losses[0] - 0.01
    steps = iter([False, False, True, True])
    run("parts", stop=lambda: next(steps))
    resumed = run("parts", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    task.complete(whole)
    assert whole.axes.square().sum(1).min() > 0
    assert np.isfinite(task.measure(whole)["nll"])
    task.draw(whole, torch.device("cpu"), tmp_path / "digits.png")
    assert cv2.imread(str(tmp_path / "digits.png")) is not None


@pytest.fixture(scope="module")
def shipped():
    return Digits(device="cpu")


def test_shipped_weights_tell_digits_apart(shipped, shared):
    test = read_mnist(shared / "MNIST", "t10k")
    some = Part(test.images[:200], test.labels[:200])
    assert nll_per_dimension(shipped, some, SIGMA) < -1.8
    assert (shipped.log_probs(some.images).argmax(1) == some.labels).mean() > 0.9


@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-3), (True, 1e-9)], ids=["fp32", "fp64"])
def test_round_trip_of_the_shipped_weights(shipped, double, tolerance):
    model = Mnist(shipped.model.config)
    model.load_state_dict(shipped.model.state_dict())
    model = model.to(torch.float64 if double else torch.float32).eval()
    x = torch.from_numpy(shipped.sample(1))[0][:, None].to(model.label.weight.dtype)
    with torch.no_grad():
        condition = model.condition(torch.arange(10))
        back, _ = model.inverse(model(x, condition)[0], condition)
    assert (back - x).abs().max() < tolerance


def test_walks_of_the_shipped_weights_change_width_thickness_and_slant(shipped):
    assert {name for walk in shipped.walks() for name in walk.attributes} == {"width", "thickness", "slant"}
