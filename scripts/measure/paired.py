"""Measures of samples photo by photo, and tables of how rows differ: what several scripts share."""

from collections.abc import Mapping, Sequence

from cinn_colorize.evaluation import metrics
from cinn_colorize.evaluation.metrics import Estimate, Statistics
from cinn_colorize.evaluation.photos import Doubles, Square
from cinn_colorize.imaging.color import Floats

Rows = Mapping[str, Sequence[Statistics]]  # of each photo, in one order


def compared(photo: Square, pictures: Doubles, ab: Floats) -> Statistics:
    """Compare pictures (N, 3, 256, 256) and their colours (N, 2, 64, 64) with a photo."""
    of_colours = metrics.color_statistics(metrics.limited(ab), photo.ab)
    return {**metrics.picture_statistics(pictures, photo.rgb), **of_colours}


def print_table(head: str, digits: Mapping[str, int], rows: Rows) -> None:
    """Print measures, with so many decimals, and their differences from the first row photo by photo."""
    first = next(iter(rows))
    columns = [f"{name} | difference from {first}" for name in digits]
    print(f"| {head} | {' | '.join(columns)} |\n|{'---|' * (1 + 2 * len(digits))}")
    for title, measured in rows.items():
        means = metrics.estimate(measured)
        changes = {} if title == first else metrics.difference(measured, rows[first])
        cells = [
            cell(found.get(name), decimals, sign)
            for name, decimals in digits.items()
            for found, sign in ((means, ""), (changes, "+"))
        ]
        print(f"| {title} | {' | '.join(cells)} |")


def cell(measure: Estimate | None, decimals: int, sign: str = "") -> str:
    if measure is None:
        return "-"
    return f"{measure.mean:{sign}.{decimals}f} ± {measure.se:.{decimals}f}"
