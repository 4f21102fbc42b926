"""Shared fixtures."""

import os
from pathlib import Path

import hypothesis
import pytest
from helpers import DEV, EXAMPLES, SHARED

# A test process shares the machine with others; results must not depend on the number of threads anyway.
os.environ.setdefault("OMP_NUM_THREADS", "2")
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data sets beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not there")
    return SHARED


@pytest.fixture(scope="session")
def examples() -> Path:
    """The photos that the repository ships."""
    return EXAMPLES


@pytest.fixture(scope="session")
def colorizer():
    """The shipped model."""
    from cinn_colorize import Colorizer

    return Colorizer(device="cpu")


@pytest.fixture(scope="session")
def sources():
    """The photos held out of training."""
    from cinn_colorize.data.sources import find_photos

    if not DEV.exists():
        pytest.skip(f"{DEV} is not here")
    return find_photos(DEV)
