"""Calibration: whether a model knows its errors, measured by its samples against the photos' own colours."""

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cinn_colorize.evaluation.metrics import limited
from cinn_colorize.evaluation.photos import CHROMA_SIZE, Doubles, block_means
from cinn_colorize.imaging.color import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTOGRAM_EDGES = np.linspace(-100, 100, 81)  # of a and b
_SPREAD_EDGES = np.geomspace(0.25, 128, 28)  # of standard deviations
_FEWEST = 40, 0.001  # values, and share of all values, behind a point of the reliability diagram
SIZES = (CHROMA_SIZE, 4)  # of the grids whose reliability is measured

_INK, _GRID, _FAINT = "#333333", "#e4e4e4", "#888888"
_BLUE, _RED = "#2a6fbb", "#c8503c"
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor"), "#fafafa"),
    **dict.fromkeys(("axes.labelcolor", "text.color", "xtick.color", "ytick.color"), _INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.edgecolor": _FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlepad": 24,
    "figure.constrained_layout.wspace": 0.06,
    "grid.color": _GRID,
    "lines.markersize": 3.5,
}


class Reliability(NamedTuple):
    """Points of a reliability diagram, one for each class of standard deviations."""

    expected: Doubles  # root mean squared error of the samples' mean that their variance predicts
    found: Doubles  # its actual value
    share: Doubles  # of all values


class Calibration:
    """What the diagrams show, accumulated photo by photo; ValueError for fewer than 2 samples of each."""

    def __init__(self, samples: int) -> None:
        if samples < 2:
            raise ValueError(f"calibration requires 2 samples or more, not {samples}")
        self._factor = 1 + 1 / samples  # the mean of n samples varies too
        self.nll: list[float] = []  # of each photo, nats per dimension
        self.error: list[float] = []  # RMS of ab of each photo, averaged over its samples
        self._colors = np.zeros((2, 2, len(HISTOGRAM_EDGES) - 1))
        self._sums = {size: np.zeros((3, len(_SPREAD_EDGES) + 1)) for size in SIZES}

    def add(self, nll: float, samples: Floats, truth: Floats) -> None:
        """Add a photo: its nll, nats per dimension, samples (n, 2, 64, 64) as drawn, and ab (2, 64, 64)."""
        drawn, ab = limited(samples), truth.astype(np.float64)
        self.nll.append(nll)
        self.error.append(float(np.sqrt(np.square(drawn - ab).mean(axis=(1, 2, 3))).mean()))
        for channel in range(2):
            for i, values in enumerate((ab[None], drawn)):
                self._colors[channel, i] += np.histogram(values[:, channel], HISTOGRAM_EDGES)[0] / len(values)
        for size, sums in self._sums.items():
            means = block_means(drawn, size)
            expected = self._factor * means.var(axis=0, ddof=1).ravel()
            squared = np.square(means.mean(axis=0) - block_means(ab, size)).ravel()
            index = np.digitize(np.sqrt(expected), _SPREAD_EDGES)
            for row, weights in zip(sums, (np.ones_like(expected), expected, squared), strict=True):
                row += np.bincount(index, weights, len(row))

    def colors(self, channel: int) -> NDArray[np.float64]:
        """Return the shares (2, bins) of the photos' and the samples' a (0) or b (1) in each bin."""
        counts = self._colors[channel]
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def reliability(self, size: int) -> Reliability:
        """Return the reliability of ab averaged to a grid of this size, one of :data:`SIZES`."""
        count, expected, squared = self._sums[size]
        kept = count >= max(_FEWEST[0], _FEWEST[1] * count.sum())
        count, expected, squared = count[kept], expected[kept], squared[kept]
        share = count / self._sums[size][0].sum()
        return Reliability(np.sqrt(expected / count), np.sqrt(squared / count), share)


def calibration_plot(calibration: Calibration) -> Image.Image:
    """Draw error against nll, frequencies of colours, and expected errors; ImportError without matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure((14.4, 4.6), layout="constrained")
        errors, colors, reliability = figure.subplots(1, 3)
        _errors(errors, calibration)
        _colors(colors, calibration)
        _reliability(reliability, calibration)
        return rendered(figure)


def rendered(figure: "Figure") -> Image.Image:
    """Render a figure of matplotlib as RGB."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


def _titled(axes: "Axes", title: str, subtitle: str, x_label: str, y_label: str) -> None:
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    place = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(subtitle, (0, 1), (0, 8), color=_FAINT, **place)  # type: ignore[arg-type]


def _errors(axes: "Axes", calibration: Calibration) -> None:
    from scipy.stats import spearmanr  # a second to import, which every training run would take

    nll, error = np.array(calibration.nll), np.array(calibration.error)
    known = np.isfinite(nll) & np.isfinite(error)
    nll, error = nll[known], error[known]
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


def _colors(axes: "Axes", calibration: Calibration) -> None:
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


def _reliability(axes: "Axes", calibration: Calibration) -> None:
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
