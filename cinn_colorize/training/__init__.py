"""Training: data, objective, loop, checkpoints, and a run that holds them together."""

from cinn_colorize.training.loop import Progress as Progress
from cinn_colorize.training.loop import choose_precision as choose_precision
from cinn_colorize.training.processes import local_device as local_device
from cinn_colorize.training.processes import processes as processes
from cinn_colorize.training.run import DATASETS as DATASETS
from cinn_colorize.training.run import Evaluation as Evaluation
from cinn_colorize.training.run import open_task as open_task
from cinn_colorize.training.run import run_training as run_training
from cinn_colorize.training.task import Task as Task
from cinn_colorize.training.task import TrainingConfig as TrainingConfig
