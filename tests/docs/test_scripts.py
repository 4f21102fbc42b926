"""The docs mention only scripts that exist, and list all of them."""

import re

import pytest
from helpers import ROOT

SCRIPTS = ROOT / "scripts"
MENTION = re.compile(r"\bscripts/[\w/]+\.py")


def texts():
    yield from ROOT.glob("*.md")
    for folder in ("docs", "weights", "scripts", "cinn_colorize"):
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".py"))


def test_scripts_that_are_named_are_there():
    named = {(name, path) for path in texts() for name in MENTION.findall(path.read_text())}
    assert len(named) > 20
    assert not [f"{path}: {name}" for name, path in named if not (ROOT / name).is_file()]


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: path.name)
def test_the_list_of_scripts_has_all(path):
    sections = re.split(r"^## `(\w+)/`", (SCRIPTS / "README.md").read_text(), flags=re.MULTILINE)
    by_folder = dict(zip(["scripts", *sections[1::2]], sections[::2], strict=True))
    assert f"`{path.name}`" in by_folder[path.parent.name]
