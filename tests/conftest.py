"""Shared fixtures. Laws of the flow are tested in float64, away from the zeros that training starts at."""

import os
from pathlib import Path

import hypothesis
import pytest
from helpers import EXAMPLES, SHARED, stir

# A test process shares the machine with others; results must not depend on the number of threads anyway.
os.environ.setdefault("OMP_NUM_THREADS", "2")
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("../shared/data is not there")
    return SHARED


@pytest.fixture(scope="session")
def examples() -> Path:
    """The photos that the repository ships."""
    return EXAMPLES


@pytest.fixture(scope="session")
def natural64():
    """The architecture of ``natural`` in float64, random weights, eval mode."""
    import torch

    from cinn_colorize.models.natural import Natural, NaturalConfig

    torch.manual_seed(0)
    return stir(Natural(NaturalConfig.default())).double().eval()


@pytest.fixture(scope="session")
def colorizer():
    """The shipped model."""
    from cinn_colorize import Colorizer

    return Colorizer(device="cpu")
