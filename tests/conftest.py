"""Shared fixtures."""

import logging
from pathlib import Path

import hypothesis
import pytest
from helpers import DATA_REQUIRED, EXAMPLES, SHARED, pack_pieces, shared_data, stir
from narrow import NEARSIGHTED

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


SLOW_SECONDS = 3600  # a test marked slow; for others see pyproject.toml


def pytest_configure():
    if DATA_REQUIRED and not SHARED.is_dir():
        raise pytest.UsageError(f"CI=true requires {SHARED}; SHARED_DATA=none runs the tests without it")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture(autouse=True)
def fresh_log():
    """Undo what a command that ran in this process, quietly perhaps, made of the package's log."""
    log = logging.getLogger("cinn_colorize")
    log.handlers.clear()
    log.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data sets beside the repository."""
    return shared_data()


@pytest.fixture(scope="session")
def examples() -> Path:
    """The photos that the repository ships."""
    return EXAMPLES


@pytest.fixture(scope="session")
def shipped_colorizer():
    """The shipped model."""
    from cinn_colorize import Colorizer

    return Colorizer(device="cpu")


@pytest.fixture(scope="session")
def narrow_weights(tmp_path_factory) -> Path:
    """Random weights of the shipped model with few channels."""
    import torch

    from cinn_colorize.models import save_model
    from cinn_colorize.models.natural import Natural

    path = tmp_path_factory.mktemp("narrow") / "natural.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(path, stir(Natural(NEARSIGHTED)), {})
    return path


@pytest.fixture(scope="session")
def colorizer(narrow_weights):
    """A model for tests that judge no pictures, which draws in an eighth of the time of the shipped one."""
    from cinn_colorize import Colorizer

    return Colorizer(device="cpu", weights=narrow_weights)


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """The photos on which models are chosen; where they are missing, as many pieces of the examples."""
    from cinn_colorize.data.sources import find_photos

    path = SHARED / "photos-dev.zip"
    if not path.exists():
        path = pack_pieces(tmp_path_factory.mktemp("pieces") / path.name, 400)
    return find_photos(path)


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch):
    """Slow machines print no more lines than fast ones, as far as commands run in this process."""
    monkeypatch.setattr("cinn_colorize.cli.summary._EVERY", 1e6)
