"""Write Markdown tables, and put them into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


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


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit() or cell == ""
