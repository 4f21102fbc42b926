"""The registry of trainable models lists exactly what exists."""

import torch

from cinn_colorize.models.imagenet_vgg import PRESETS
from cinn_colorize.training.bedrooms import BedroomsTask
from cinn_colorize.training.choices import ABLATIONS, Dataset, Precision, Preset
from cinn_colorize.training.imagenet import ImagenetTask
from cinn_colorize.training.mnist import MnistTask
from cinn_colorize.training.natural import NaturalTask
from cinn_colorize.training.processes import choose_precision

TASKS = {
    Dataset.photos: NaturalTask,
    Dataset.imagenet: ImagenetTask,
    Dataset.mnist: MnistTask,
    Dataset.lsun: BedroomsTask,
}


def test_names_are_those_of_what_they_name():
    assert [*Preset] == [*PRESETS]
    assert {dataset: task.ablations for dataset, task in TASKS.items()} == ABLATIONS
    assert [*ABLATIONS] == [*Dataset]
    for precision in Precision:
        assert choose_precision(precision, torch.device("cpu")) in (torch.float32, torch.bfloat16)
