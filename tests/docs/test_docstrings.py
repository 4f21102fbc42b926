"""The examples in docstrings give what they say."""

import doctest
from importlib import import_module

import pytest
from helpers import EXAMPLES, ROOT
from PIL import Image

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "cinn_colorize").rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, colorizer, tmp_path, monkeypatch):
    """With a photo of 400 x 225 pixels in the folder, and a colorizer."""
    Image.open(EXAMPLES / "photo.jpg").resize((400, 225)).convert("L").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(name), extraglobs={"colorizer": colorizer})
    assert found.attempted
    assert not found.failed


def test_what_users_call_has_examples():
    assert {
        "cinn_colorize.colorizer",
        "cinn_colorize.methods.samples",
    } <= {*MODULES}
