"""Shared fixtures."""

import logging
from pathlib import Path

import hypothesis
import pytest
from helpers import DEV, EXAMPLES, shared_data, stir
from narrow import NARROW_NATURAL

hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


SLOW_SECONDS = 3600  # for a test that is marked slow; pyproject.toml says how long others may take


def pytest_addoption(parser):
    parser.addoption("--at-least", type=int, default=0, metavar="N", help="fail if there are fewer tests")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_sessionfinish(session):
    reporter, least = (
        session.config.pluginmanager.get_plugin("terminalreporter"),
        session.config.option.at_least,
    )
    outcomes = ("passed", "failed", "error")
    if reporter and (number := sum(len(reporter.stats.get(outcome, ())) for outcome in outcomes)) < least:
        reporter.write_line(f"\nERROR: {number} tests were run, and there have been {least}: --at-least")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
        save_model(path, stir(Natural(NARROW_NATURAL)), {})
    return path


@pytest.fixture(scope="session")
def colorizer(narrow_weights):
    """A model for tests that judge no pictures, which draws in a quarter of the time of the shipped one."""
    from cinn_colorize import Colorizer

    return Colorizer(device="cpu", weights=narrow_weights)


@pytest.fixture(scope="session")
def sources():
    """The photos held out of training."""
    from cinn_colorize.data.sources import find_photos

    return find_photos(shared_data(DEV.name))


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch):
    """Slow machines print no more lines than fast ones, as far as commands run in this process."""
    monkeypatch.setattr("cinn_colorize.cli.progress_bar._EVERY", 1e6)
