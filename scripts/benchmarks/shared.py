"""What benchmarks share: timing in turn, so that other load affects all alternatives, and tables."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Times = dict[str, list[float]]


def in_turn(ways: Mapping[str, Callable[[], object]], repeats: int) -> Times:
    """Time each alternative in each round, after a round that does not count."""
    times: Times = {name: [] for name in ways}
    for _ in range(1 + repeats):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in times.items()}


def finished(words: list[str], environment: Mapping[str, str] | None = None) -> tuple[list[str], list[float]]:
    """Run a process; return what it prints, and wall-clock and CPU seconds and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = process.stdout.read().splitlines()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: failed")
    return said, [time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]


def ratio(times: Times, peer: str, ours: str) -> float:
    """Return how many times longer the peer takes: the median over the rounds."""
    return statistics.median(p / o for p, o in zip(times[peer], times[ours], strict=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table; columns of numbers are right-aligned."""
    columns = zip(*rows, strict=True)
    numeric = (all(not cell or cell.replace(".", "", 1).isdigit() for cell in column) for column in columns)
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
