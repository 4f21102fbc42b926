"""Train a small flow on photos, as a process to kill, or as one of several under torchrun.

    python tests/tiny_run.py PHOTOS RUN [--photos N] [--batch N] [--workers N]

Writes a row of RUN/progress.csv for each step, with figures as hexadecimal floats.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from cinn_colorize.data.sources import find_photos
from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet
from cinn_colorize.flow.downsampling import HaarDownsampling
from cinn_colorize.flow.mixing import OrthogonalMixing
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models.base import ConditionalFlow
from cinn_colorize.training.crops import Crops, batches, for_network
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.processes import processes
from cinn_colorize.training.run import Logs
from cinn_colorize.training.task import FlowTask, TrainingConfig, add_noise

CPU = torch.device("cpu")
CONFIG = TrainingConfig(photos=96, batch=4, warmup=4, learning_rate=2e-3)
WIDTH, CHANNELS = 8, 32


class TinyFlow(ConditionalFlow):
    """Two coupling blocks at 16 px, under a head of one convolution."""

    name = "tiny"
    latent_shapes = {16: (CHANNELS, 16, 16)}  # noqa: RUF012

    def __init__(self, dropout=0.0):
        super().__init__(None)
        self.head = nn.Sequential(nn.Conv2d(1, 4 * WIDTH, 4, stride=4), nn.Dropout2d(dropout))
        subnet = partial(ConvSubnet, width=WIDTH, kernel=3)
        maps = [HaarDownsampling(), HaarDownsampling()]
        for seed in range(2):
            maps += [OrthogonalMixing(CHANNELS, seed), AffineCoupling(CHANNELS, subnet, 1.0)]
        self.flow = Sequence(maps)

    def condition(self, c):
        return self.head(c / 50 - 1).chunk(4, dim=1)

    def forward(self, x, condition):
        z, log_det = self.flow(x, [None, None, None, condition[:2], None, condition[2:]])
        return {16: z}, {16: log_det}


class TinyTask(FlowTask):
    """Photos at 64 px."""

    model, config = "tiny", TrainingConfig

    def __init__(self, photos):
        self.photos, self.distinct = photos, len(photos)

    def batches(self, config, start, loading):
        crops = Crops(self.photos, config.seed, partial(for_network, size=64))
        return batches(crops, start, config.photos, config.batch, loading)

    def prepare(self, model, batch, config, noise, precision):
        L, ab = batch
        return L, add_noise(ab / 15, 0.05, 0.07, noise)


class Rows(Logs):
    """As if TensorBoard were not installed, which takes seconds to start."""

    def open(self, seen):
        with patch.dict(sys.modules, tensorboard=None):
            super().open(seen)


def build(dropout=0.0):
    torch.manual_seed(0)
    return TinyFlow(dropout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=int, default=CONFIG.photos)
    parser.add_argument("--batch", type=int, default=CONFIG.batch)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.0)
    arguments = parser.parse_args()
    arguments.run.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    logs = Rows(arguments.run)

    def report(progress):
        figures = {name: value.hex() for name, value in asdict(progress)["figures"].items()}
        logs.write("progress", {"seen": progress.seen, **figures})

    with processes(CPU) as shared:
        train(
            build(arguments.dropout),
            TinyTask(find_photos(arguments.data)),
            replace(CONFIG, photos=arguments.photos, batch=arguments.batch),
            arguments.run,
            RunOptions(
                CPU,
                workers=arguments.workers,
                processes=shared,
                resume=True,
                checkpoint_seconds=0,
                report=report,
                report_seconds=0,
            ),
            begin=logs.open,
        )


if __name__ == "__main__":
    main()
