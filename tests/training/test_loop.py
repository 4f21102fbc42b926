"""The loop: how far a step goes, at which rate each group learns, and what is kept."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from helpers import stir
from narrow import NARROW_NATURAL
from tiny_run import CONFIG, CPU, TinyTask, build

from cinn_colorize.data.sources import find_photos
from cinn_colorize.models.natural import Natural
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.natural import NaturalTask, NaturalTraining

STEPS = 6
SHORT = replace(CONFIG, photos=STEPS * CONFIG.batch, warmup=0, weight_decay=0.0)


class Descent(TinyTask):
    """Plain gradient descent, whose steps are the gradients times the rate, and a loss that is too steep."""

    exploding = float("inf")

    def optimizer(self, model, groups, config, precision):
        return torch.optim.SGD(
            [{"params": parameters, "factor": factor} for parameters, factor in groups], 1.0
        )

    def losses(self, model, batch, config, noise, precision):
        losses = super().losses(model, batch, config, noise, precision)
        return losses | {"loss": 100 * losses["loss"]}


class Apart(Descent):
    """The head learns at a quarter of the rate."""

    def learning(self, model, config):
        return [(list(model.flow.parameters()), 1.0), (list(model.head.parameters()), 0.25)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(4):
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(small, (80, 70), interpolation=cv2.INTER_CUBIC))
    return find_photos(folder)


def flat(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def history(task, config, folder):
    """Weights at first and after each step, the model that is returned, and each step's gradient norm."""
    model, norms = stir(build()), []  # or the head would have no gradient
    weights = [(flat(model.flow), flat(model.head))]

    def report(progress):
        weights.append((flat(model.flow), flat(model.head)))
        norms.append(progress.gradient_norm)

    options = RunOptions(CPU, workers=0, report=report, report_seconds=-1)
    return weights, train(model, task, config, folder, options), norms


def moves(weights):
    """How far each step moves the flow and the head."""
    steps = (zip(before, after, strict=True) for before, after in pairwise(weights))
    return [[(b - a).norm().item() for a, b in step] for step in steps]


def test_no_step_is_longer_than_the_rate_times_the_largest_norm(photos, tmp_path):
    weights, _, norms = history(Descent(photos), replace(SHORT, clip=0.5), tmp_path)
    assert min(norms) > 5
    for step, (of_flow, of_head) in enumerate(moves(weights)):
        rate = SHORT.rate(step * SHORT.batch)
        assert np.hypot(of_flow, of_head) == pytest.approx(0.5 * rate, rel=1e-2, abs=1e-9)


def test_a_gradient_below_the_largest_norm_is_left_alone(photos, tmp_path):
    weights, _, norms = history(Descent(photos), replace(SHORT, clip=1e9, learning_rate=1e-6), tmp_path)
    rates = [1e-6 * SHORT.rate(step * SHORT.batch) / SHORT.learning_rate for step in range(STEPS)]
    found = [np.hypot(*move) / rate for move, rate in zip(moves(weights)[1:], rates[1:], strict=True)]
    assert found == pytest.approx(norms[1:], rel=0.05)


def test_each_group_learns_at_its_share_of_the_rate(photos, tmp_path):
    """At the first step that moves anything, both runs have the gradients of the same weights."""
    config = replace(SHORT, clip=1e9, learning_rate=1e-4)
    alike, apart = (
        moves(history(kind(photos), config, tmp_path / kind.__name__)[0]) for kind in (Descent, Apart)
    )
    first = next(i for i, (flow, head) in enumerate(alike) if flow and head)
    assert apart[first][0] == pytest.approx(alike[first][0], rel=1e-2)
    assert apart[first][1] == pytest.approx(alike[first][1] / 4, rel=1e-2)


def test_the_average_over_the_run_is_what_comes_of_it(photos, tmp_path):
    weights, returned, _ = history(TinyTask(photos), replace(SHORT, ema=0.6), tmp_path)
    after = [torch.cat(parts) for parts in weights[1:]]
    average = after[0]  # the first step's weights are taken as they are
    for updates, current in enumerate(after[1:], 1):
        decay = min(0.6, (1 + updates) / (10 + updates))
        average = decay * average + (1 - decay) * current
    found = torch.cat([flat(returned.flow), flat(returned.head)])
    assert (found - average).abs().max() < 1e-6
    assert (found - after[-1]).abs().max() > 1e-4
    assert not returned.training


@pytest.mark.parametrize("kind", ["Adam", "Muon"])
def test_weights_without_a_gradient_decay(kind):
    """The prior of Eq. 6, decoupled: a step shrinks each weight by the rate times the decay."""
    if kind == "Adam":
        task, model, config = TinyTask([]), stir(build()), replace(CONFIG, weight_decay=0.25)
    else:
        task, model, config = (
            NaturalTask([]),
            stir(Natural(NARROW_NATURAL)),
            NaturalTraining(weight_decay=0.25),
        )
    groups = task.learning(model, config)
    optimizer = task.optimizer(model, groups, config, torch.float32)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    learning = [parameter for parameters, _ in groups for parameter in parameters]
    before = [parameter.detach().clone() for parameter in learning]
    for parameter in learning:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, was in zip(learning, before, strict=True):
        torch.testing.assert_close(parameter.detach(), 0.975 * was)
