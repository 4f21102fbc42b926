"""Memory for pictures; that of large ones is a file."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from numpy.typing import NDArray

_IN_MEMORY = 64 * 2**20  # bytes


def empty(shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    """An array without content; a large one lies in a temporary file that no folder lists.

    The file's place on the disk is taken at once, since a disk that fills up later would end the process; it
    is free again when the array is gone, or the process, however it ends.

    Raises:
        OSError: the disk has no place for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="cinn-colorize-") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "w+", shape=shape)
