"""Time alternatives in turn, so that other load on the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Times = dict[str, list[float]]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(ways: Mapping[str, Callable[[], object]], repeats: int, warm: bool = True) -> Times:
    """Time each alternative in each round; with ``warm``, after a round that does not count."""
    if warm:
        for work in ways.values():
            work()
    times: Times = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            times[name].append(seconds(work))
    return times


def ratio(times: Times, peer: str, ours: str) -> float:
    """Return how many times longer the peer takes: the median over the rounds."""
    return statistics.median(p / o for p, o in zip(times[peer], times[ours], strict=True))
