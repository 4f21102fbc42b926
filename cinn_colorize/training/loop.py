"""The training loop, from top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cinn_colorize.errors import DataError, PhotoError
from cinn_colorize.training.checkpoint import load_newest, save_checkpoint
from cinn_colorize.training.choices import Precision
from cinn_colorize.training.data import Loading
from cinn_colorize.training.objective import Noise
from cinn_colorize.training.precision import choose_precision
from cinn_colorize.training.processes import Processes
from cinn_colorize.training.progress import Meter
from cinn_colorize.training.run_options import RunOptions
from cinn_colorize.training.state import RunState, load_resumable
from cinn_colorize.training.task import Model, Task, TrainingConfig

log = logging.getLogger(__name__)


def train(
    model: Model,
    task: Task[Model],
    config: TrainingConfig,
    run: Path,
    options: RunOptions,
    *,
    begin: Callable[[int], None] = lambda seen: None,
    evaluate: Callable[[Model, int], None] = lambda model, seen: None,
) -> Model:
    """Train a model.

    A step whose loss or gradient is not finite, or explodes (see :class:`Health`), is left out. After two
    such steps in a row, the run returns to its last checkpoint and continues with the photos after them.

    Args:
        model: initialised model.
        task: its data and objective.
        config: hyper-parameters; ``batch`` is the total over all processes.
        run: folder of the run, which holds the checkpoints.
        options: options of the run.
        begin: called once with the number of photos seen, before the first step.
        evaluate: called with the averaged model and the number of photos seen, regularly and at the end.

    Returns:
        the averaged model, in eval mode.

    Raises:
        DataError: the data or the checkpoint cannot be used, or a file cannot be written in the end.
        PhotoError: a sheet of samples cannot be written.
        DivergedError: the run diverged again after three returns to one checkpoint.
    """
    device, processes = options.device, options.processes
    if config.batch % processes.count:
        raise DataError(f"a batch of {config.batch} cannot be split evenly among {processes.count} processes")
    saved = processes.once(partial(load_resumable, run, task, config)) if options.resume else None
    precision = options.precision
    if saved is not None and precision == Precision.auto:
        precision = saved.get("precision", precision)
    dtype = processes.once(partial(choose_precision, precision, device))

    torch.manual_seed(config.seed)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = task.learning(model, config)
    trained = [parameter for parameters, _ in groups for parameter in parameters]
    if options.compile:
        task.compile()
    step = _shared(_Step(model, task, config), device, processes)
    state = RunState(run, model, task.optimizer(model, groups, config), task, config, dtype)
    if saved is not None:
        state.load_state_dict(saved)
    state.skip(task.unreadable)
    is_new = saved is None
    del saved

    generator, meter, saved_at = torch.Generator(device), Meter(config.length, state.seen), time.monotonic()
    model.train()
    loading = Loading(options.workers, processes.rank, processes.count)
    with closing(task.batches(config, state.seen, loading)) as batches:
        first = [*islice(batches, 1)]  # what cannot be learnt from is refused before anything is written
        if is_new:  # a run that diverges at once returns to this checkpoint
            processes.once(partial(save_checkpoint, run, state.state_dict()))
        if not processes.rank:
            begin(state.seen)
        for batch in chain(first, batches):
            meter.start()
            # Noise and dropout depend only on the position, so that a resumed run repeats them.
            generator.manual_seed(_seed(config.seed, state.seen, 0))
            torch.manual_seed(_seed(config.seed, state.seen, 1 + processes.rank))
            for group in state.optimizer.param_groups:
                group["lr"] = group["factor"] * config.rate(state.seen)

            state.optimizer.zero_grad(set_to_none=True)
            parts = [part.to(device, non_blocking=True) for part in batch.parts]
            figures = step(parts, Noise(generator, processes.rank, processes.count), dtype)
            figures["loss"].backward()
            norm = torch.nn.utils.clip_grad_norm_(trained, config.clip)

            asked = [norm.new_tensor(len(batch.unreadable)), norm.new_tensor(options.stop())]
            told = processes.mean(torch.stack([norm, *figures.values(), *asked]).detach().float())
            gradient_norm, *values, unreadable, stopping = told.tolist()
            means = dict(zip(figures, values, strict=True))
            if unreadable:
                state.skip(processes.join(list(batch.unreadable)))

            state.seen += config.batch
            if fault := state.judge(means["loss"], gradient_norm):
                log.warning("step at photo %d skipped: %s", state.seen, fault)
            else:
                state.optimizer.step()
                state.average.update_parameters(model)
                meter.add(means, gradient_norm)
            if state.faults == 2:
                state.go_back(processes.once(partial(load_newest, run)), fault)

            if not processes.rank:
                ended = state.seen >= config.photos
                if ended or meter.is_due(options.report_seconds):
                    options.report(meter.progress(state))
                every = options.evaluate_every or task.evaluate_every
                if not ended and state.seen % every < config.batch:
                    _if_possible(partial(evaluate, state.averaged, state.seen))
                # Never between a return and the next good step: each checkpoint allows some returns to it.
                if time.monotonic() - saved_at > options.checkpoint_seconds and not fault:
                    _if_possible(partial(save_checkpoint, run, state.state_dict()))
                    saved_at = time.monotonic()
            if stopping:
                break
    processes.once(partial(save_checkpoint, run, state.state_dict()))
    if state.seen >= config.photos:
        processes.once(partial(evaluate, state.averaged, state.seen))
    return state.averaged


def _seed(*numbers: int) -> int:
    """Return a seed for torch from the run's, a position and a purpose; no two of them are related."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _if_possible(write: Callable[[], None]) -> None:
    """Write files of the run. A full disk does not end it."""
    try:
        write()
    except (DataError, PhotoError) as error:
        log.warning("%s; the run continues", error)


class _Step(nn.Module):
    """The forward pass of a step, as a module for DistributedDataParallel."""

    def __init__(self, model: nn.Module, task: Task[Any], config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.task, self.config = model, task, config

    def forward(self, parts: Sequence[Tensor], noise: Noise, precision: torch.dtype) -> dict[str, Tensor]:
        return self.task.losses(self.model, parts, self.config, noise, precision)


def _shared(step: _Step, device: torch.device, processes: Processes) -> nn.Module:
    """Wrap the step so that gradients are averaged over all processes, if there are several."""
    if processes.count == 1:
        return step
    return DistributedDataParallel(step, device_ids=[device] if device.type == "cuda" else None)
