"""The command in a process of its own, or in this one with a model that is loaded already."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

import cinn_colorize
from cinn_colorize.cli.app import app
from cinn_colorize.workers import Alone

# The package is found in a checkout too.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(cinn_colorize.__file__).parents[1])}


def command(*arguments):
    return [sys.executable, "-m", "cinn_colorize", *map(str, arguments)]


def process(folder, *arguments):
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, env=ENVIRONMENT)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def the_line(result):
    """What a call that failed said: one line on stderr."""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("cinn-colorize: ")
    return result.stderr


class _Here(contextlib.nullcontext, Alone):
    """No processes: all photos one after the other."""

    def __init__(self, setup, plan, _):
        contextlib.nullcontext.__init__(self, self)
        Alone.__init__(self, setup, plan)


def in_this_process(monkeypatch, colorizer):
    """A function that runs the command."""
    monkeypatch.setattr("cinn_colorize.batch.Crew", _Here)
    monkeypatch.setattr("cinn_colorize.colorizer.Colorizer", lambda *_, **__: colorizer)
    return lambda *arguments, **options: CliRunner().invoke(app, list(map(str, arguments)), **options)
