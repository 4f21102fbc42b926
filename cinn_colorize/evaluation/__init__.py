"""Measures of how good a model's samples are on photos in colour."""

from cinn_colorize.evaluation.calibration import Calibration as Calibration
from cinn_colorize.evaluation.calibration import calibration_plot as calibration_plot
from cinn_colorize.evaluation.evaluator import evaluate as evaluate
from cinn_colorize.evaluation.evaluator import mean_nll as mean_nll
from cinn_colorize.evaluation.evaluator import nll_by_level as nll_by_level
from cinn_colorize.evaluation.metrics import Estimate as Estimate
from cinn_colorize.evaluation.realism import Fid as Fid
from cinn_colorize.evaluation.realism import KidLite0 as KidLite0
from cinn_colorize.evaluation.realism import Measure as Measure
from cinn_colorize.evaluation.realism import StLpips as StLpips
from cinn_colorize.evaluation.realism import Top5 as Top5
from cinn_colorize.evaluation.realism import read_labels as read_labels
from cinn_colorize.evaluation.table import DrawnBy as DrawnBy
from cinn_colorize.evaluation.table import Earlier as Earlier
from cinn_colorize.evaluation.table import Report as Report
from cinn_colorize.evaluation.table import Row as Row
from cinn_colorize.evaluation.table import read_earlier as read_earlier
from cinn_colorize.evaluation.table import read_subsets as read_subsets
