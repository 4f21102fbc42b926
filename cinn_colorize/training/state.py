"""The state of a run, and its checkpoints, from which it continues exactly where it stopped."""

import logging
import math
import re
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Generic, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from cinn_colorize.errors import DataError, DivergedError, printable_name
from cinn_colorize.files.atomic import writing
from cinn_colorize.training.choices import Precision
from cinn_colorize.training.task import EXPLODING, Model, Task, TrainingConfig

log = logging.getLogger(__name__)

MAX_RETURNS = 3  # returns to one checkpoint
NAMED = 100  # photos left out that are named; ImageNet has thousands that are gray
KEPT = 2  # checkpoints
_WINDOW = 100  # steps in the running median of gradient norms
KNOWN = 20  # steps required before any norm counts as exploding


class RunState(Generic[Model]):
    """The state of a run after some number of photos.

    It holds no state of random generators or of the schedule: photos, crops, noise, dropout and the learning
    rate are functions of the number of photos ``seen`` and of the seed. ``faults`` counts steps left out in a
    row, ``skipped`` all of them, ``rollbacks`` returns to a checkpoint; ``unreadable`` are messages.
    """

    def __init__(
        self,
        run: Path,
        model: Model,
        optimizer: Optimizer,
        task: Task[Model],
        config: TrainingConfig,
        dtype: torch.dtype,
    ) -> None:
        self.model, self.optimizer, self.run, self._name = model, optimizer, run, printable_name(run)
        self.task, self.config = task, config
        self.average = AveragedModel(model, multi_avg_fn=partial(_update_average, config.ema))
        self.average.eval()
        self.health = Health(exploding=task.exploding)
        self.seen, self.faults, self.skipped, self.rollbacks = 0, 0, 0, 0
        self.unreadable: set[str] = set()
        self._kind = {
            "stage": str(task.stage),
            "config": asdict(config),
            "distinct": task.distinct,
            "precision": str(Precision.bf16 if dtype is torch.bfloat16 else Precision.fp32),
        }
        self._returned_to, self._returns = -1, 0  # position of the checkpoint, number of returns to it

    @property
    def averaged(self) -> Model:
        return cast(Model, self.average.module)

    def state_dict(self) -> dict[str, Any]:
        """Return the contents of a checkpoint; its tensors are those of the run, not copies."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self._kind,
            "seen": self.seen,
            "faults": self.faults,
            "norms": list(self.health.norms),
            "counts": {
                "skipped": self.skipped,
                "rollbacks": self.rollbacks,
                "unreadable": sorted(self.unreadable),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what :meth:`state_dict` returned; DataError if architecture or optimiser is another."""
        self._load_learnt(state)
        self.seen, self.faults = state["seen"], state["faults"]
        counts = state["counts"]
        self.skipped, self.rollbacks = counts["skipped"], counts["rollbacks"]
        self.unreadable = {*counts["unreadable"]}

    def judge(self, loss: float, norm: float) -> str:
        """Return why to leave out a step, before it changes the model; empty for a good one."""
        fault = self.health.fault(loss, norm)
        self.faults = self.faults + 1 if fault else 0
        self.skipped += bool(fault)
        return fault

    def update(self) -> None:
        self.optimizer.step()
        self.average.update_parameters(self.model)

    def go_back(self, state: Mapping[str, Any] | None, fault: str) -> None:
        """Load what a checkpoint had learnt, and go on after ``seen``; DivergedError at its fourth return."""
        assert state is not None
        self._returns = self._returns + 1 if state["seen"] == self._returned_to else 1
        self._returned_to = state["seen"]
        if self._returns > MAX_RETURNS:
            returned = f"{MAX_RETURNS} returns to the checkpoint of photo {self._returned_to}"
            problem = f"{self._name}: {fault}, after {returned}; start a new --run with a lower --lr"
            raise DivergedError(problem)
        returned = "two bad steps in a row: back to the checkpoint of photo %d, on to new photos"
        log.warning(returned, self._returned_to)
        self._load_learnt(state)
        self.faults = 0
        self.rollbacks += 1

    def skip(self, unreadable: Iterable[str]) -> None:
        """Count what cannot be learnt from, and log the first of it, once each."""
        for message in unreadable:
            if message not in self.unreadable:
                self.unreadable.add(message)
                if len(self.unreadable) <= NAMED:
                    log.warning("skipped %s", message)
                elif len(self.unreadable) == NAMED + 1:
                    log.warning("more than %d photos skipped; progress.csv counts the others", NAMED)

    def _load_learnt(self, state: Mapping[str, Any]) -> None:
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise DataError(f"{self._name}: the run to resume has another architecture") from error
        self.average.load_state_dict(state["average"])
        now, before = self.optimizer.state_dict()["param_groups"][0], state["optimizer"]["param_groups"][0]
        try:
            if now.keys() != before.keys():
                raise ValueError("other settings")
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            other = "the run to resume has another optimiser; begin a new run with --start"
            raise DataError(f"{self._name}: {other}") from error
        self.health = Health(state["norms"], self.health.exploding)


def settings_to_resume(run: Path, config: TrainingConfig, given: Iterable[str]) -> TrainingConfig:
    """Return the hyper-parameters with which a run continues: those given, and the others as they were."""
    state = load_newest(run)
    if state is None:
        return config
    kept = asdict(config).keys() - {*given, "ablate"}
    return replace(config, **{name: value for name, value in state["config"].items() if name in kept})


def load_resumable(run: Path, task: Task[Any], config: TrainingConfig) -> dict[str, Any] | None:
    """Load the state of a run's last checkpoint; return None if there is none yet.

    DataError if it cannot be read, or is of another stage or other hyper-parameters; the run's length alone
    may change, to more than it has seen.
    """
    state, name = load_newest(run), printable_name(run)
    if state is None:
        log.info("%s: no checkpoint yet; starting from the beginning", name)
        return None
    if (stage := state.get("stage", task.stage)) != task.stage:
        raise DataError(f"{name}: the run to resume has --stage {stage}; give it again")
    # Settings unknown to the version that wrote the checkpoint have their defaults.
    settings, asked = asdict(type(config)()) | state["config"], asdict(config)
    if unknown := ", ".join(sorted(settings.keys() - asked.keys())):
        problem = f"the run to resume has settings that this version does not know ({unknown})"
        raise DataError(f"{name}: {problem}; begin a new run with --start")
    before = settings.pop("photos")
    if config.photos != before:
        if config.photos <= (seen := state["seen"]):
            raise DataError(f"{name}: the run to resume has seen {seen:,} photos; give more --photos")
        log.info("%s: the run is %s photos long now, not %s", name, f"{config.photos:,}", f"{before:,}")
    changed = [f"{key} {value}, not {asked[key]}" for key, value in settings.items() if value != asked[key]]
    if changed:
        problem = f"the run to resume has {'; '.join(changed)}"
        raise DataError(f"{name}: {problem}; give the same options, or another --run")
    if state["distinct"] != task.distinct:
        log.warning("the data has changed: %d photos, %d before", task.distinct, state["distinct"])
    return state


@torch.no_grad()
def _update_average(
    decay: float, averages: list[Tensor], currents: list[Tensor], updates: int | Tensor
) -> None:
    """Move averages towards the weights; the decay rises at first, so that initial weights fade soon."""
    rising = min(decay, (1 + float(updates)) / (10 + float(updates)))
    torch._foreach_lerp_(averages, currents, 1 - rising)


def checkpoints(run: Path) -> list[Path]:
    """List the checkpoints of a run, newest first."""
    names = {path: re.fullmatch(r"checkpoint-(\d+)\.pt", path.name) for path in run.glob("checkpoint-*.pt")}
    return sorted((path for path, match in names.items() if match), key=position, reverse=True)


def position(path: Path) -> int:
    """Return how many photos a run had seen at a checkpoint."""
    return int(path.stem.removeprefix("checkpoint-"))


def save_checkpoint(run: Path, state: Mapping[str, Any]) -> None:
    """Write a run's state under its position ``seen``, and delete all older ones but the newest.

    A kill at any moment leaves the older checkpoints as they are, and the new one complete or absent.
    DataError if it cannot be written; the older ones stay.
    """
    path = run / f"checkpoint-{state['seen']:010d}.pt"
    try:
        run.mkdir(parents=True, exist_ok=True)
        with writing(path) as file:
            torch.save(dict(state), file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise DataError(f"{printable_name(path)}: cannot be written ({_reason(error)})") from error
    for old in checkpoints(run)[KEPT:]:
        old.unlink(missing_ok=True)


def load_newest(run: Path) -> dict[str, Any] | None:
    """Load the newest state that can be read; None if there is none, DataError if all are damaged."""
    found = checkpoints(run)
    for tried, path in enumerate(found):
        try:
            state = _load(path)
        except DataError as error:
            log.warning("%s; trying the previous checkpoint", error)
            continue
        for damaged in found[:tried]:
            damaged.replace(damaged.with_suffix(".damaged"))  # not to count among those kept
        return state
    if found:
        raise DataError(f"{printable_name(run)}: all checkpoints are damaged; start again in another --run")
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not verify checksums
            damaged = archive.testzip()
        if damaged is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    except Exception as error:
        raise DataError(f"{printable_name(path)}: damaged ({_reason(error)})") from error
    raise DataError(f"{printable_name(path)}: damaged (checksum)")


def _reason(error: Exception) -> str:
    while isinstance(error.__context__, OSError):
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:100]


class Health:
    """Judge steps by their loss and gradient norm before they change the model.

    A norm explodes if it is more than ``exploding`` times the median of the last 100 steps taken: clipped,
    such a step would have an arbitrary direction.
    """

    def __init__(self, norms: Iterable[float] = (), exploding: float = EXPLODING) -> None:
        self.norms, self.exploding = deque(norms, _WINDOW), exploding

    def fault(self, loss: float, norm: float) -> str:
        """Say why to leave out a step; return "" for a good one, and remember its norm."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss:g}, gradient norm {norm:g}"
        if len(self.norms) >= KNOWN and norm > self.exploding * (usual := median(self.norms)):
            return f"gradient norm {norm:.3g}, {norm / max(usual, 1e-12):.0f} times its median"
        self.norms.append(norm)
        return ""
