"""The docs mention only scripts that exist, and list all of them."""

import re
import subprocess
import sys

import pytest
from helpers import ENVIRONMENT, ROOT

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


# Each as the main program, all in one process; modules of other folders have the same names.
HELP = """
import runpy, sys
for path in sys.argv[1:]:
    folder = path.rpartition("/")[0]
    sys.argv, sys.path[0] = [path, "--help"], folder
    try:
        runpy.run_path(path, run_name="__main__")
        print("MISSING", path)
    except SystemExit as end:
        print("" if end.code in (0, None) else f"FAILED {path}: {end.code}")
    for name, module in list(sys.modules.items()):
        if "/scripts/" in (getattr(module, "__file__", "") or ""):
            del sys.modules[name]
"""


def test_all_programs_have_a_help():
    paths = [path for path in sorted(SCRIPTS.rglob("*.py")) if "ArgumentParser(" in path.read_text()]
    assert len(paths) > 20
    command = [sys.executable, "-c", HELP, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: ") == len(paths)
    assert not [line for line in done.stdout.splitlines() if line.startswith(("MISSING", "FAILED"))]


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: path.name)
def test_the_list_of_scripts_has_all(path):
    sections = re.split(r"^## `(\w+)/`", (SCRIPTS / "README.md").read_text(), flags=re.MULTILINE)
    by_folder = dict(zip(["scripts", *sections[1::2]], sections[::2], strict=True))
    assert f"`{path.name}`" in by_folder[path.parent.name]
