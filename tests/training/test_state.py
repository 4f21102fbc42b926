"""The state of a run: a checkpoint holds all of it, and restores all of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import CONFIG, TinyTask, build

from cinn_colorize.errors import CinnError, DataError, DivergedError
from cinn_colorize.training.choices import Stage
from cinn_colorize.training.state import (
    MAX_RETURNS,
    NAMED,
    RunState,
    checkpoints,
    load_newest,
    load_resumable,
    save_checkpoint,
    settings_to_resume,
)


def begun(run, steps=0):
    """A run after some steps of random gradients, the last of which was skipped."""
    task, model = TinyTask([]), build()
    optimizer = task.optimizer(model, task.learning(model, CONFIG), CONFIG, torch.float32)
    state = RunState(run, model, optimizer, task, CONFIG, torch.float32)
    for step in range(steps):
        state.seen += CONFIG.batch
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        if not state.judge(1.0, float("nan") if step == steps - 1 else 1.0 + step):
            state.optimizer.step()
            state.average.update_parameters(model)
    return state


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def tensors(state):
    averages, moments = state["average"].values(), state["optimizer"]["state"].values()
    return [*state["model"].values(), *averages, *(tensor for each in moments for tensor in each.values())]


def test_all_of_a_state_comes_back(tmp_path):
    state, fresh = begun(tmp_path, steps=4), begun(tmp_path)
    state.skip(["a.png: damaged", "a.png: damaged"])
    save_checkpoint(tmp_path, state.state_dict())
    fresh.load_state_dict(load_newest(tmp_path))
    one, other = state.state_dict(), fresh.state_dict()
    assert one.keys() == other.keys()
    assert same(one, other)
    assert not torch.equal(fresh.model.head[0].weight, build().head[0].weight)
    rest = one.keys() - {"model", "average", "optimizer"}
    assert {name: one[name] for name in rest} == {name: other[name] for name in rest}
    assert (fresh.seen, fresh.faults, fresh.skipped, fresh.rollbacks) == (16, 1, 1, 0)
    assert fresh.unreadable == {"a.png: damaged"}


def test_the_first_of_what_is_left_out_is_named(tmp_path, caplog):
    state = begun(tmp_path)
    for i in range(NAMED + 50):
        state.skip([f"{i}.png: damaged"])
    named = [record.getMessage() for record in caplog.records]
    assert named[:2] == ["skipped 0.png: damaged", "skipped 1.png: damaged"]
    assert named[NAMED:] == [f"more than {NAMED} photos skipped; progress.csv counts the others"]
    assert len(state.unreadable) == NAMED + 50


def test_a_return_takes_what_was_learnt_but_not_the_position(tmp_path):
    before, state = begun(tmp_path).state_dict(), begun(tmp_path, steps=4)
    for returns in range(1, MAX_RETURNS + 1):
        state.go_back(before, "nan")
        assert (state.seen, state.faults, state.skipped, state.rollbacks) == (16, 0, 1, returns)
        assert all(
            torch.equal(a, b) for a, b in zip(tensors(state.state_dict()), tensors(before), strict=True)
        )
        assert not state.health.norms
    with pytest.raises(DivergedError, match=f"nan, after {MAX_RETURNS} returns to the checkpoint of photo 0"):
        state.go_back(before, "nan")
    assert state.rollbacks == MAX_RETURNS


def test_a_state_of_another_architecture_is_refused(tmp_path):
    other = begun(tmp_path).state_dict()
    del other["model"]["head.0.bias"]
    with pytest.raises(DataError, match="another architecture"):
        begun(tmp_path).load_state_dict(other)


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    save_checkpoint(tmp_path, begun(tmp_path).state_dict())
    assert load_resumable(tmp_path, TinyTask([]), CONFIG)["seen"] == 0
    with pytest.raises(DataError, match=r"has batch 4, not 8; seed 0, not 1; give the same options"):
        load_resumable(tmp_path, TinyTask([]), replace(CONFIG, batch=8, seed=1))


def test_what_is_said_of_a_run_is_one_line(tmp_path):
    run = tmp_path / "two\nlines"
    state = begun(run)
    save_checkpoint(run, state.state_dict())
    returns = [state.state_dict()] * (MAX_RETURNS + 1)
    for refused in (
        lambda: load_resumable(run, TinyTask([]), replace(CONFIG, seed=1)),
        lambda: [state.go_back(before, "nan") for before in returns],
        lambda: begun(run).load_state_dict(state.state_dict() | {"model": {}}),
    ):
        with pytest.raises(CinnError, match=r"two\\nlines: "):
            refused()


def test_settings_that_are_not_given_are_those_of_the_run(tmp_path):
    other = replace(CONFIG, photos=200, batch=8, learning_rate=1e-5)
    assert settings_to_resume(tmp_path, other, {}) == other  # there is no checkpoint yet
    save_checkpoint(tmp_path, begun(tmp_path).state_dict())
    assert settings_to_resume(tmp_path, other, {}) == CONFIG
    assert settings_to_resume(tmp_path, other, {"photos"}) == replace(CONFIG, photos=200)


def test_settings_of_another_version_are_named(tmp_path):
    state = begun(tmp_path).state_dict()
    save_checkpoint(tmp_path, state | {"config": state["config"] | {"knee": 2.0}})
    with pytest.raises(DataError, match=r"settings that this version does not know \(knee\)"):
        load_resumable(tmp_path, TinyTask([]), settings_to_resume(tmp_path, CONFIG, {}))


def test_a_run_may_become_longer_than_it_was_and_not_shorter_than_it_is(tmp_path, caplog):
    save_checkpoint(tmp_path, begun(tmp_path, steps=4).state_dict())
    caplog.set_level("INFO")
    for length in (200, 17):
        assert load_resumable(tmp_path, TinyTask([]), replace(CONFIG, photos=length))["seen"] == 16
        assert f"is {length} photos long now, not 96" in caplog.text
    with pytest.raises(DataError, match="has seen 16 photos; give more --photos"):
        load_resumable(tmp_path, TinyTask([]), replace(CONFIG, photos=16))


def test_a_run_of_another_stage_is_not_resumed(tmp_path):
    class OtherTask(TinyTask):
        stage = Stage.coarse

    save_checkpoint(tmp_path, begun(tmp_path, steps=2).state_dict())
    with pytest.raises(DataError, match="has --stage flow; give it again"):
        load_resumable(tmp_path, OtherTask([]), CONFIG)


def test_one_wrong_byte_of_a_weight_is_noticed(tmp_path):
    save_checkpoint(tmp_path, {"seen": 5, "model": torch.full((1000,), 7.0)})
    (path,) = checkpoints(tmp_path)
    data = bytearray(path.read_bytes())
    weights = torch.full((1000,), 7.0).numpy().tobytes()
    data[data.index(weights) + 2000] ^= 1
    path.write_bytes(data)
    assert (torch.load(path)["model"] != 7).sum() == 1  # torch alone does not notice
    with pytest.raises(DataError, match="all checkpoints are damaged"):
        load_newest(tmp_path)


class Trap:
    """What it is unpickled from runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_from_elsewhere_runs_no_code(tmp_path):
    sprung = tmp_path / "sprung"
    save_checkpoint(tmp_path, {"seen": 5, "model": Trap(sprung)})
    with pytest.raises(DataError, match="all checkpoints are damaged"):
        load_newest(tmp_path)
    assert not sprung.exists()
    torch.load(tmp_path / "checkpoint-0000000005.pt", weights_only=False)
    assert sprung.exists()  # so it was a trap
