"""Weights files: find, download and verify them.

A weights file (:mod:`cinn_colorize.files.tensorfile`) is a packaged one, a local path, or ``hf:owner/name``
on the Hugging Face hub, whose client honours ``HF_HOME`` and ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import os
from pathlib import Path

from cinn_colorize.errors import WeightsError
from cinn_colorize.files.messages import printable_name
from cinn_colorize.files.tensorfile import identify

HUB_PREFIX = "hf:"
_PACKAGE = Path(__file__).parents[1]
# Packaged weights are inside an installed package, and beside the package in a checkout.
_FOLDERS = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")


def is_packaged(file: str) -> bool:
    """Return whether this installation contains a weights file."""
    return any((folder / file).is_file() for folder in _FOLDERS)


def find_packaged(file: str) -> Path:
    """Return the path of a packaged weights file.

    Raises:
        WeightsError: this installation does not contain it.
    """
    for folder in _FOLDERS:
        if (folder / file).is_file():
            return folder / file
    raise WeightsError(
        f"{file}: not in this installation; reinstall cinn-colorize, or pass a file with --weights"
    )


def find(source: str | os.PathLike[str]) -> Path:
    """Return the path of weights: of a file, or of ``hf:owner/name``, downloaded if necessary.

    Raises:
        WeightsError: they cannot be found or downloaded.
    """
    name = os.fspath(source)
    if name.startswith(HUB_PREFIX):
        return _download(name.removeprefix(HUB_PREFIX))
    if not Path(name).is_file():
        raise WeightsError(
            f"{printable_name(name)}: no such weights file; pass a .safetensors file or hf:owner/name"
        )
    return Path(name)


def _download(repository: str) -> Path:
    """Fetch the one weights file of a hub repository; the client writes a temporary file and renames it."""
    if repository.count("/") != 1:
        raise WeightsError(f"{HUB_PREFIX}{repository}: not a hub repository; write hf:owner/name")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # hides retries; a final failure is reported below
    filename = f"{repository.split('/')[1]}.safetensors"
    try:
        return Path(hf_hub_download(repository, filename))
    except HFValidationError as error:
        raise WeightsError(f"{HUB_PREFIX}{repository}: not a valid repository name") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{HUB_PREFIX}{repository}: not in the local cache, and the hub cannot be reached; "
            "connect once, or copy the file here and pass its path with --weights"
        ) from error
    except Exception as error:  # HTTP errors, and those of the client's own library
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{HUB_PREFIX}{repository}/{filename}: cannot be downloaded ({reason})") from error


def verify(path: Path, expected: str) -> None:
    """Refuse a file whose SHA-256 is not the expected one.

    Raises:
        WeightsError: it is not, or the file cannot be read.
    """
    actual = identify(path)
    if actual != expected:
        raise WeightsError(
            f"{printable_name(path)}: SHA-256 is {actual[:12]}..., expected {expected[:12]}...; the file is "
            "damaged or of another version; reinstall cinn-colorize or download it again"
        )
