"""Time the parts of a training step: python scripts/measure/training_step.py DATA [--stage coarse].

Prints the median of each part over the steps, after two warm-up steps.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.models.natural import Natural, NaturalConfig
from cinn_colorize.training.crops import Crops
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.natural_stages import CoarseTask, JointTask
from cinn_colorize.training.objective import Noise
from cinn_colorize.training.old_film import some_as_film

_STAGES: dict[str, type[NaturalTask]] = {"flow": NaturalTask, "coarse": CoarseTask, "joint": JointTask}


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--stage", choices=_STAGES, default="flow")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    task = _STAGES[arguments.stage]([])
    config = task.config(batch=arguments.batch, learning_rate=1e-5)
    precision = {"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.precision]
    model = Natural(NaturalConfig.default()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = task.learning(model, config)
    trained = [p for parameters, _ in groups for p in parameters]
    optimizer = task.optimizer(model, groups, config)
    crops = Crops(find_photos(arguments.data), 0, partial(some_as_film, share=config.films))
    sizes = {r: int(np.prod(shape)) for r, shape in model.latent_shapes.items()}
    parts: dict[str, list[float]] = defaultdict(list)
    for step in range(arguments.steps + 2):
        marks = [("", time.perf_counter())]

        def mark(part: str, marks: list[tuple[str, float]] = marks) -> None:
            marks.append((part, time.perf_counter()))

        items = [crops[step * arguments.batch + i].parts for i in range(arguments.batch)]
        L, ab = (torch.stack(tensors) for tensors in zip(*items, strict=True))
        mark("decode and crop (in a worker beside)")
        noise = Noise(torch.Generator().manual_seed(0))
        inputs = task.prepare(model, (L, ab), config, noise, precision)
        mark("backbone, of coarse also the pyramid")
        with torch.autocast("cpu", precision, enabled=arguments.precision == "bf16"):
            nll = task.nll(model, config, *inputs)
            loss = task.objective(model, config, nll, sizes, *inputs)["loss"]
        mark("the rest of the forward pass")
        loss.backward()  # type: ignore[no-untyped-call]
        mark("backward")
        torch.nn.utils.clip_grad_norm_(trained, config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mark("clip and optimiser")
        if step >= 2:
            for (_, before), (part, after) in itertools.pairwise(marks):
                parts[part].append(after - before)
    for part, seconds in parts.items():
        print(f"{part:<40}{1000 * statistics.median(seconds) / arguments.batch:8.1f} ms a photo")


if __name__ == "__main__":
    main()
