"""Photos for batches, which run in this process."""

import pytest
from helpers import in_this_process, make_photos


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, colorizer)


@pytest.fixture
def scans(run):
    """Three photos in a folder."""
    return make_photos("scans", "a.jpg", "b.png", "c.jpg")
