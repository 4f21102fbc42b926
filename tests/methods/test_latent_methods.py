"""Uses of the latent space: transfer, mixes, ranking, strips and grids."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import COLOR, GRAY
from PIL import Image

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import likeliest
from cinn_colorize.errors import LatentError, PhotoError
from cinn_colorize.imaging.options import Rank, Rendering
from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.latents.latent import Latent
from cinn_colorize.methods import transfer as transfer_module
from cinn_colorize.methods.charts import Grid, Interpolated, LatentSource, Strip, Successive, Varied
from cinn_colorize.methods.mix import Mix
from cinn_colorize.methods.sample import Sampling, Variation
from cinn_colorize.methods.transfer import Transfer
from cinn_colorize.models import load_model

INSIDE = np.zeros((64, 64), np.uint8)
INSIDE[:, :24] = 255


@pytest.fixture(scope="module")
def photo():
    return open_photo(GRAY)


@pytest.fixture(scope="module")
def conditioned(colorizer, photo):
    return colorizer.condition(photo)


@pytest.fixture(scope="module")
def coffee(examples):
    return open_photo(examples / "coffee.png")


def mask_file(folder, pixels):
    Image.fromarray(pixels).save(folder / "mask.png")
    return folder / "mask.png"


def chroma_error(ab, other):
    return float(np.hypot(*(ab - other)).mean())


def test_all_of_a_photos_own_code_gives_its_own_colours(shipped_colorizer, coffee):
    own = coffee.lab(64, 64)[1:]
    reference = shipped_colorizer.reference(coffee)
    (sample,) = shipped_colorizer.condition(coffee).transfer(reference, noise=0)
    assert chroma_error(sample.ab, own) < 0.1
    assert np.hypot(*own).mean() > 10


def test_a_transfer_moves_colours_towards_the_reference(shipped_colorizer, examples, coffee):
    """Coffee is brown; under its code a rock, which may have many colours, is browner than in samples."""
    conditioned = shipped_colorizer.condition(examples / "canyon-wren.jpg")
    reference = shipped_colorizer.reference(coffee)
    samples = conditioned.transfer(reference, n=2, temperature=0.5, seed=3)
    assert [sample.seed for sample in samples] == [3, 4]
    assert chroma_error(samples[0].ab, samples[1].ab) > 0.1
    goal = coffee.lab(64, 64)[1:].mean((1, 2))
    for sample, drawn in zip(samples, conditioned.sample(n=2, temperature=0.5, seed=3), strict=True):
        distances = [np.hypot(*(s.ab.mean((1, 2)) - goal)) for s in (sample, drawn)]
        assert distances[0] < 0.7 * distances[1]


def test_noise_alone_is_a_sample(colorizer, conditioned, coffee):
    reference = colorizer.reference(coffee)
    (sample,) = conditioned.transfer(reference, noise=1, temperature=0.7, seed=5)
    (drawn,) = conditioned.sample(1, 0.7, 5)
    np.testing.assert_array_equal(sample.ab, drawn.ab)
    assert sample.log_prob == drawn.log_prob


@pytest.mark.parametrize("noise", [-0.1, 1.1, {32: 1.1}, {3: 1.0}])
def test_impossible_shares_of_noise(colorizer, conditioned, coffee, noise):
    with pytest.raises(ValueError, match=r"noise|level 3"):
        conditioned.transfer(colorizer.reference(coffee), noise=noise)


def test_a_reference_needs_colours(colorizer):
    with pytest.raises(PhotoError, match="gray, with no colours"):
        colorizer.reference(GRAY)
    with pytest.raises(PhotoError, match="gray, with no colours"):
        colorizer.reference(np.stack([GRAY] * 3, axis=-1))


@pytest.mark.parametrize("upright", [False, True])
def test_references_and_targets_of_other_shapes(colorizer, upright):
    long = COLOR[:100, :280]
    long = open_photo(np.ascontiguousarray(np.swapaxes(long, 0, 1) if upright else long))
    own = long.lab(64, 64)[1:]
    (sample,) = colorizer.condition(long).transfer(colorizer.reference(long), noise=0)
    assert chroma_error(sample.ab, own) < 0.1
    (colorization,) = colorizer.compose(long, [sample])
    assert colorization.rgb.shape == (long.height, long.width, 3)


@pytest.mark.ci
def test_variations_resemble_their_sample_more_than_others_do(shipped_colorizer, photo):
    """Their details are those of their own seeds, their coarse colours near those of the sample."""
    conditioned = shipped_colorizer.condition(photo)
    (like,) = conditioned.sample(1, seed=17)
    near, others = conditioned.vary(17, n=4), conditioned.sample(4, seed=18)
    assert [sample.seed for sample in near] == [18, 19, 20, 21]
    for sample, other in zip(near, others, strict=True):
        assert 0.5 < chroma_error(sample.ab, like.ab) < 0.75 * chroma_error(other.ab, like.ab)
        np.testing.assert_array_equal(sample.levels[32], other.levels[32])


def test_a_sample_is_the_variation_of_itself(conditioned):
    (like,), (itself,) = conditioned.sample(1, 0.6, 17), conditioned.vary(17, 1, temperature=0.6, seed=17)
    np.testing.assert_array_equal(itself.ab, like.ab)


def test_variations_of_a_long_photo(colorizer):
    conditioned = colorizer.condition(GRAY[:100, :280])
    (like,), (near,) = conditioned.sample(seed=3), conditioned.vary(3)
    assert near.ab.shape == like.ab.shape
    (other,) = conditioned.sample(seed=4)
    assert chroma_error(near.ab, like.ab) < chroma_error(other.ab, like.ab)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"like": -1}, "like must be 0 or more"),
        ({"like": 2**63, "seed": 0}, "no seed may exceed"),
        ({"like": 1, "fresh": 1.1}, "noise must be"),
    ],
)
def test_impossible_variations(conditioned, given, message):
    with pytest.raises(ValueError, match=message):
        conditioned.vary(**given)


def test_a_mix_has_one_sample_inside_and_the_other_outside(colorizer, conditioned):
    mask = colorizer.mask(INSIDE)
    inside, outside = conditioned.sample(1, 0.9, 1)[0].ab, conditioned.sample(1, 0.9, 6)[0].ab
    assert chroma_error(inside, outside) > 5
    mix = conditioned.mix((1, 6), mask, 0.9)
    for part, own, other in ((np.s_[..., :24], inside, outside), (np.s_[..., 24:], outside, inside)):
        assert chroma_error(mix.ab[part], own[part]) < 0.3 * chroma_error(mix.ab[part], other[part])
    for same in (mix, conditioned.mix(np.array([1, 6]), mask, 0.9)):
        assert (repr(same.seed), same.recipe["outside_seed"]) == ("1", "6")
        assert same.ab.tobytes() == mix.ab.tobytes()


@pytest.mark.parametrize(
    ("seeds", "error", "message"),
    [
        (1, TypeError, "seeds must be two integers, one inside and one outside, not 1"),
        ((1, 2.5), TypeError, r"seed must be an integer, not 2\.5"),
        ((1, -1), ValueError, "seed must be 0 or more, not -1"),
        ((1, 2, 3), ValueError, "a mix has two seeds, one inside and one outside, not 3"),
    ],
)
def test_a_mix_has_two_seeds(colorizer, conditioned, seeds, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        conditioned.mix(seeds, colorizer.mask(INSIDE))


def test_the_fine_levels_of_a_mix_are_those_of_the_sample_on_either_side(colorizer, conditioned):
    inside, outside = (conditioned.sample(1, 0.9, seed)[0].levels for seed in (1, 6))
    mixed = conditioned.mix((1, 6), colorizer.mask(INSIDE), 0.9).levels
    for r in (32, 16):
        border = 24 * r // 64
        np.testing.assert_allclose(mixed[r][..., :border], inside[r][..., :border], atol=0.01)
        np.testing.assert_allclose(mixed[r][..., border:], outside[r][..., border:], atol=0.01)


def test_a_mix_of_a_long_photo(colorizer):
    sample = colorizer.condition(GRAY[:100, :280]).mix((1, 2), colorizer.mask(INSIDE))
    assert sample.ab.shape == (2, 64, 64)


@pytest.mark.parametrize(("value", "message"), [(0, "black"), (255, "white")])
def test_masks_with_nothing_in_them(colorizer, value, message):
    with pytest.raises(PhotoError, match=f"is {message} all over"):
        colorizer.mask(np.full((64, 64), value, np.uint8))


def test_masks_of_another_shape(colorizer, photo, tmp_path):
    with pytest.raises(PhotoError, match=r"64x64 pixels and does not fit the photo's 300x240"):
        Mix(mask_file(tmp_path, INSIDE), 2, temperature=0.8, seed=1).samples(colorizer, photo)


def test_ranking_and_picking(colorizer, conditioned, photo):
    samples = conditioned.sample(4, 0.9, 10)
    four = Sampling(Rank.log_prob, number=4, temperature=0.9, seed=10)
    ranked = four.samples(colorizer, photo)
    assert [s.log_prob for s in ranked] == sorted((s.log_prob for s in samples), reverse=True)
    picked = replace(four, pick=2).samples(colorizer, photo)
    assert [s.seed for s in picked] == [s.seed for s in ranked[:2]]
    assert [s.seed for s in likeliest(samples)] == [s.seed for s in ranked]
    assert [s.seed for s in replace(four, rank=None, number=2).samples(colorizer, photo)] == [10, 11]


def test_a_strip_scales_one_code(colorizer, conditioned, photo):
    strip = Strip((0.0, 1.0), temperature=0.8, seed=7)
    cold, warm = strip.samples(colorizer, photo)
    assert not any(z.any() for z in cold.latent.levels.values())
    np.testing.assert_array_equal(warm.ab, conditioned.sample(1, 1.0, 7)[0].ab)
    image = strip.draw(colorizer, photo).image
    assert image.width > 2 * image.height

    (sample,) = replace(strip, temperatures=(0.5,), scaled=(8,)).samples(colorizer, photo)
    noise = Latent.draw(conditioned.latent_shapes, [7])
    for r, z in sample.latent.levels.items():
        assert torch.allclose(z, noise.levels[r] * (0.5 if r == 8 else 0.8))
    with pytest.raises(ValueError, match="no level 3"):
        Strip((0.5,), (3,)).samples(colorizer, photo)


def test_a_grid_shows_what_colorize_draws(colorizer, conditioned, photo):
    chart = Grid(Successive(3), temperature=0.8, seed=5).draw(colorizer, photo)
    expected = conditioned.sample(3, 0.8, 5)
    np.testing.assert_array_equal(conditioned.decode(chart.codes), [sample.ab for sample in expected])
    assert chart.image.width > 3 * 160


def test_a_grid_between_codes(colorizer, conditioned, tmp_path):
    shapes = conditioned.latent_shapes
    source = LatentSource(colorizer, shapes, 0.8)
    codes, labels = Interpolated(3, (4, 9)).codes(source, 0)
    assert labels == ["seed 4", "0.50", "seed 9"]
    ends = Latent.draw(shapes, [4, 9], 0.8)
    assert torch.allclose(codes.levels[8][[0, 2]], ends.levels[8], atol=1e-6)

    ends[1:].save(tmp_path / "nine.safetensors", "natural", colorizer.sha256)
    again, labels = Interpolated(3, (4, tmp_path / "nine.safetensors")).codes(source, 0)
    assert torch.allclose(again.levels[8], codes.levels[8], atol=1e-6)
    assert labels[2] == "nine"

    corners, labels = Interpolated(2, (1, 2, 3, 4)).codes(source, 0)
    assert labels == ["seed 1", "seed 2", "seed 3", "seed 4"]
    assert torch.allclose(corners.levels[8], Latent.draw(shapes, [1, 2, 3, 4], 0.8).levels[8], atol=1e-6)


def test_a_grid_of_one_level_drawn_anew(colorizer, conditioned, photo):
    source = LatentSource(colorizer, conditioned.latent_shapes, 0.8)
    codes, labels = Varied(3, 8).codes(source, 5)
    assert labels == ["seed 5", "level 8: seed 6", "level 8: seed 7"]
    assert torch.equal(codes.levels[32][0], codes.levels[32][2])
    assert not torch.equal(codes.levels[8][0], codes.levels[8][1])
    with pytest.raises(ValueError, match="no level 3"):
        Grid(Varied(3, 3)).draw(colorizer, photo)


def test_a_grid_of_a_file(colorizer, conditioned, tmp_path, caplog):
    path, source = tmp_path / "z.safetensors", LatentSource(colorizer, conditioned.latent_shapes, 0.8)
    drawn = Latent.draw(source.shapes, [1, 2, 3])
    drawn.save(path, "natural", "another")
    codes, labels = Successive(None, path).codes(source, 0)
    assert torch.equal(codes.levels[16], drawn.levels[16])
    assert labels == ["code 1", "code 2", "code 3"]
    assert "made with other weights" in caplog.text
    with pytest.raises(LatentError, match="no such file"):
        Successive(None, tmp_path / "none.safetensors").codes(source, 0)


def test_sheets_show_what_was_joined(colorizer, photo, examples, tmp_path):
    mask = mask_file(tmp_path, np.asarray(Image.fromarray(INSIDE).resize((300, 240))))
    tiles = Mix(mask, 2, seed=1).first_tiles(colorizer, photo)
    assert [label for _, label in tiles] == ["mask", "inside: seed 1", "outside: seed 2"]
    tiles = Transfer(examples / "coffee.png").first_tiles(colorizer, photo)
    assert [label for _, label in tiles] == ["reference", "gray"]
    assert not np.ptp(np.asarray(tiles[1][0]), axis=-1).max() > 1


def test_sheets_show_samples_as_the_pictures_are_rendered(colorizer, photo, tmp_path):
    mask = mask_file(tmp_path, np.asarray(Image.fromarray(INSIDE).resize((300, 240))))
    for method, samples in ((Mix(mask, 2, seed=1), [1, 2]), (Variation(like=5, fresh=0.3), [1])):
        for saturation in (0, 1):
            rendered = replace(method, rendering=Rendering(saturation=saturation))
            tiles = rendered.first_tiles(colorizer, photo)
            spread = [np.ptp(np.asarray(tiles[i][0]).astype(int), axis=-1).max() for i in samples]
            assert all((value > 1) == bool(saturation) for value in spread)


def test_the_coarse_code_of_a_mix_is_that_of_the_joined_colours(colorizer):
    conditioned, mask = colorizer.condition(GRAY), colorizer.mask(INSIDE)
    inside, outside = (conditioned.sample(1, 0.9, seed)[0].ab for seed in (1, 6))
    joined = conditioned.encode(mask.share * inside + (1 - mask.share) * outside).levels[8]
    mixed = conditioned.mix((1, 6), mask, 0.9).latent.levels[8]
    np.testing.assert_allclose(mixed, joined, atol=1e-5)


def test_a_reference_is_encoded_once_for_each_network(narrow_weights, examples, monkeypatch):
    """Codes belong to the weights and the guidance that they were made with."""
    loaded = load_model("natural", narrow_weights)
    plain, guided = (Colorizer(loaded, device="cpu", guidance=weight) for weight in (0.0, 0.75))
    other = copy.copy(plain)
    other.sha256 = "1" * 64
    method, encoded = Transfer(examples / "coffee.png", noise=0.0), []
    encode = transfer_module.encode_reference
    monkeypatch.setattr(
        transfer_module, "encode_reference", lambda *given: encoded.append(given) or encode(*given)
    )
    photo = open_photo(GRAY)
    colorizers = (plain, guided, plain, guided, other)
    drawn = [replace(method, seed=3).samples(each, photo)[0] for each in colorizers]
    assert len(encoded) == 3
    (fresh,) = Transfer(examples / "coffee.png", noise=0.0, seed=3).samples(guided, photo)
    np.testing.assert_array_equal(drawn[1].ab, fresh.ab)
    np.testing.assert_array_equal(drawn[0].ab, drawn[2].ab)
