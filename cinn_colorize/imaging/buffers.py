"""Memory for pictures; large ones are backed by a file."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from numpy.typing import NDArray

_IN_MEMORY = 64 * 2**20  # bytes


def empty(shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """Return an uninitialised array; a large one is backed by a temporary file that no folder lists.

    Disk space is reserved at once, since a disk that fills up later would kill the process. It is freed
    with the array, or when the process ends, however it does.

    Raises:
        OSError: the disk has no space for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="cinn-colorize-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # on macOS and Windows; the former would leave it sparse
            for start in range(0, size, _IN_MEMORY):
                file.write(bytes(min(_IN_MEMORY, size - start)))
            file.flush()
        return np.memmap(file, dtype, "w+", shape=shape)
