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


# Each line as a command, all in one process; modules of other folders have the same names.
RUN = """
import runpy, sys
for line in sys.stdin.read().splitlines():
    path, *arguments = line.split("\t")
    sys.argv, sys.path[0] = [path, *arguments], path.rpartition("/")[0]
    try:
        runpy.run_path(path, run_name="__main__")
        print("MISSING", path)
    except SystemExit as end:
        print("" if end.code in (0, None) else f"FAILED {path}: {end.code}")
    for name, module in list(sys.modules.items()):
        if "/scripts/" in (getattr(module, "__file__", "") or ""):
            del sys.modules[name]
"""


def run_all(commands):
    """Return what commands, each a path and its arguments, print in all."""
    lines = "\n".join("\t".join([str(SCRIPTS / path), *arguments]) for path, *arguments in commands)
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=lines, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_all_programs_have_a_help():
    paths = [path for path in sorted(SCRIPTS.rglob("*.py")) if "ArgumentParser(" in path.read_text()]
    assert len(paths) > 20
    lines = run_all([(path, "--help") for path in paths])
    assert sum(line.count("usage: ") for line in lines) == len(paths)
    assert not [line for line in lines if line.startswith(("MISSING", "FAILED"))]


@pytest.mark.ci
def test_photos_that_are_missing_are_named_in_one_line():
    commands = [
        ("compare/evaluate.py", "photos", "nowhere", "--reference", "nowhere"),
        ("training/grow.py", "nowhere", "out.safetensors"),
        ("training/photos.py", "made", "--keep-out", "nowhere"),
        ("measure/frames.py", "nowhere"),
        ("measure/hints.py", "nowhere"),
        ("measure/latents.py", "nowhere"),
        ("measure/levels.py", "nowhere"),
        ("measure/likeliest.py", "nowhere"),
        ("measure/settings.py", "nowhere", "nowhere", "0.7"),
        ("measure/shows.py", "nowhere", "nowhere"),
        ("measure/tones.py", "nowhere", "0.7"),
        ("pack_lmdb.py", "nowhere", "photos.lmdb"),
        ("paper/ablations.py", "lsun", "nowhere"),
        ("paper/check_mnist.py", "nowhere"),
        ("paper/contact_sheet.py", "nowhere"),
    ]
    failed = [line for line in run_all(commands) if line.startswith(("MISSING", "FAILED"))]
    for (path, *_), line in zip(commands, failed, strict=True):
        assert line.startswith(f"FAILED {SCRIPTS / path}: {path.rpartition('/')[2]}: nowhere: ")


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.py")), ids=lambda path: path.name)
def test_the_list_of_scripts_has_all(path):
    sections = re.split(r"^## `(\w+)/`", (SCRIPTS / "README.md").read_text(), flags=re.MULTILINE)
    by_folder = dict(zip(["scripts", *sections[1::2]], sections[::2], strict=True))
    assert f"`{path.name}`" in by_folder[path.parent.name]
