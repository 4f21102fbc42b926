"""Write Markdown tables, and put them into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SUMMARY = ("", "cinn-colorize", "instead", "", "ratio")
_WORSE = 0.8  # of the committed ratio: noise alone does not go so far where alternatives take turns


class Report(NamedTuple):
    """The tables of one section of the benchmark, and its lines of the summary (see ``SUMMARY``)."""

    text: str
    summary: list[list[str]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table; columns of numbers are right-aligned."""
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(head))]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def replace_section(path: Path, name: str, text: str) -> None:
    """Put text between the file's comments ``<!-- name -->`` and ``<!-- /name -->``, if it has them."""
    content = path.read_text()
    before, found, rest = content.partition(f"<!-- {name} -->\n")
    if found:
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise ValueError(f"{path}: lacks <!-- /{name} -->")
        path.write_text(f"{before}{found}{text}\n{end}{after}")


def regressions(committed: str, summary: Sequence[Sequence[str]]) -> list[str]:
    """Compare ratios of a summary with those of a page: return a line for each that is a fifth smaller."""
    rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in committed.splitlines())
    before = {(row[0], row[2]): float(row[4]) for row in rows if len(row) == 5 and _is_number(row[4] or "-")}
    return [
        f"{what}: {ratio} times {instead}, where it was {before[what, instead]:.2f} times"
        for what, _, instead, _, ratio in summary
        if float(ratio) < _WORSE * before.get((what, instead), 0)
    ]


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit() or cell == ""
