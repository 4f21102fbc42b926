"""The files that a call names, whichever options they are given with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cinn_colorize.models.registry import MODELS

# Parameters that name what a call writes. Those of all others are taken for files that it reads, so that a
# new option needs no line here to protect its file.
_WRITTEN = frozenset({"output_dir", "output", "manifest", "save_z", "plot", "run", "cache"})


def named_files(parameters: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files and folders that a call reads, as far as its parameters name them."""
    for name, value in parameters.items():
        for text in value if isinstance(value, list) else [value]:
            if name not in _WRITTEN and isinstance(text, (str, Path)):
                yield from _files_in(os.fspath(text))
    info = MODELS.get(parameters.get("model") or "")
    if info and not parameters.get("weights"):
        from cinn_colorize.models.weights import find_packaged, is_packaged

        if is_packaged(info.file):
            yield find_packaged(info.file)


def _files_in(text: str) -> Iterator[Path]:
    """Yield a file, that of ``@LIST``, and those of a list such as ``--interpolate`` takes."""
    for name in {text, text.removeprefix("@"), *text.split(",")}:
        if name and os.path.lexists(name):
            yield Path(name)
