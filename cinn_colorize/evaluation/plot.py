"""The picture of a model's calibration: three diagrams side by side."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cinn_colorize.evaluation.calibration import HISTOGRAM_EDGES, SIZES, Calibration
from cinn_colorize.evaluation.photos import CHROMA_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _GRID, _FAINT = "#333333", "#e4e4e4", "#888888"
_BLUE, _RED = "#2a6fbb", "#c8503c"
_STYLE: dict[Any, Any] = {
    "figure.facecolor": "#fafafa",
    "axes.facecolor": "#fafafa",
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 24,
    "figure.constrained_layout.wspace": 0.06,
    "grid.color": _GRID,
    "legend.frameon": False,
    "lines.markersize": 3.5,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def calibration_plot(calibration: Calibration) -> Image.Image:
    """Draw error against nll, frequencies of colours, and errors against those that samples predict.

    Raises:
        ImportError: matplotlib, of the extra ``evaluation``, is not installed.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure((14.4, 4.6), layout="constrained")
        errors, colors, reliability = figure.subplots(1, 3)
        _errors(errors, calibration)
        _colors(colors, calibration)
        _reliability(reliability, calibration)
        return rendered(figure)


def rendered(figure: Figure) -> Image.Image:
    """Render a figure of matplotlib as RGB."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _titled(axes: Axes, title: str, subtitle: str, x_label: str, y_label: str) -> None:
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.annotate(
        subtitle, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", color=_FAINT
    )


def _errors(axes: Axes, calibration: Calibration) -> None:
    from scipy.stats import spearmanr  # a second to import, which every training run would take

    known = np.isfinite(calibration.nll) & np.isfinite(calibration.error)
    nll, error = calibration.nll[known], calibration.error[known]
    several = len(nll) > 2 and np.ptp(nll) > 0 and np.ptp(error) > 0
    correlation = f"rank correlation {spearmanr(nll, error).statistic:.2f}, " if several else ""
    axes.plot(nll, error, "o", color=_BLUE)
    axes.set_ylim(bottom=0)
    _titled(
        axes,
        "Does the likelihood tell the error?",
        f"{correlation}{len(nll)} photos" + ("" if known.all() else f", {(~known).sum()} without a number"),
        "nll of the photo's own colours (nats per dimension)",
        "error of a sample (RMSE of a and b)",
    )


def _colors(axes: Axes, calibration: Calibration) -> None:
    centres = (HISTOGRAM_EDGES[1:] + HISTOGRAM_EDGES[:-1]) / 2
    for channel, (name, color) in enumerate((("a", _RED), ("b", _BLUE))):
        truth, samples = calibration.colors(channel)
        axes.plot(centres, samples, color=color, label=f"{name}: samples")
        axes.plot(centres[truth > 0], truth[truth > 0], "o", color=color, label=f"{name}: photos")
    axes.set(xlim=(-100, 100), yscale="log", ylim=(1e-5, 1))
    axes.legend(loc="upper left")
    width = HISTOGRAM_EDGES[1] - HISTOGRAM_EDGES[0]
    _titled(
        axes,
        "Are colours as frequent as in photos?",
        f"share of pixels in bins of {width:g}",
        "a or b",
        "share",
    )


def _reliability(axes: Axes, calibration: Calibration) -> None:
    for size, color in zip(SIZES, (_BLUE, _RED), strict=True):
        found = calibration.reliability(size)
        what = "pixels of the 64 px grid" if size == CHROMA_SIZE else f"means over a grid of {size}x{size}"
        axes.plot(found.expected, found.found, "o-", color=color, label=what)
    axes.axline((1, 1), (2, 2), color=_FAINT, linestyle="--", linewidth=1, label="calibrated")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set(aspect="equal", adjustable="datalim")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend(loc="upper left")
    _titled(
        axes,
        "Is the error large where samples differ?",
        "below the diagonal: too careful; above: too sure",
        "error expected from the samples' spread",
        "error of their mean",
    )
