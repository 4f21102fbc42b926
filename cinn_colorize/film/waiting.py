"""What waits: arrays in a file until they are needed, and items that another thread computes ahead."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")
_END = object()


class Stored:
    """Arrays of one shape in a file, by number."""

    def __init__(self, file: IO[bytes], dtype: DTypeLike) -> None:
        self._file, self._dtype, self._shape = file, np.dtype(dtype), (0,)
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def __setitem__(self, number: int, array: NDArray[Any]) -> None:
        self._shape = array.shape
        self._places[number] = self._free.pop() if self._free else len(self._places)
        self._file.seek(self._size * self._places[number])
        self._file.write(np.ascontiguousarray(array, self._dtype).data)

    def __getitem__(self, number: int) -> NDArray[Any]:
        self._file.seek(self._size * self._places[number])
        return np.frombuffer(self._file.read(self._size), self._dtype).reshape(self._shape)

    def __delitem__(self, number: int) -> None:
        """Forget an array; another one takes its place."""
        self._free.append(self._places.pop(number))

    @property
    def _size(self) -> int:
        return math.prod(self._shape) * self._dtype.itemsize


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
