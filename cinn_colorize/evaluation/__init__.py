"""How good a model is: measures of its samples on photos in colour."""

from cinn_colorize.evaluation.evaluate import evaluate as evaluate
from cinn_colorize.evaluation.evaluate import mean_nll as mean_nll
from cinn_colorize.evaluation.metrics import Estimate as Estimate
from cinn_colorize.evaluation.report import Report as Report
