"""The library: one photo, many colorizations, and the promises about seeds and luminance."""

import io
import os
import signal
import threading
from itertools import groupby

import numpy as np
import PIL.Image
import pytest
import torch
from skimage.color import rgb2lab

from cinn_colorize import Colorization, Colorizer
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.engines.pytorch import TorchNetwork
from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging.color import pixels_to_lab
from cinn_colorize.imaging.light import light_of
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler
from cinn_colorize.methods.digits import Digits
from cinn_colorize.models import MODELS, load_model
from cinn_colorize.models.base import one_thread


@pytest.fixture(scope="module")
def photo(examples):
    return examples / "chelsea.png"


@pytest.fixture(scope="module")
def conditioned(colorizer, photo):
    return colorizer.condition(photo)


def test_a_sample_depends_on_its_seed_alone(conditioned):
    eight = conditioned.sample(n=8, temperature=0.8, seed=5)
    one = conditioned.sample(n=1, temperature=0.8, seed=9)[0]
    assert [sample.seed for sample in eight] == list(range(5, 13))
    assert conditioned.sample()[0].temperature == MODELS["natural"].temperature
    assert one.ab.tobytes() == eight[4].ab.tobytes()
    assert one.log_prob == eight[4].log_prob
    assert np.abs(eight[0].ab - eight[1].ab).max() > 1


@pytest.mark.parametrize(
    "name",
    [
        "photo.jpg",
        *(
            pytest.param(f"{name}.jpg", marks=pytest.mark.ci)
            for name in ("tea-gardens", "extreme-desert-hike")
        ),
    ],
)
def test_a_small_copy_is_a_preview(shipped_colorizer, examples, name):
    """A quarter of the pixels, the same seed: the colours are those of the large one, reduced."""
    with PIL.Image.open(examples / name) as image:
        large = image.convert("L")
    size = (large.width // 2, large.height // 2)
    small = large.resize(size, PIL.Image.Resampling.BOX)
    for seed in (0, 5):
        (whole,), (preview,) = (shipped_colorizer.colorize(photo, seed=seed) for photo in (large, small))
        reduced = PIL.Image.fromarray(whole.rgb).resize(size, PIL.Image.Resampling.BOX)
        differences = rgb2lab(np.asarray(reduced)) - rgb2lab(preview.rgb)
        assert np.linalg.norm(differences, axis=2).mean() < 2


def test_a_loaded_model_stays_where_it_is():
    """Another device, which a device without values stands for, gets a copy."""
    loaded = load_model("bedrooms")
    here = TorchNetwork(loaded.model, 64, torch.device("cpu"))
    there = TorchNetwork(loaded.model, 64, torch.device("meta"), chunk=1)
    assert here.model is loaded.model
    assert {tensor.device.type for tensor in loaded.model.state_dict().values()} == {"cpu"}
    assert {tensor.device.type for tensor in there.model.state_dict().values()} == {"meta"}


def test_which_model_is_said_once(tmp_path):
    loaded = load_model("bedrooms")
    for kind in (Colorizer, Digits):
        with pytest.raises(ValueError, match="leave out weights"):
            kind(loaded, weights="other.safetensors")
        with pytest.raises(TypeError, match="must be a name or the result of load_model, not PosixPath"):
            kind(tmp_path)


def test_contexts_of_one_thread_take_turns():
    """Or the one that ends last would restore the limit of the other."""
    before, inside = torch.get_num_threads(), threading.Event()
    torch.set_num_threads(2)

    def second():
        inside.wait()
        with one_thread():
            numbers.append(torch.get_num_threads())

    numbers, other = [], threading.Thread(target=second)
    try:
        other.start()
        with one_thread():
            inside.set()
            other.join(0.3)
            assert not numbers
        other.join()
        assert (numbers, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no such processes")
def test_a_forked_process_waits_for_no_thread_of_its_parent():
    held, over = threading.Event(), threading.Event()

    def hold():
        with one_thread():
            held.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        with one_thread():
            os._exit(0)
    ended = os.waitpid(child, 0)[1]
    over.set()
    holder.join()
    assert ended == 0


def test_threads_change_nothing(colorizer, photo):
    threads, found = torch.get_num_threads(), set()
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found.add(colorizer.colorize(photo)[0].rgb.tobytes())
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


def test_temperature_zero_is_one_picture(conditioned):
    first, second = conditioned.sample(n=2, temperature=0)
    assert first.ab.tobytes() == second.ab.tobytes()
    warm = conditioned.sample(n=8, temperature=1.0)
    cold = conditioned.sample(n=8, temperature=0.3)
    assert np.var([s.ab for s in cold], axis=0).mean() < np.var([s.ab for s in warm], axis=0).mean()


def test_encode_undoes_decode(photo):
    """Without guidance, so that the density of a sample is that of its colours."""
    conditioned = Colorizer(device="cpu", guidance=0.0).condition(photo)
    sample = conditioned.sample(temperature=0.7, seed=3)[0]
    assert sample.ab.shape == (2, 64, 64)
    latent = conditioned.encode(sample.ab)
    for r, z in sample.latent.levels.items():
        assert (latent.levels[r] - z).abs().max() < 5e-3, r
    assert np.abs(conditioned.decode(latent)[0] - sample.ab).max() < 1e-3
    assert conditioned.log_prob(sample.ab) == pytest.approx(sample.log_prob, abs=1)


def forms_of(array):
    """An array, and others of its values: one that is flipped, and one that is read-only."""
    fixed = array.copy()
    fixed.setflags(write=False)
    return array, array[..., ::-1].copy()[..., ::-1], fixed


@pytest.fixture
def warn_always():
    """Torch warns each time, not only the first."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("warn_always")
def test_flipped_and_read_only_arrays_and_tensors_with_gradients_count_by_their_values(colorizer):
    L = np.random.default_rng(0).uniform(0, 100, (256, 256)).astype(np.float32)
    same, flipped, fixed = (colorizer.condition(NetworkInput(form)) for form in forms_of(L))
    ab = same.sample()[0].ab
    assert np.array_equal(flipped.sample()[0].ab, ab)
    assert np.array_equal(fixed.sample()[0].ab, ab)
    forms = *forms_of(ab), torch.from_numpy(ab).requires_grad_()
    assert len({same.log_prob(form) for form in forms}) == 1
    codes = [same.encode(form) for form in forms]
    codes.append(codes[0].map(lambda z: z.clone().requires_grad_()))
    assert len({same.decode(code).tobytes() for code in codes}) == 1


def test_samples_that_go_through_the_network_together_are_the_same_but_for_rounding(shipped_colorizer, photo):
    together = Colorizer(device="cpu", chunk=3).condition(photo).sample(n=4, seed=2)
    apart = shipped_colorizer.condition(photo).sample(n=4, seed=2)
    for one, other in zip(together, apart, strict=True):
        assert np.abs(one.ab - other.ab).max() < 1e-2
        assert one.log_prob == pytest.approx(other.log_prob, abs=0.1)


def test_log_prob_prefers_likely_colours(conditioned):
    sample = conditioned.sample(temperature=0.7, seed=3)[0]
    noisy = sample.ab + np.random.default_rng(0).normal(0, 20, sample.ab.shape)
    assert conditioned.log_prob(noisy) < conditioned.log_prob(sample.ab) - 1000


def test_every_kind_of_photo_gives_the_same(colorizer, photo):
    expected = colorizer.colorize(photo, seed=1)[0].rgb
    image = PIL.Image.open(photo)
    for same in (str(photo), photo.read_bytes(), image, np.asarray(image)):
        assert np.array_equal(colorizer.colorize(same, seed=1)[0].rgb, expected)


def test_luminance_is_kept_and_colours_are_new(colorizer, photo):
    rgb = np.asarray(PIL.Image.open(photo).convert("RGB"))
    result = colorizer.colorize(photo, n=2, seed=1)
    assert all(isinstance(r, Colorization) and r.rgb.shape == rgb.shape for r in result)
    difference = np.abs(rgb2lab(result[0].rgb)[..., 0] - rgb2lab(rgb)[..., 0])
    assert difference.mean() < 0.15
    assert not np.array_equal(result[0].rgb, result[1].rgb)


def test_a_colour_photo_is_treated_as_gray(colorizer, photo):
    """Samples depend on L alone."""
    L = rgb2lab(np.asarray(PIL.Image.open(photo).convert("RGB")))[..., 0]
    lab = np.stack([L, np.zeros_like(L), np.zeros_like(L)], -1)
    from skimage.color import lab2rgb

    gray = (lab2rgb(lab) * 65535).round().astype(np.uint16)
    ours = colorizer.condition(photo).sample(temperature=0.0)[0].ab
    of_gray = colorizer.condition(gray).sample(temperature=0.0)[0].ab
    assert np.abs(ours - of_gray).max() < 0.5


def test_saved_pictures_carry_their_recipe(colorizer, photo, tmp_path):
    colorizer.colorize(photo, temperature=0.5, seed=7)[0].save(tmp_path / "out.png")
    recipe = read_recipe(tmp_path / "out.png")
    assert recipe["seed"] == "7"
    assert recipe["temperature"] == "0.5"
    assert recipe["weights"] == colorizer.sha256
    assert recipe["model"] == "natural"
    assert {"version", "precision", "upsampling"} <= set(recipe)


@pytest.mark.parametrize(
    "arguments",
    [{"n": 0}, {"seed": -1}, {"temperature": -0.1}, {"temperature": float("nan")}, {"upsampling": "best"}],
)
def test_arguments_out_of_range(colorizer, photo, arguments):
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        colorizer.colorize(photo, **arguments)


def test_unusable_photos(colorizer, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(PhotoError, match=r"text\.jpg"):
        colorizer.colorize(tmp_path / "text.jpg")
    with pytest.raises(ValueError, match="shape"):
        colorizer.condition(NetworkInput(np.zeros((64, 64), np.float32)))


@pytest.mark.parametrize("arguments", [{"device": "tpu"}, {"device": "cuda:99"}, {"precision": "fp8"}])
def test_unknown_devices_and_precisions(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments.values()))):
        Colorizer(**arguments)


def test_a_sheet_of_samples(colorizer, photo):
    from cinn_colorize.imaging.photo import open_photo
    from cinn_colorize.methods.contact_sheet import TILE, contact_sheet, tiles

    opened = open_photo(photo)
    labelled = tiles(opened, colorizer.colorize(opened, n=3, seed=4))
    assert [label.split("  ")[0] for _, label in labelled] == ["original", "seed 4", "seed 5", "seed 6"]
    assert all(max(tile.size) == TILE for tile, _ in labelled)
    sheet = contact_sheet(labelled)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG")
    assert sheet.width > 2 * TILE
    assert sheet.height < 3 * TILE


def test_labels_of_narrow_pictures_do_not_touch():
    from cinn_colorize.methods.contact_sheet import contact_sheet

    tiles = [(PIL.Image.new("RGB", (30, 200)), f"seed {k}   log-likelihood 1.234") for k in range(5)]
    sheet = np.asarray(contact_sheet(tiles, columns=5).convert("L"))
    inked = (sheet[-30:] < 128).any(axis=0)
    gaps = [len(list(run)) for is_inked, run in groupby(inked) if not is_inked]
    assert not inked[np.r_[:4, -4:0]].any()
    assert sum(gap >= 8 for gap in gaps) >= 4


def test_pictures_of_a_sheet_stand_close_to_their_labels_whatever_their_shapes():
    from cinn_colorize.methods.contact_sheet import contact_sheet

    sizes = [(200, 60), (200, 120), (60, 200), (200, 40)]
    tiles = [
        (PIL.Image.new("RGB", size, color), "label")
        for size, color in zip(sizes, ("red", "lime", "blue", "black"), strict=True)
    ]
    sheet = np.asarray(contact_sheet(tiles, columns=2)).astype(int)
    bottoms = [
        np.flatnonzero((abs(sheet - color).sum(axis=2) == 0).sum(axis=1) > 50).max()
        for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0))
    ]
    assert bottoms[0] == bottoms[1]
    assert bottoms[2] == bottoms[3]
    assert 0 < bottoms[2] - bottoms[0] < 200 + 60  # the height of the second row and of a label
    assert sheet.shape[0] < 120 + 200 + 120  # no row is higher than its own pictures


def test_a_sheet_is_read_from_left_to_right_and_from_top_to_bottom():
    from cinn_colorize.methods.contact_sheet import contact_sheet

    tiles = [(PIL.Image.new("RGB", (50, 50), (40 * k, 0, 255)), str(k)) for k in range(6)]
    sheet = np.asarray(contact_sheet(tiles, columns=2)).astype(int)
    places = [np.argwhere(abs(sheet - (40 * k, 0, 255)).sum(axis=2) == 0).mean(axis=0) for k in range(6)]
    rows, columns = np.array(places).T.reshape(2, 3, 2)
    assert (np.diff(rows, axis=0) > 50).all()
    assert (np.diff(columns, axis=1) > 50).all()


def test_the_network_sees_the_photos_own_luminance(colorizer, photo, monkeypatch):
    """L* in [0, 100] as scikit-image computes it, squeezed to the square."""
    seen = []
    condition = colorizer.network.model.condition
    monkeypatch.setattr(colorizer.network.model, "condition", lambda L: seen.append(L) or condition(L))
    colorizer.condition(photo)
    (L,) = seen
    expected = open_photo(photo).luminance(256, 256)
    assert L.shape == (1, 1, 256, 256)
    np.testing.assert_array_equal(L[0, 0].cpu().numpy(), expected)
    with PIL.Image.open(photo) as image:
        assert expected.mean() == pytest.approx(rgb2lab(image.convert("RGB"))[..., 0].mean(), abs=0.01)


def test_saturation_scales_chroma_and_nothing_else(colorizer, photo):
    plain, stronger, gray = (
        colorizer.colorize(photo, seed=3, saturation=saturation)[0] for saturation in (1.0, 1.25, 0.0)
    )
    assert (plain.ab == stronger.ab).all()
    lab = [pixels_to_lab(colorization.rgb) for colorization in (plain, stronger, gray)]
    # Eight bits round L* by up to 0.3, where colours are strong.
    assert np.abs(lab[1][0] - lab[0][0]).mean() < 0.15
    ratio = np.hypot(*lab[1][1:]).mean() / np.hypot(*lab[0][1:]).mean()
    assert ratio == pytest.approx(1.25, abs=0.03)
    assert np.hypot(*lab[2][1:]).max() < 1
    assert stronger.recipe["saturation"] == "1.25"
    with pytest.raises(ValueError, match="from 0 to 2, not 3"):
        colorizer.colorize(photo, saturation=3)


def test_white_balance_takes_the_tint_out_and_nothing_else(shipped_colorizer, examples):
    photo = examples / "coffee.png"
    plain, half, whole = (
        shipped_colorizer.colorize(photo, seed=3, white_balance=share)[0] for share in (0.0, 0.5, 1.0)
    )
    assert "white_balance" not in plain.recipe
    assert half.recipe["white_balance"] == "0.5"
    assert (plain.ab == whole.ab).all()
    lab = [pixels_to_lab(colorization.rgb) for colorization in (plain, half, whole)]
    for changed in lab[1:]:
        assert np.abs(changed[0] - lab[0][0]).mean() < 0.15
    tints = [np.ptp(light_of(each[0], each[1:])) for each in lab]
    assert tints[0] > tints[1] > tints[2]
    assert tints[2] < 0.4 * tints[0]  # estimated at 64 px, found at full size
    with pytest.raises(ValueError, match="from 0 to 1, not 2"):
        shipped_colorizer.colorize(photo, white_balance=2)
    with pytest.raises(ValueError, match="hints exclude white balance"):
        shipped_colorizer.colorize(photo, hints=["3,4,red"], white_balance=0.5)


@pytest.mark.ci
def test_half_precision_is_another_picture_that_is_nearly_the_same(shipped_colorizer, examples):
    """The networks compute in bf16; latents and colours stay fp32."""
    half = Colorizer(device="cpu", precision="bf16")
    (sample,), (whole,) = (
        c.condition(examples / "chelsea.png").sample(1, 0.7, 3) for c in (half, shipped_colorizer)
    )
    assert all(np.array_equal(z, whole.levels[r]) for r, z in sample.levels.items())
    assert sample.ab.dtype == np.float32
    assert 0 < np.abs(sample.ab - whole.ab).mean() < 2
    (made,) = half.colorize(examples / "chelsea.png", seed=3)
    assert made.recipe["precision"] == "bf16"


@pytest.mark.parametrize("method", ["jbu", "exact", "bicubic"])
def test_pictures_are_upsampled_as_it_is_asked_for(colorizer, examples, method):
    photo = open_photo(examples / "chelsea.png")
    (made,) = colorizer.colorize(photo, seed=3, upsampling=method)
    guide = photo.luminance(*(GUIDE_SCALE * size for size in made.ab.shape[1:]))
    (expected,) = photo.compose([Upsampler(made.ab, guide, (photo.height, photo.width), method)])
    np.testing.assert_array_equal(made.rgb, expected.rgb)
    assert made.recipe["upsampling"] == method
