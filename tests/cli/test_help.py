"""The help of every command: its width, its examples, and what it says of levels."""

import shlex
import subprocess

import pytest
import typer
from helpers import ENVIRONMENT, command, the_line
from typer.testing import CliRunner

from cinn_colorize.cli.app import COMMANDS, app, function_of
from cinn_colorize.cli.common import FORMATS, PHOTO_MODELS

METRICS = ["st_lpips", "top5_lite0", "top5_vgg16"]
NAMES = [*COMMANDS]


def help_of(name, width=100):
    result = CliRunner().invoke(app, [name, "--help"], terminal_width=width)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_list_says_what_a_command_says_of_itself(name):
    assert function_of(name).__doc__.splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", NAMES)
def test_lines_fit_the_terminal(name, width):
    assert max(map(len, help_of(name, width).splitlines())) <= width


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_two_examples_that_parse(name):
    _, examples = help_of(name, 80).split("\nExamples:\n")
    group = typer.main.get_command(app)
    lines = examples.splitlines()
    assert len(lines) == 2
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "cinn-colorize"
        with group.make_context(program, arguments) as context:
            called, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            assert called == name
            command.make_context(called, rest, parent=context)


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_explained_where_they_appear(name):
    text = " ".join(help_of(name).split())
    assert ("LEVEL" in text) == ("LEVEL is a resolution of the latent code" in text)


@pytest.mark.parametrize("name", ["colorize", "transfer", "mix", "sample", "temperature", "evaluate"])
def test_the_largest_temperature_is_stated(name):
    text = " ".join(help_of(name).split())
    assert "0 to 2" in text.partition("--temperature ")[2][:200]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_ranges_are_in_words(name):
    text = " ".join(help_of(name).split())
    assert "x>=" not in text
    assert "<=x<=" not in text
    assert "[default: (" not in text
    assert "{" not in text.partition("Arguments:")[0], "nor are arguments in braces"


def test_a_range_is_said_once():
    text = " ".join(help_of("colorize").split())
    assert "0 is gray. [default: 1.0] " in text
    assert "JPEG, WebP and AVIF files. [default: 95; 1 to 100] " in text
    assert "0 to 1; the rest is noise. --levels" in " ".join(help_of("transfer").split())


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("colorize --format ", FORMATS),
        ("photo.jpg --format t", ["tiff"]),
        ("colorize --model ", PHOTO_MODELS),
        ("sample --model m", ["mnist"]),
        ("train --device ", ["auto", "cpu", "cuda", "mps"]),
        ("download ", ["natural", "mnist", "bedrooms"]),
        ("download natural m", ["mnist"]),
        ("evaluate photos --metrics k", ["kid_lite0"]),
        ("evaluate photos --metrics fid,kid_lite0,", [f"fid,kid_lite0,{name}" for name in METRICS]),
    ],
)
def test_a_shell_completes_the_values_that_the_help_lists(line, values):
    words = f"cinn-colorize {line}"
    shell = {"_CINN_COLORIZE_COMPLETE": "complete_bash", "COMP_WORDS": words}
    shell["COMP_CWORD"] = str(words.count(" "))
    done = subprocess.run(command(), capture_output=True, text=True, env=ENVIRONMENT | shell)
    assert (sorted(done.stdout.split()), done.stderr) == (sorted(values), "")


def test_a_home_that_takes_no_completion_is_said_in_a_line(tmp_path):
    home = tmp_path / "home"
    home.touch()
    environment = ENVIRONMENT | {"HOME": str(home), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        command("--install-completion", "bash"), capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert the_line(done) == f"cinn-colorize: {home}: File exists; --debug shows where\n"


def test_levels_are_those_of_the_shipped_model():
    assert "latent code: 32, 16 or 8. " in " ".join(help_of("colorize").split())
    assert "[default: 1,8:0.2]" in " ".join(help_of("transfer").split())
