"""Where results go: whether files can be created there, under these names."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from cinn_colorize.errors import OutputError, PhotoError
from cinn_colorize.files.atomic import FULL, is_too_long
from cinn_colorize.files.messages import printable_name


def check_names(outputs: Iterable[Path]) -> None:
    """Refuse names that no file can have before anything is drawn for them.

    Raises:
        PhotoError: one is too long.
    """
    from cinn_colorize.imaging.picture import cannot_write

    for output in filter(is_too_long, outputs):
        raise cannot_write(printable_name(output), os.strerror(errno.ENAMETOOLONG))


def make_folder(folder: Path, whole: Path, *, dry_run: bool = False) -> None:
    """Create the folder of an output, and check that files can be created in it.

    Args:
        folder: that folder.
        whole: folder of the batch, in or below which most outputs are.
        dry_run: whether to create nothing, and check the folder that it would be created in.

    Raises:
        OutputError: nothing can be written in the whole folder.
        PhotoError: nothing can be written in this one.
    """
    name = printable_name(folder)
    try:
        if dry_run:
            folder = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
        folder.mkdir(parents=True, exist_ok=True)
        number = 0 if _is_writable(folder) else errno.EROFS if _is_read_only(folder) else errno.EACCES
    except (FileExistsError, NotADirectoryError) as error:
        raise PhotoError(
            f"{name}: cannot be created, a file is in its place; choose another folder"
        ) from error
    except OSError as error:
        number = error.errno or errno.EACCES
    if number:
        kind = OutputError if number in FULL or not _is_writable(whole) else PhotoError
        raise kind(f"{name}: cannot be written to ({os.strerror(number)}); choose another folder")


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
