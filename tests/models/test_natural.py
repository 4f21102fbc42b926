"""The default model: its shipped weights, its levels, its configuration."""

from dataclasses import replace

import pytest
import torch
from helpers import check_independence, stir
from narrow import NARROW_NATURAL

from cinn_colorize.engines.pytorch import TorchNetwork
from cinn_colorize.models.natural import Natural


def inputs(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    L = torch.rand(n, 1, 8, 8, generator=generator, dtype=dtype) * 100
    L = torch.nn.functional.interpolate(L, size=(256, 256), mode="bicubic").clamp(0, 100)
    return L, torch.randn(n, 2, 64, 64, generator=generator, dtype=dtype)


@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-4), (True, 1e-9)], ids=["fp32", "fp64"])
def test_round_trip_of_the_shipped_weights(shipped_colorizer, double, tolerance):
    dtype = torch.float64 if double else torch.float32
    L, x = inputs(2, dtype)
    model = Natural(shipped_colorizer.model.config)
    model.load_state_dict(shipped_colorizer.model.state_dict())
    model = model.to(dtype).eval()
    with torch.no_grad():
        condition = model.condition(L)
        back, _ = model.inverse(model(x, condition)[0], condition)
        latents = {r: torch.randn(2, *shape, dtype=dtype) for r, shape in model.latent_shapes.items()}
        again, _ = model(model.inverse(latents, condition)[0], condition)
    assert (back - x).abs().max() < tolerance
    assert max((again[r] - latents[r]).abs().max() for r in latents) < 100 * tolerance


def test_coarser_levels_alone_are_the_same():
    model = stir(Natural(NARROW_NATURAL)).double().eval()
    L, x = inputs(1)
    with torch.no_grad():
        whole, _ = model(x, model.condition(L))
        part, _ = model(x, model.condition(L, finest=16))
    assert set(whole) - set(part) == {32}
    assert all(torch.equal(part[r], whole[r]) for r in part)


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    torch.manual_seed(0)
    model = stir(Natural(NARROW_NATURAL)).eval().requires_grad_(False)
    check_independence(TorchNetwork(model, 256, torch.device("cpu")))


def test_guidance_changes_the_coarse_colours_and_stays_invertible():
    torch.manual_seed(0)
    model = stir(Natural(NARROW_NATURAL)).double().eval().requires_grad_(False)
    plain = model.condition(50 + 50 * torch.rand(2, 1, 256, 256, dtype=torch.float64))
    guided = model.guided(plain, 0.5)
    latents = {r: torch.randn(2, *shape, dtype=torch.float64) for r, shape in model.latent_shapes.items()}
    x, _ = model.inverse(latents, guided)
    assert (x - model.inverse(latents, plain)[0]).abs().max() > 1e-3
    assert torch.equal(model.inverse(latents, model.guided(plain, 0))[0], model.inverse(latents, plain)[0])
    back, _ = model(x, guided)
    assert max((back[r] - latents[r]).abs().max() for r in latents) < 1e-9


def test_what_is_begun_is_finished_as_the_inverse_does():
    torch.manual_seed(0)
    model = stir(Natural(NARROW_NATURAL)).double().eval().requires_grad_(False)
    condition = model.condition(50 + 50 * torch.rand(2, 1, 256, 256, dtype=torch.float64))
    latents = {r: torch.randn(2, *shape, dtype=torch.float64) for r, shape in model.latent_shapes.items()}
    x, log_dets = model.inverse(latents, condition)
    again, again_log_dets = model.finish(latents, condition, ())  # not begun
    assert torch.allclose(x, again, atol=1e-9)
    assert torch.allclose(sum(log_dets.values()), sum(again_log_dets.values()))


def test_scales_of_details_end_at_their_limit():
    model, condition = Natural(replace(NARROW_NATURAL, scale_limit=0.7)), torch.zeros(1, 24, 1, 1)
    condition[:, 6:12] = 50.0  # log-scales
    for r in model.resolutions:
        _, log_det = model.details(r).flow.maps[0].inverse(torch.zeros(1, 6, 1, 1), condition)
        assert log_det.item() == pytest.approx(6 * 0.7)


def test_a_backbone_may_see_photos_enlarged():
    # What follows it sees the same shapes, and a photo in one tone is the same at any size.
    models = [stir(Natural(replace(NARROW_NATURAL, sight=sight)).eval()) for sight in (256, 320)]
    models[1].load_state_dict(models[0].state_dict())
    L = torch.linspace(20, 80, 256).expand(1, 1, 256, 256)
    with torch.no_grad():
        plain, enlarged = (model.features(L) for model in models)
        tone = [model.features(torch.full((1, 1, 256, 256), 50.0))[8][..., 8:24, 8:24] for model in models]
    assert {s: f.shape for s, f in plain.items()} == {s: f.shape for s, f in enlarged.items()}
    assert not torch.allclose(plain[16], enlarged[16], atol=1e-3)
    torch.testing.assert_close(*tone, atol=1e-3, rtol=1e-3)
    assert models[1].seen(L).shape == (1, 3, 320, 320)
