"""Options in groups: the command line lists the fields, the command receives the dataclass."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cinn_colorize.cli.app import COMMANDS, flattened, function_of
from cinn_colorize.errors import OriginalError
from cinn_colorize.files.atomic import replacing
from cinn_colorize.imaging.options import Encoding, Rendering, Upsampling, option


@dataclass(frozen=True)
class Inner:
    depth: int = option(8, None, "How deep.", min=1)


@dataclass(frozen=True)
class Outer:
    name: str = option("none", None, "Its name.")
    inner: Inner = Inner()


@pytest.fixture
def run():
    got = []

    def command(word: Annotated[str, typer.Argument()], *, group: Outer, loud: bool = False) -> None:
        got.append((word, group, loud))

    app = typer.Typer()
    app.command()(flattened(command))

    def invoke(*arguments):
        result = CliRunner().invoke(app, arguments)
        return result, got[-1] if got else None

    return invoke


def test_a_command_gets_its_groups_whole(run):
    assert run("word")[1] == ("word", Outer(), False)
    given = run("word", "--depth", "3", "--loud", "--name", "x")[1]
    assert given == ("word", Outer("x", Inner(3)), True)


def test_fields_are_checked_and_listed_as_options_are(run):
    result, got = run("word", "--depth", "0")
    assert result.exit_code == 2
    assert got is None
    assert "How deep." in run("--help")[0].stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_no_two_groups_of_a_command_have_the_same_option(name):
    app = typer.Typer()
    app.command()(flattened(function_of(name)))
    options = [option for p in typer.main.get_command(app).params for option in p.opts if option[0] == "-"]
    assert len(options) == len(set(options))


@pytest.mark.parametrize(
    "options",
    [
        Rendering(Upsampling.exact),
        Rendering(saturation=1.25),
        Rendering(saturation=1e-5),
        Encoding(80, True),
        Encoding(1, False),
    ],
    ids=str,
)
def test_a_recipe_keeps_options(options):
    entries = options.entries()
    assert all(isinstance(value, str) for value in entries.values())
    assert type(options).from_entries({**entries, "other": "x"}) == options


def test_an_option_that_a_recipe_does_not_know_has_its_default():
    assert Encoding.from_entries({"quality": "90"}) == Encoding(90)


@pytest.mark.parametrize(
    ("kind", "entries", "problem"),
    [
        (Rendering, {"upsampling": "no"}, "upsampling 'no' is not one of jbu, exact, bicubic"),
        (Rendering, {"saturation": "2.5"}, "saturation '2.5' is not a number from 0 to 2"),
        (Rendering, {"saturation": "nan"}, "saturation 'nan' is not a number from 0 to 2"),
        (Encoding, {"quality": "x", "strip": "true"}, "quality 'x' is not a number"),
    ],
)
def test_what_is_no_option_is_said(kind, entries, problem):
    with pytest.raises(ValueError, match=problem):
        kind.from_entries(entries)


@pytest.mark.parametrize("several", [list, tuple])
def test_files_are_protected_however_they_are_named(tmp_path, several):
    """Some versions of Typer give the values of an argument as a tuple."""
    (tmp_path / "a.jpg").touch()

    def command(*, photos: list[str]) -> None:
        with pytest.raises(OriginalError), replacing(tmp_path / "a.jpg"):
            pass
        seen.append(photos)

    seen = []
    flattened(command)(photos=several([str(tmp_path / "a.jpg")]))
    assert len(seen) == 1
