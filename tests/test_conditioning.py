"""The backbone against timm's, the features and the heads."""

import pytest
import torch

from cinn_colorize.color import lab_to_srgb
from cinn_colorize.conditioning import ColourAttention, EfficientNetLite2, FeaturePyramid, gray_input
from cinn_colorize.conditioning.backbone import FEATURES
from cinn_colorize.conditioning.pyramid import CHANNELS


def test_backbone_equals_timm():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model(
        "tf_efficientnet_lite2", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
    )
    for module in theirs.modules():  # statistics of a trained network are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    theirs = theirs.eval().double()
    ours = EfficientNetLite2().eval().double()
    ours.load_pretrained(theirs.state_dict())
    rgb = 2 * torch.rand(1, 3, 128, 96, dtype=torch.float64) - 1
    with torch.no_grad():
        expected, features = theirs(rgb), ours(rgb)
    for (stride, feature), reference in zip(features.items(), expected, strict=True):
        assert feature.shape == (1, FEATURES[stride], 128 // stride, 96 // stride)
        assert reference.std() > 1e-3
        assert (feature - reference).abs().max() < 1e-5


def test_gray_input_is_gray_srgb_of_that_luminance():
    L = torch.linspace(0, 100, 101)
    lab = torch.stack([L, torch.zeros_like(L), torch.zeros_like(L)], dim=1)
    expected = torch.from_numpy(lab_to_srgb(lab.numpy())).mean(1)
    made = (gray_input(L.reshape(1, 1, 1, -1))[0, :, 0] + 1) / 2
    assert (made - expected).abs().max() < 2e-4
    assert torch.equal(made[0], made[2])


def test_pyramid_shapes_and_what_finest_leaves_out():
    pyramid = FeaturePyramid(dropout=0.1).eval()
    features = {s: torch.randn(2, c, 256 // s, 256 // s) for s, c in FEATURES.items()}
    L = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        whole, part = pyramid(features, L), pyramid(features, L, finest=32)
    assert {r: p.shape for r, p in whole.items()} == {r: (2, c, r, r) for r, c in CHANNELS.items()}
    assert set(whole) - set(part) == {64}
    assert all(torch.equal(part[r], whole[r]) for r in part)


def test_attention_is_a_weighted_mean_of_colours():
    attention = ColourAttention(4, query_channels=10, key_channels=12)
    weights = attention.weights(torch.randn(2, 10, 8, 8), torch.randn(2, 12, 4, 4))
    assert torch.allclose(weights.sum(-1), torch.ones(2, attention.heads, 64), atol=1e-5)
    colours = torch.randn(2, 2, 4, 4)
    attended = attention(weights, colours)
    assert attended.shape == (2, 2 * attention.heads, 8, 8)
    by_hand = sum(weights[1, 3, 8 * 2 + 5, k] * colours[1, 1, k // 4, k % 4] for k in range(16))
    assert attended[1, 2 * 3 + 1, 2, 5].item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert torch.allclose(attention(weights, torch.full_like(colours, 0.3)), torch.tensor(0.3), atol=1e-5)


def test_attention_prefers_what_is_near():
    attention = ColourAttention(4, query_channels=10, key_channels=12)
    torch.nn.init.zeros_(attention.query.weight)
    weights = attention.weights(torch.randn(1, 10, 8, 8), torch.randn(1, 12, 4, 4))
    assert (weights[0, :, 0].argmax(-1) == 0).all()  # the corner looks at the corner
    assert (weights[0, :, 63].argmax(-1) == 15).all()
