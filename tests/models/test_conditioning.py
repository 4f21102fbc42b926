"""The backbone compared with timm's, the features and the heads."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import needs, stir

from cinn_colorize.imaging.color import lab_to_srgb, pixels_to_lab
from cinn_colorize.models.conditioning.backbone import (
    FEATURES,
    LITE0,
    LITE2,
    Classifier,
    EfficientNetLite,
    SameConv,
    gray_input,
    relu6,
)
from cinn_colorize.models.conditioning.gamut import STEP, ChromaBounds, ColorBins, rarity
from cinn_colorize.models.conditioning.pyramid import FeaturePyramid, GlobalContext, LevelHead, SelfAttention
from cinn_colorize.models.natural_config import LevelConfig, NaturalConfig


@pytest.mark.parametrize(("variant", "stages"), [(0, LITE0), (2, LITE2)])
def test_backbone_equals_timm(variant, stages):
    timm = needs("timm")
    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_efficientnet_lite{variant}", pretrained=False)
    for module in theirs.modules():  # statistics of a trained network are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    theirs = theirs.eval().double()
    ours = EfficientNetLite(stages).eval().double()
    ours.load_pretrained(theirs.state_dict())
    rgb = 2 * torch.rand(1, 3, 128, 96, dtype=torch.float64) - 1
    with torch.no_grad():
        expected = theirs.forward_intermediates(rgb, indices=[1, 2, 3, 4], intermediates_only=True)
        features = ours(rgb)
        classifier = Classifier(theirs.state_dict()).double()
        penultimate = theirs.forward_head(theirs.forward_features(rgb), pre_logits=True)
        assert (classifier.penultimate(features[32]) - penultimate).abs().max() < 1e-5
        assert (classifier(features[32]) - theirs(rgb)).abs().max() < 1e-5
    for (stride, feature), reference in zip(features.items(), expected, strict=True):
        assert feature.shape[2:] == (128 // stride, 96 // stride)
        assert reference.std() > 1e-3
        assert (feature - reference).abs().max() < 1e-5
    if variant == 2:
        assert {stride: feature.shape[1] for stride, feature in features.items()} == FEATURES


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_way_to_a_gradient_does_not_change_features(kernel):
    torch.manual_seed(0)
    layer = SameConv(4, 4, kernel, stride=2, groups=4).double()
    x = torch.randn(2, 4, 8, 12, dtype=torch.float64)
    learnt = layer(x.requires_grad_())
    assert learnt.shape == (2, 4, 4, 6)
    torch.testing.assert_close(layer(x.detach()), learnt)
    assert torch.autograd.gradcheck(layer, (x,))


def test_relu6_and_its_gradient_are_those_of_torch_for_every_number_of_16_bits():
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.bfloat16)
    every = every[~every.isnan()].view(-1, 2, 1, 1).contiguous(memory_format=torch.channels_last)
    weights = torch.randn(every.shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = []
    for function in (relu6, F.relu6):
        x = every.clone().requires_grad_()
        y = function(x.clone())
        (gradient,) = torch.autograd.grad(y, x, weights)
        found.append((y, gradient))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


def test_gray_input_is_gray_srgb_of_that_luminance():
    L = torch.linspace(0, 100, 101)
    lab = torch.stack([L, torch.zeros_like(L), torch.zeros_like(L)], dim=1)
    expected = torch.from_numpy(lab_to_srgb(lab.numpy())).mean(1)
    made = (gray_input(L.reshape(1, 1, 1, -1))[0, :, 0] + 1) / 2
    assert (made - expected).abs().max() < 2e-4
    assert torch.equal(made[0], made[2])


def test_pyramid_shapes_and_what_finest_leaves_out():
    pyramid = FeaturePyramid(attention={8: 1}).eval()
    features = {s: torch.randn(2, c, 256 // s, 256 // s) for s, c in FEATURES.items()}
    L = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        whole, part = pyramid(features, L), pyramid(features, L, finest=32)
    assert {r: p.shape for r, p in whole.items()} == {
        r: (2, c, r, r) for r, c in FeaturePyramid.CHANNELS.items()
    }
    assert set(whole) - set(part) == {64}
    assert all(torch.equal(part[r], whole[r]) for r in part)


@pytest.mark.parametrize(
    "module", [SelfAttention(64, 4, blocks=2), GlobalContext(64)], ids=["attention", "context"]
)
def test_what_ties_distant_pixels_starts_as_the_identity(module):
    module.eval()
    x = torch.randn(2, 64, 4, 4)
    with torch.no_grad():
        assert (module(x) - x).abs().max() < 1e-6
        far = x.clone()
        far[:, :, 3, 3] += torch.randn(64)
        stir(module)
        assert (module(x) - module(far))[:, :, 0, 0].abs().min(1).values.max() > 0
        assert (module(x[1:]) - module(x)[1:]).abs().max() < 1e-5
        assert (module.train()(x) - module.eval()(x)).abs().max() < 1e-5


def test_a_head_sees_coarser_colours_within_its_limit():
    config = NaturalConfig({4: LevelConfig(1, 8, 8)}, chroma_limit=45.0)  # x within +-3
    head = stir(LevelHead(4, config, {8: 10})).eval()
    prepared = head.prepare(torch.randn(1, 10, 8, 8), torch.randn(1, 4, 4, 4))
    colours = torch.randn(1, 2, 4, 4).clamp(-2, 2)
    colours[0, 0, 1, 2], colours[0, 1, 3, 0] = 3, -3
    beyond = torch.where(colours.abs() == 3, 100 * colours, colours)
    within = torch.where(colours.abs() == 3, 0.9 * colours, colours)
    with torch.no_grad():
        found, far, near = (head(prepared, seen)[0] for seen in (colours, beyond, within))
    assert torch.equal(far, found)
    assert (near - found).abs().max() > 1e-4


def cube(n):
    line = np.linspace(0, 255, n).astype(np.uint8)
    return np.stack(np.meshgrid(line, line, line), axis=-1).reshape(1, -1, 3)


def test_every_colour_of_srgb_lies_within_the_bounds_at_its_lightness():
    L, a, b = torch.from_numpy(pixels_to_lab(cube(52)))
    low_a, low_b, high_a, high_b = ChromaBounds()(L[None, None])[0]
    assert max((low_a - a).max(), (low_b - b).max(), (a - high_a).max(), (b - high_b).max()) < 0.5
    assert min((a - low_a).min(), (b - low_b).min(), (high_a - a).min(), (high_b - b).min()) < 1
    assert ChromaBounds()(torch.tensor([100.0]).reshape(1, 1, 1, 1)).abs().max() < 30


def test_bounds_of_a_mean_lightness_hold_for_the_mean_of_the_colours():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    L, a, b = torch.from_numpy(pixels_to_lab(rgb)).reshape(3, 1, 1, 64, 64)
    mean = [torch.nn.functional.avg_pool2d(plane, 4) for plane in (L, a, b)]
    low_a, low_b, high_a, high_b = ChromaBounds()(mean[0])[0]
    for values, low, high in ((mean[1], low_a, high_a), (mean[2], low_b, high_b)):
        assert (low - values).max() < 0
        assert (values - high).max() < 0


def test_bins_cover_the_gamut():
    bins = ColorBins()
    _, a, b = torch.from_numpy(pixels_to_lab(cube(40)))
    distance = torch.cdist(torch.stack([a, b], dim=-1)[0], bins.centres)
    assert distance.min(1).values.max() < STEP / 2 * 2**0.5 + 0.5
    assert len(bins) == 261


def test_soft_encoding_prefers_the_nearest_bin():
    bins = ColorBins()
    ab = torch.tensor([[10.0, -20.0], [12.0, -20.0]])[:, :, None, None]
    indices, weights = bins.encode(ab)
    assert weights.sum(1).allclose(torch.ones(2, 1, 1))
    assert bins.centres[indices[:, 0, 0, 0]].tolist() == [[10, -20], [10, -20]]
    sure = torch.full((2, len(bins), 1, 1), -50.0).scatter(1, indices, weights.log())
    entropy = -(weights * weights.log()).sum(1)
    assert bins.cross_entropy(sure, ab).allclose(entropy, atol=1e-4)
    assert bins.cross_entropy(torch.zeros_like(sure), ab)[0, 0, 0].item() == pytest.approx(np.log(261))
    assert bins.annealed_mean(sure, 0.01)[:, :, 0, 0].tolist() == [[10, -20], [10, -20]]
    assert bins.counts(ab).sum().item() == pytest.approx(2)


def test_rare_bins_weigh_more_and_the_mean_weight_is_one():
    prior = torch.tensor([0.9, 0.09, 0.01])
    weights = rarity(prior)
    assert weights[2] > weights[1] > weights[0]
    assert (weights * prior).sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="must add up to 1"):
        rarity(2 * prior)
