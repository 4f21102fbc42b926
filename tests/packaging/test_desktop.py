"""The program for those who have no Python, as far as it can be tried without building it."""

import ast
import os
import re
import runpy
import signal
import subprocess
import sys
import tomllib
import webbrowser

import pytest
from helpers import ENVIRONMENT, EXAMPLES, ROOT

PACKAGING = ROOT / "packaging"
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()))
from cinn_colorize.cli import main
main()
"""


def excluded():
    tree = ast.parse((PACKAGING / "cinn-colorize.spec").read_text())
    (value,) = (
        node.value.func.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXCLUDED"
    )
    return value.split()


@pytest.mark.ci
def test_what_the_folder_leaves_out_is_not_needed_to_colorize(tmp_path):
    left_out = excluded()
    assert "torch" in left_out
    arguments = [EXAMPLES / "photo.jpg", "--hint", "310,120,#a02832", "-o", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, " ".join(left_out), *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.glob("*.jpg")]) == 1


def test_its_requirements_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {*project["dependencies"], *project["optional-dependencies"]["studio"]}
    lines = (PACKAGING / "requirements.txt").read_text().splitlines()
    wanted = {line for line in lines if not line.startswith(("#", "pyinstaller"))}
    assert wanted <= declared
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in declared - wanted}
    assert names == {"huggingface-hub", "scikit-image", "torch", "torchvision"}


@pytest.mark.parametrize("early", [True, False])
def test_the_program_ends_with_its_input_as_by_ctrl_c(early):
    """Though what started it ignores that, as a shell does for what runs in the background."""
    words = [PACKAGING / "program.py", "--until-input-ends", "studio", "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, *words],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        assert early or "http://localhost:" in process.stderr.readline()
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(60) == 128 + signal.SIGINT
    finally:
        process.kill()


@pytest.mark.parametrize("before", [None, "/opt/lib"])
def test_the_browser_loads_its_own_libraries_and_workers_those_of_the_folder(monkeypatch, before):
    seen = []
    monkeypatch.setattr(webbrowser, "open", lambda *_: seen.append(os.environ.get("LD_LIBRARY_PATH")))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/folder/_internal")
    monkeypatch.delenv("LD_LIBRARY_PATH_ORIG", raising=False)
    if before:
        monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", before)
    runpy.run_path(str(PACKAGING / "environment.py"))
    webbrowser.open("http://localhost/")
    assert seen == [before]
    assert os.environ["LD_LIBRARY_PATH"] == "/folder/_internal"
    assert os.environ.get("LD_LIBRARY_PATH_ORIG") == before
