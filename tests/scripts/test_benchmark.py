"""The benchmark compares FrEIA on the same function with equally many parameters."""

from dataclasses import replace

import pytest
import torch
from helpers import needs

from cinn_colorize.models.imagenet_vgg import ImagenetVggConfig

needs("FrEIA")
from flows import SHAPE, Pair, drawn  # noqa: E402


def narrow_authors():
    """Squeezes, 1x1 couplings and a Haar step, of few channels."""
    config = ImagenetVggConfig.authors()
    stages = {r: replace(s, width=8, pointwise=min(s.pointwise, 8)) for r, s in config.stages.items()}
    return replace(config, stages=stages, network=(16, 32, 64, 64))


@pytest.mark.parametrize("config", [ImagenetVggConfig.narrow(), narrow_authors()], ids=["paper", "authors"])
def test_the_stack_in_freia_is_ours(config):
    pair = Pair(config)
    assert pair.parameters() > 0
    x, given = torch.randn(2, *SHAPE), drawn(pair.conditions, 1)
    both = [condition.expand(2, *condition.shape[1:]) for condition in given]
    with torch.no_grad():
        z, log_det = pair.forward(x, both)
        peer_z, peer_log_det = pair.peer(x, both)
        assert torch.allclose(log_det, peer_log_det, rtol=1e-4, atol=1e-2)
        for ours, peer in zip(z, peer_z, strict=True):
            assert torch.allclose(ours.flatten(), peer.flatten(), atol=1e-4)
        for samples in (pair.inverse(z, given, 2), pair.inverse(z, given, 1), pair.peer_inverse(z, given)):
            assert torch.allclose(samples, x, atol=1e-3)
