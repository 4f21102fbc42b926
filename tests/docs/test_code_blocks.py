"""The code in README.md and docs runs: README's commands in their order, in one folder."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import ENVIRONMENT, EXAMPLES, ROOT
from PIL import Image

README = ROOT / "README.md"
NOT_RUN = {  # how a command begins, and why it is skipped
    "pip install": "changes the environment",
    "pytest": "runs this test",
    "cinn-colorize studio": "runs until Ctrl-C",
    "cinn-colorize train": "takes hours",
}
# Many samples, or refined samples.
SLOW = re.compile(r"--hints? |hints=|--pick |pick=|evaluate ")
SEVERAL = "n=4"


def blocks(path):
    """Language and code of a file's fenced blocks, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def commands(code):
    """The commands of a shell block, in order."""
    lines = (line.strip() for line in code.replace("\\\n", " ").splitlines())
    return [part for line in lines if line and not line.startswith("#") for part in line.split(" && ")]


def left_out(command):
    return next((beginning for beginning in NOT_RUN if command.startswith(beginning)), None)


def steps(path):
    """Language and code of each step: a block of Python, or a command."""
    for language, code in blocks(path):
        if language == "python":
            yield language, code
        elif language == "sh":
            yield from ((language, command) for command in commands(code))


def executable(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the commands name."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    programs.mkdir()
    for name in ("examples", "scans/box", "FOLDER_OR_ZIP", "runs/natural"):
        (home / name).mkdir(parents=True)
    color = Image.open(EXAMPLES / "photo.jpg").resize((400, 225))
    gray = color.convert("L")
    shutil.copy(EXAMPLES / "photo.jpg", home / "examples")
    shutil.copytree(EXAMPLES / "old", home / "examples/old")
    for name in ("photo.jpg", "harbour.jpg", "bedroom.jpg", "scans/a.jpg", "scans/box/b.png"):
        gray.save(home / name)
    for name in ("sunset.jpg", "FOLDER_OR_ZIP/a.png", "FOLDER_OR_ZIP/b.png"):
        color.save(home / name)
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(home / "scan.tif")
    gray.save(home / "album.tif", save_all=True, append_images=[gray.rotate(180)])
    Image.linear_gradient("L").resize(gray.size).save(home / "sky.png")
    strokes = Image.new("RGBA", gray.size)
    strokes.paste((160, 40, 50, 255), (300, 110, 320, 130))
    strokes.save(home / "strokes.png")
    shutil.copy(ROOT / "weights/natural.safetensors", home / "runs/natural")
    executable(programs / "cinn-colorize", f'exec "{sys.executable}" -m cinn_colorize "$@"')
    executable(programs / "xdg-open", 'exec test -f "$1"')
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{programs}:{ENVIRONMENT['PATH']}")
    monkeypatch.chdir(home)
    return home


def run(command):
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(False, marks=pytest.mark.ci, id="quick"),
        pytest.param(True, marks=pytest.mark.slow, id="whole"),
    ],
)
def test_readme_from_top_to_bottom_twice(folder, slow):
    names = {}
    for language, code in [*steps(README)] * 2:
        if left_out(code) or (SLOW.search(code) and not slow):
            continue
        if language == "python":
            exec(compile(code, "README.md", "exec"), names)
        else:
            run(code)
    named = set(re.findall(r"colorized/[\w.-]+\.\w+", "".join(code for _, code in blocks(README))))
    assert named
    assert all((folder / name).is_file() for name in named)


def test_what_is_left_out_is_what_readme_has():
    beginnings = {left_out(code) for language, code in steps(README) if language == "sh"}
    assert beginnings == {None, *NOT_RUN}


def pages():
    for path in sorted((ROOT / "docs").glob("*.md")):
        code = [code for language, code in blocks(path) if language == "python"]
        text = "".join(code)
        marks = [pytest.mark.slow] if SLOW.search(text) else pytest.mark.ci if SEVERAL in text else []
        if code:
            yield pytest.param(path.name, code, id=path.name, marks=marks)


@pytest.mark.parametrize(("page", "code"), list(pages()))
def test_python_of_docs(folder, page, code):
    names = {}
    for block in code:
        exec(compile(block, page, "exec"), names)
