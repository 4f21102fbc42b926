"""The picture of a model's calibration: three diagrams side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cinn_colorize.evaluation.calibration import HISTOGRAM_EDGES, SIZES, Calibration
from cinn_colorize.evaluation.photos import CHROMA_SIZE

_SCALE = 3  # supersampling, for smooth lines
_WIDTH, _HEIGHT = 460, 430  # of a diagram with its texts, pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 62, 54  # margins of its frame
_PAPER, _INK, _GRID, _FAINT = "#fafafa", "#333333", "#e4e4e4", "#888888"
_BLUE, _RED = "#2a6fbb", "#c8503c"

Values = Sequence[float] | NDArray[np.floating]


class _Axis(NamedTuple):
    """The range of an axis and its ticks."""

    low: float
    high: float
    ticks: Sequence[float]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies between the ends, 0 to 1."""
        to: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = to(self.low), to(self.high)
        return (to(min(max(value, self.low), self.high)) - low) / (high - low)


def _linear(values: Values) -> _Axis:
    """Choose an axis for all values, with about five ticks at round numbers."""
    low, high = (float(np.min(values)), float(np.max(values))) if len(values) else (0.0, 1.0)
    rough = max(high - low, 1e-3) / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1
    return _Axis(first * step, last * step, [round(k * step, 9) for k in range(first, last + 1)])


def _logarithmic(low: float, high: float, base: float) -> _Axis:
    """Choose an axis between powers of a base."""
    first, last = math.floor(math.log(low, base) + 1e-9), math.ceil(math.log(high, base) - 1e-9)
    last = max(last, first + 1)
    ticks = [float(base) ** k for k in range(first, last + 1)]
    return _Axis(ticks[0], ticks[-1], ticks, logarithmic=True)


class _Diagram:
    """One diagram: a frame with axes, and what is drawn in it."""

    def __init__(self, x: _Axis, y: _Axis, title: str, subtitle: str, x_label: str, y_label: str) -> None:
        self.image = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), _PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._x, self._y, self._keys = x, y, 0
        self._text((_LEFT, 18), title, 16, _INK, "lm")
        self._text((_LEFT, 40), subtitle, 13, _FAINT, "lm")
        for axis, tick in [(x, t) for t in x.ticks] + [(y, t) for t in y.ticks]:
            at = (tick, y.low, tick, y.high) if axis is x else (x.low, tick, x.high, tick)
            self._line([self._at(at[0], at[1]), self._at(at[2], at[3])], _GRID, 1)
        for tick in x.ticks:
            self._text((self._at(tick, y.low)[0], _HEIGHT - _BOTTOM + 13), _number(tick), 12, _INK, "mm")
        for tick in y.ticks:
            self._text((_LEFT - 7, self._at(x.low, tick)[1]), _number(tick), 12, _INK, "rm")
        corners = [self._at(x.low, y.high), self._at(x.low, y.low), self._at(x.high, y.low)]
        self._line(corners, _FAINT, 1)
        self._text(((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16), x_label, 13, _INK, "mm")
        self._vertical_text(y_label)

    def points(self, x: Values, y: Values, color: str, radius: float = 2.2) -> None:
        for a, b in zip(x, y, strict=True):
            centre = tuple(_SCALE * c for c in self._at(a, b))
            self._draw.circle(centre, radius * _SCALE, fill=color)

    def curve(self, x: Values, y: Values, color: str, dashed: bool = False) -> None:
        at = [self._at(a, b) for a, b in zip(x, y, strict=True)]
        if len(at) < 2:
            return
        if not dashed:
            self._line(at, color, 2)
            return
        (x0, y0), (x1, y1) = at
        parts = round(math.dist(*at) / 6)
        for k in range(0, parts, 2):
            ends = [(x0 + (x1 - x0) * j / parts, y0 + (y1 - y0) * j / parts) for j in (k, k + 1)]
            self._line(ends, color, 1)

    def key(self, text: str, color: str, dashed: bool = False) -> None:
        """Add a line to the legend, from the top."""
        y = _TOP + 14 + 18 * self._keys
        self._line(
            [(_LEFT + 10, y), (_LEFT + 19, y)] if dashed else [(_LEFT + 10, y), (_LEFT + 30, y)], color, 2
        )
        if dashed:
            self._line([(_LEFT + 23, y), (_LEFT + 30, y)], color, 2)
        self._text((_LEFT + 37, y), text, 13, _INK, "lm")
        self._keys += 1

    def _at(self, x: float, y: float) -> tuple[float, float]:
        width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        return _LEFT + self._x.share(x) * width, _HEIGHT - _BOTTOM - self._y.share(y) * height

    def _line(self, at: Sequence[tuple[float, float]], color: str, width: float) -> None:
        scaled = [(_SCALE * x, _SCALE * y) for x, y in at]
        self._draw.line(scaled, fill=color, width=round(width * _SCALE), joint="curve")

    def _text(self, at: tuple[float, float], text: str, size: int, color: str, anchor: str) -> None:
        font = ImageFont.load_default(size=size * _SCALE)
        self._draw.text((_SCALE * at[0], _SCALE * at[1]), text, fill=color, font=font, anchor=anchor)

    def _vertical_text(self, text: str) -> None:
        font = ImageFont.load_default(size=13 * _SCALE)
        size = (_HEIGHT - _TOP - _BOTTOM) * _SCALE, 22 * _SCALE
        label = Image.new("RGB", size, _PAPER)
        draw = ImageDraw.Draw(label)
        draw.text((size[0] / 2, size[1] / 2), text, fill=_INK, font=font, anchor="mm")
        self.image.paste(label.rotate(90, expand=True), (4 * _SCALE, _TOP * _SCALE))


def calibration_plot(calibration: Calibration) -> Image.Image:
    """Draw error against nll, frequencies of colours, and errors against those that samples predict."""
    drawn = [_errors(calibration), _colors(calibration), _reliability(calibration)]
    sheet = Image.new("RGB", (_WIDTH * len(drawn), _HEIGHT), _PAPER)
    for k, diagram in enumerate(drawn):
        sheet.paste(diagram.image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS), (k * _WIDTH, 0))
    return sheet


def _errors(calibration: Calibration) -> _Diagram:
    from scipy.stats import spearmanr  # a second to import, which every training run would take

    known = np.isfinite(calibration.nll) & np.isfinite(calibration.error)
    nll, error = calibration.nll[known], calibration.error[known]
    several = len(nll) > 2 and np.ptp(nll) > 0 and np.ptp(error) > 0
    correlation = f"rank correlation {spearmanr(nll, error).statistic:.2f}, " if several else ""
    diagram = _Diagram(
        _linear(nll),
        _linear([0, *error]),
        "Does the likelihood tell the error?",
        f"{correlation}{len(nll)} photos" + ("" if known.all() else f", {(~known).sum()} without a number"),
        "nll of the photo's own colours (nats per dimension)",
        "error of a sample (RMSE of a and b)",
    )
    diagram.points(nll, error, _BLUE)
    return diagram


def _colors(calibration: Calibration) -> _Diagram:
    centres = (HISTOGRAM_EDGES[1:] + HISTOGRAM_EDGES[:-1]) / 2
    lowest = 1e-5
    diagram = _Diagram(
        _Axis(-100, 100, range(-100, 101, 50)),
        _logarithmic(lowest, 1, 10),
        "Are colours as frequent as in photos?",
        f"share of pixels in bins of {HISTOGRAM_EDGES[1] - HISTOGRAM_EDGES[0]:g}",
        "a or b",
        "share",
    )
    for channel, (name, color) in enumerate((("a", _RED), ("b", _BLUE))):
        truth, samples = calibration.colors(channel)
        diagram.curve(centres, samples, color)
        shown = truth > 0
        diagram.points(centres[shown], truth[shown], color)
        diagram.key(f"{name}: samples (line), photos (dots)", color)
    return diagram


def _reliability(calibration: Calibration) -> _Diagram:
    found = {size: calibration.reliability(size) for size in SIZES}
    values = np.concatenate([np.concatenate([r.expected, r.found]) for r in found.values()])
    values = values[values > 0] if (values > 0).any() else np.ones(1)
    axis = _logarithmic(float(values.min()), float(values.max()), 2)
    diagram = _Diagram(
        axis,
        axis,
        "Is the error large where samples differ?",
        "below the diagonal: too careful; above: too sure",
        "error expected from the samples' spread",
        "error of their mean",
    )
    diagram.curve([axis.low, axis.high], [axis.low, axis.high], _FAINT, dashed=True)
    for size, color in zip(SIZES, (_BLUE, _RED), strict=True):
        diagram.curve(found[size].expected, found[size].found, color)
        diagram.points(found[size].expected, found[size].found, color, 3)
        what = "pixels of the 64 px grid" if size == CHROMA_SIZE else f"means over a grid of {size}x{size}"
        diagram.key(what, color)
    diagram.key("calibrated", _FAINT, dashed=True)
    return diagram


def _number(value: float) -> str:
    return f"{value:g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.0e}".replace("e-0", "e-")
