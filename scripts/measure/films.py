"""Measure how steady and how right the colours of films are, beside the true ones and a control.

    python scripts/measure/films.py dog goat soapbox drift-straight -n 8
    python scripts/measure/films.py old-clip -n 4 --frames 0 --lags 20,60,120

FILMS are folders of frames in order, each one shot. Of the first frames, the table has:

change  change of ab from frame to frame along the motion, where it is sure: root mean square, units of ab
CDC     colour distribution consistency (Liu et al. 2021, https://arxiv.org/abs/2110.04562): Jensen-Shannon
        divergence of the histograms of R, G and B of frames 1, 2 and 4 apart, in 0.001 nat; here of frames of
        256 x 256 pixels
chroma  mean chroma
one     error of a sample, over all of its frames: root mean square of the distance to the true ab, at 64 x 64
best    that of the best sample

Frame by frame draws every frame by itself with the sample's seed; the control is its mean over 17 frames at
the same place. Drift is the change over so many frames. After +- stand standard errors over films.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.engines.choice import ModelSpec
from cinn_colorize.engines.interface import NetworkInput
from cinn_colorize.errors import ending_in_a_line
from cinn_colorize.evaluation.photos import block_means
from cinn_colorize.film.along import colours_along_motion
from cinn_colorize.film.motion import GRID, SIZE, Frame, brought, flow, joined, lightness_of, reduced
from cinn_colorize.imaging import bands, color
from cinn_colorize.imaging.color import Floats
from cinn_colorize.models import DEFAULT, find_weights

BLUR = 17  # frames
APART = 8  # frames between those whose drift is measured
Rows = dict[str, dict[str, float]]
Film = Mapping[int, Floats] | Sequence[Floats]  # ab (N, 2, 128, 128) by frame


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("films", type=Path, metavar="FILMS", nargs="+")
    parser.add_argument("-n", type=int, default=8, help="number of samples")
    parser.add_argument("--frames", type=int, default=48, help="first frames, for the table")
    parser.add_argument("--length", type=int, default=121, help="first frames, for drift")
    parser.add_argument("--lags", default="20,60", help="frames over which drift is measured")
    arguments = parser.parse_args()
    bands.use_threads(1)
    drawer = Drawer(arguments.n)
    lags = [int(lag) for lag in arguments.lags.split(",")]
    tables: list[Rows] = []
    for film in arguments.films:
        L, true = frames(film)
        rows = measures(L[: arguments.frames], true[: arguments.frames], drawer)
        for row, values in drift(L[: arguments.length], true, drawer, lags).items():
            rows[row] = rows.get(row, {}) | values
        tables.append(rows)
        show(film.name, rows)
    if len(tables) > 1:
        summary(tables)


class Drawer:
    """Draws frames, each by itself, and keeps what it has drawn."""

    def __init__(self, number: int) -> None:
        self.number, self.drawn = number, dict[bytes, Floats]()
        self.colorizer = BaseColorizer(*ModelSpec(DEFAULT, *find_weights(DEFAULT)).load())

    def __call__(self, L: Frame) -> Floats:
        """Return ab (N, 2, 64, 64)."""
        key = L.tobytes()
        if key not in self.drawn:
            samples = self.colorizer.condition(NetworkInput(lightness_of(L))).sample(self.number, seed=0)
            self.drawn[key] = np.stack([sample.ab for sample in samples])
        return self.drawn[key]


def frames(folder: Path) -> tuple[list[Frame], list[Floats]]:
    """Return L (256, 256), L* x 2.55, and ab (2, 128, 128) of the frames in a folder."""
    found: tuple[list[Frame], list[Floats]] = [], []
    for file in sorted(folder.iterdir()):
        pixels = np.ascontiguousarray(np.asarray(cv2.imread(str(file)))[..., ::-1])
        L, *ab = color.pixels_to_lab(pixels)
        found[0].append(np.round(np.clip(resized(L, SIZE), 0, 100) * 2.55).astype(np.uint8))
        found[1].append(np.stack([resized(plane, GRID) for plane in ab]))
    return found


def measures(L: Sequence[Frame], true: Sequence[Floats], drawer: Drawer) -> Rows:
    if not L:
        return {}
    alone = [enlarged(drawer(frame)) for frame in L]
    films = {
        "true": [ab[None] for ab in true],
        "frame by frame": alone,
        "along motion": along_motion(L, drawer),
        "blur in time": [np.mean(alone[max(t - BLUR // 2, 0) : t + BLUR // 2 + 1], 0) for t in range(len(L))],
    }
    pairs = [(t, t + 1, *tracked(L[t : t + 2])) for t in range(len(L) - 1)]
    return {
        name: measures_of(L, film, true) | {"change": change(film, pairs)} for name, film in films.items()
    }


def measures_of(L: Sequence[Frame], film: Sequence[Floats], true: Sequence[Floats]) -> dict[str, float]:
    apart = [block_means(ab - right, GRID // 2) for ab, right in zip(film, true, strict=True)]
    errors = np.sqrt(np.mean([np.square(each).sum(1) for each in apart], (0, 2, 3)))
    chroma = float(np.mean([np.hypot(ab[:, 0], ab[:, 1]).mean() for ab in film]))
    consistency = float(np.mean([cdc(L, [ab[n] for ab in film]) for n in range(len(film[0]))]))
    return {"CDC": 1000 * consistency, "chroma": chroma, "one": errors.mean(), "best": errors.min()}


def drift(L: Sequence[Frame], true: Sequence[Floats], drawer: Drawer, lags: Sequence[int]) -> Rows:
    along, rows = along_motion(L, drawer), Rows()
    for lag in lags:
        pairs = [(t, t + lag, *tracked(L[t : t + lag + 1])) for t in range(0, len(L) - lag, APART)]
        alone = {t: enlarged(drawer(L[t])) for t in {t for pair in pairs for t in pair[:2]}}
        of_true = [ab[None] for ab in true]
        films: dict[str, Film] = {"true": of_true, "frame by frame": alone, "along motion": along}
        for name, film in films.items():
            rows.setdefault(name, {})[f"drift {lag}"] = change(film, pairs)
    return rows


def along_motion(L: Sequence[Frame], drawer: Drawer) -> list[Floats]:
    return list(colours_along_motion(L, lambda keys: np.stack([drawer(L[t]) for t in keys])))


def tracked(L: Sequence[Frame]) -> tuple[Floats, Floats]:
    """Return the flow from the last frame to the first, and where it is sure (128, 128), of bool."""
    to_first = from_first = np.zeros((GRID, GRID, 2), np.float32)
    for before, after in itertools.pairwise(L):
        from_first, to_first = joined(from_first, flow(before, after)), joined(flow(after, before), to_first)
    back = brought(from_first, to_first)
    lengths = np.square(to_first).sum(-1) + np.square(back).sum(-1)
    sure = np.square(to_first + back).sum(-1) < 0.01 * lengths + 0.4
    sure &= np.abs(brought(reduced(L[0]), to_first) - reduced(L[-1])) < 8
    places = np.moveaxis(np.indices((GRID, GRID))[::-1], 0, -1) + to_first
    return to_first, sure & ((places >= 0) & (places <= GRID - 1)).all(-1)


def change(film: Film, pairs: Sequence[tuple[int, int, Floats, Floats]]) -> float:
    total = count = 0.0
    for first, last, to_first, sure in pairs:
        for before, after in zip(film[first], film[last], strict=True):
            there = brought(np.ascontiguousarray(before.transpose(1, 2, 0)), to_first)
            apart = after.transpose(1, 2, 0) - there
            total, count = total + np.square(apart[sure]).sum(), count + sure.sum()
    return float(np.sqrt(total / count)) if count else np.nan


def cdc(L: Sequence[Frame], film: Sequence[Floats]) -> float:
    histograms = []
    for frame, ab in zip(L, film, strict=True):
        large = np.stack([cv2.resize(plane, (SIZE, SIZE)) for plane in ab])
        pixels = color.compose(lightness_of(frame), large, 8)
        histograms.append([np.bincount(pixels[..., c].ravel(), minlength=256) / SIZE**2 for c in range(3)])
    p = np.array(histograms)
    return float(np.mean([divergence(p[:-step], p[step:]).mean() for step in (1, 2, 4)]))


def divergence(p: Floats, q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence of histograms (..., 256), in nat."""
    mean = np.maximum((p + q) / 2, 1e-12)
    parts = [np.where(h > 0, h * np.log(np.maximum(h, 1e-12) / mean), 0).sum(-1) for h in (p, q)]
    return np.asarray((parts[0] + parts[1]) / 2)


def enlarged(ab: Floats) -> Floats:
    return np.stack([[cv2.resize(plane, (GRID, GRID)) for plane in sample] for sample in ab])


def resized(plane: Floats, size: int) -> Floats:
    return np.asarray(cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def show(title: str, rows: Mapping[str, Mapping[str, float | str]]) -> None:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    print(f"{title:30}", *(f"{name:>15}" for name in names))
    for label, row in rows.items():
        cells = [row.get(name, "") for name in names]
        print(f"{label:30}", *(f"{cell:>15}" if isinstance(cell, str) else f"{cell:15.2f}" for cell in cells))
    print(flush=True)


def summary(tables: Sequence[Rows]) -> None:
    names = list(dict.fromkeys(name for table in tables for name in table["true"]))
    terms = {label: {label: 1} for label in tables[0]}
    terms["along motion - frame by frame"] = {"along motion": 1, "frame by frame": -1}
    rows = {label: {n: over_films(tables, n, signs) for n in names} for label, signs in terms.items()}
    show(f"mean of {len(tables)} films", rows)


def over_films(tables: Sequence[Rows], name: str, signs: Mapping[str, int]) -> str:
    """Return the mean of a measure, or of a sum of rows, and its standard error."""
    values = [sum(sign * table[row].get(name, np.nan) for row, sign in signs.items()) for table in tables]
    values = [value for value in values if np.isfinite(value)]
    if len(values) < 2:
        return ""
    return f"{np.mean(values):.2f} +- {np.std(values, ddof=1) / len(values) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
