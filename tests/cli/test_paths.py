"""Where results go, who may read them, what reaches a terminal, and pipes that nothing writes into."""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
import pyvips
from helpers import COLOR, GRAY, RECIPE, in_this_process, names, process, the_line, write
from PIL import Image

from cinn_colorize.files import atomic
from cinn_colorize.imaging.metadata import add_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names, modes and pipes of POSIX")

# To clear the screen, set the title, in one byte too, delete, and to write from right to left.
EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202egpj"


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Image.fromarray(GRAY[:48, :64]).save("x.jpg")
    Image.fromarray(COLOR[:48, :64]).save("color.png")
    Image.fromarray(GRAY[:48, :64] // 128 * 255).save("mask.png")
    return in_this_process(monkeypatch, colorizer)


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


# Where results go


@pytest.mark.parametrize("name", ["...jpg", "....jpg", "x.jpg"])
@pytest.mark.parametrize("output", ["{stem}/{seed}{ext}", "{stem}{ext}", None])
def test_results_lie_in_their_folder_whatever_a_photo_is_called(run, name, output):
    Path("p").mkdir()
    Path("x.jpg").rename(f"p/{name}")
    before = tree("..")
    options = ["--output", output] if output else []
    result = run(f"p/{name}", "-o", "out/put", "-n", 1 + (output is None), *options)
    assert result.exit_code == 0, result.stderr
    new = set(tree("..")) - set(before)
    assert len(new) == (3 if output is None else 1)
    assert all(path.startswith("work/out/put/") for path in new)
    assert {f"work/{path}" for path in result.stdout.splitlines()} == new


@pytest.mark.parametrize("output", ["../{stem}{ext}", "{seed}/../../{stem}{ext}", "../work/out/{stem}{ext}"])
def test_a_relative_output_does_not_leave_the_folder(run, output):
    before = tree("..")
    result = run("x.jpg", "-o", "out", "--output", output)
    assert result.exit_code == 2
    assert "leaves the folder of -o" in the_line(result)
    assert tree("..") == before


def test_an_absolute_output_is_where_it_says(run, tmp_path):
    result = run("x.jpg", "-o", "out", "--output", f"{tmp_path}/else/{{stem}}{{ext}}")
    assert result.stdout == f"{tmp_path}/else/x.jpg\n"
    assert names(tmp_path / "else") == ["x.jpg"]


# Terminals


def unprintable(text):
    return [c for line in text.splitlines() for c in line if not c.isprintable()]


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_a_recipe_says_does_not_act_on_a_terminal(run, debug):
    """Not even in the traceback of a real process."""
    packet = add_recipe(None, {**RECIPE, "version": "VERSION"})
    packet = packet.replace(b"VERSION", b"&#x9b;31m&#x7f;&#x202e;gpj")
    write("out.png", GRAY[:4, :4], [(pyvips.GValue.blob_type, "xmp-data", packet)])
    result = process(Path(), "recreate", "out.png", "x.jpg", *debug)
    assert result.returncode == 1
    assert r"(version \x9b31m\x7f\u202egpj) cannot be followed" in result.stderr
    assert len(result.stderr.splitlines()) == 1 or debug
    assert not unprintable(result.stderr)


def test_names_do_not_act_on_a_terminal(run):
    for name in (f"{EVIL}.jpg", f"bad{EVIL}.jpg"):
        Path(name).write_bytes(Path("x.jpg").read_bytes() if name[0] != "b" else b"?")
    # Names in options and in other commands too.
    for arguments in (
        [f"{EVIL}.jpg", f"bad{EVIL}.jpg", "color.png"],
        ["sample", f"bad{EVIL}.jpg"],
        ["x.jpg", "--weights", f"none{EVIL}"],
        ["transfer", f"bad{EVIL}.jpg", "x.jpg"],
        ["recreate", f"bad{EVIL}.jpg", "x.jpg"],
        ["x.jpg", "--output", EVIL],
        ["x.jpg", "--manifest", f"bad{EVIL}.jpg"],
        [f"@{EVIL}"],
        ["evaluate", f"{EVIL}.zip"],
    ):
        result = run(*arguments)
        assert result.exit_code in (1, 2), arguments
        assert "title" in result.stderr
        assert not unprintable(result.stderr), arguments


def test_json_is_ascii_and_still_says_the_name(run):
    Path("x.jpg").rename(f"{EVIL}.jpg")
    result = run(f"{EVIL}.jpg", "--json")
    assert not unprintable(result.stdout)
    assert json.loads(result.stdout)["input"] == f"{EVIL}.jpg"


# Modes


def mode_of(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_results_are_not_more_readable_than_the_photo(run, umask):
    modes = {0o600: 0o600, 0o400: 0o600, 0o640: 0o660, 0o644: 0o664, 0o666: 0o664, 0o604: 0o604}
    for mode in modes:
        shutil.copy("x.jpg", f"{mode:o}.jpg")
        Path(f"{mode:o}.jpg").chmod(mode)
    assert run(*(f"{mode:o}.jpg" for mode in modes), "-n", 2, "--workers", 1).exit_code == 0
    assert len([*Path("colorized").iterdir()]) == 3 * len(modes)
    for mode, expected in modes.items():
        results = [*Path("colorized").glob(f"{mode:o}_*.jpg")]
        assert len(results) == 3
        assert {mode_of(path) for path in results} == {expected}


def test_no_command_makes_them_more_readable(run, umask):
    Path("x.jpg").chmod(0o600)
    for arguments in (
        ["x.jpg", "-n", 2],
        ["temperature", "x.jpg", "--files"],
        ["sample", "x.jpg", "-n", 2, "--save-z", "colorized/z.safetensors"],
        ["mix", "x.jpg", "--seeds", "1,2", "--mask", "mask.png"],
        ["recreate", "colorized/x_000.jpg", "x.jpg", "-q"],
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
    written = names(Path("colorized"))
    assert len(written) == 3 + 6 + 2 + 2 + 1
    assert {mode_of(Path("colorized", name)) for name in written} == {0o600}


@pytest.mark.parametrize(
    ("private", "arguments"),
    [
        ("color.png", ["transfer", "color.png", "x.jpg", "--sheet"]),
        ("mask.png", ["mix", "x.jpg", "--seeds", "1,2", "--mask", "mask.png"]),
        ("strokes.png", ["x.jpg", "--hints", "strokes.png", "-n", 2]),
    ],
)
def test_nor_than_what_else_is_in_them(run, umask, private, arguments):
    strokes = Image.new("RGBA", (64, 48))
    strokes.paste((200, 30, 30, 255), (8, 8, 24, 24))
    strokes.save("strokes.png")
    Path(private).chmod(0o600)
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert {mode_of(path) for path in Path("colorized").iterdir()} == {0o600}


def test_a_photo_from_a_pipe_has_no_mode_to_keep(run, umask):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(Path("x.jpg").read_bytes())
    assert run(f"/dev/fd/{reader}", "--output", "x{ext}").exit_code == 0
    os.close(reader)
    assert mode_of("colorized/x.png") == 0o664


# Pipes


@pytest.mark.parametrize(
    "arguments",
    [
        ["PIPE"],
        ["PIPE", "x.jpg"],
        ["@PIPE"],
        ["--files-from", "PIPE"],
        ["x.jpg", "--hints", "PIPE"],
        ["x.jpg", "--weights", "PIPE"],
        ["x.jpg", "--manifest", "PIPE"],
        ["transfer", "PIPE", "x.jpg"],
        ["transfer", "color.png", "PIPE"],
        ["mix", "x.jpg", "--seeds", "1,2", "--mask", "PIPE"],
        ["temperature", "PIPE"],
        ["sample", "PIPE"],
        ["sample", "x.jpg", "--load-z", "PIPE"],
        ["recreate", "PIPE", "x.jpg"],
        ["transfer", "--model", "mnist", "PIPE"],
        ["evaluate", "PIPE"],
        ["evaluate", ".", "--labels", "PIPE", "--metrics", "top5_lite0"],
    ],
    ids=" ".join,
)
def test_a_pipe_that_nothing_writes_into_is_not_waited_for(run, monkeypatch, arguments):
    monkeypatch.setattr(atomic, "_PATIENCE", 0.2)
    os.mkfifo("PIPE")
    result = run(*arguments, "-q")
    assert result.exit_code == 1
    assert "PIPE" in the_line(result)


def test_a_pipe_whose_writer_takes_its_time(run, monkeypatch):
    os.mkfifo("PIPE")
    if not os.fork():
        with Path("PIPE").open("wb") as file:  # waits for a reader
            file.write(Path("x.jpg").read_bytes())
        os._exit(0)
    result = run("PIPE", "-s", 0, "-o", "piped")
    os.wait()
    assert result.stdout == "piped/PIPE_000.png\n", result.stderr


def test_a_file_that_is_taken_for_an_option_can_be_named(run):
    Path("x.jpg").rename("-dash.jpg")
    for arguments in (["-dash.jpg"], ["colorize", "-dash.jpg"], ["-n", "2", "-dash.jpg"]):
        refused = run(*arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "if you mean the file -dash.jpg, write ./-dash.jpg" in the_line(refused)
    Path("-n").touch()
    for arguments in (["-x"], ["x.jpg", "-n", "0"]):
        assert "if you mean" not in the_line(run(*arguments))
    assert run("./-dash.jpg", "-s", 0, "-q").stdout == "colorized/-dash_000.jpg\n"


def test_subfolders_are_searched_by_all_commands_that_advise_it(tmp_path, colorizer, monkeypatch):
    (tmp_path / "scans/below").mkdir(parents=True)
    Image.fromarray(GRAY[:48, :64]).save(tmp_path / "scans/below/a.png")
    Image.fromarray(COLOR[:48, :64]).save(tmp_path / "color.png")
    monkeypatch.chdir(tmp_path)
    run = in_this_process(monkeypatch, colorizer)
    assert "--recursive also searches" in the_line(run("transfer", "color.png", "scans"))
    assert (
        run("transfer", "color.png", "scans", "--recursive").stdout
        == "colorized/below/a_like_color_000.png\n"
    )
    assert "--recursive also searches" in the_line(run("studio", "scans", "--no-browser"))
    monkeypatch.setattr("cinn_colorize.studio.server.Server.run", lambda server, *_: print(server.given()))
    monkeypatch.setattr("cinn_colorize.studio.server.Jobs", lambda *_: None)
    monkeypatch.setattr(
        "cinn_colorize.studio.server.Server.given", lambda server: server._library.given(), raising=False
    )
    assert "scans/below/a.png" in run("studio", "scans", "--recursive", "--no-browser", "--port", "0").stdout
