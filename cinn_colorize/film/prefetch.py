"""Work that another thread does ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")
_END = object()


def prefetched(items: Iterable[T], most: int) -> Iterator[T]:
    """Yield items that another thread computes, up to ``most`` of them before they are asked for."""
    iterator, pool = iter(items), ThreadPoolExecutor(1)
    try:
        pending = deque(pool.submit(next, iterator, _END) for _ in range(most))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, iterator, _END))
            yield cast("T", item)
    finally:
        pool.shutdown(cancel_futures=True)
