"""Streams as shells and services give them: unbuffered, full, closed."""

import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import ENVIRONMENT, command, heeding_signals, longer, names, small_disk, wait_for
from PIL import Image

resource = pytest.importorskip("resource", reason="no limits of that kind")
fcntl = pytest.importorskip("fcntl", reason="no pipes of that kind")
termios = pytest.importorskip("termios")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A photo whose picture is larger than a pipe."""
    path = tmp_path_factory.mktemp("noise") / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)).save(path)
    return path


@pytest.fixture
def pipe():
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("the size of a pipe is fixed here")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with open(reader, "rb") as file:  # noqa: PTH123
        yield file, writer


UNBUFFERED = ENVIRONMENT | {"PYTHONUNBUFFERED": "1"}


def streamed(photo, stdout, environment=UNBUFFERED):
    """The command that colorizes a photo from stdin to stdout."""
    with photo.open("rb") as stdin:
        pipes = {"stdin": stdin, "stdout": stdout, "stderr": subprocess.PIPE}
        return subprocess.Popen(command("-", "-s", 1), env=environment, **pipes)


@pytest.mark.ci
def test_a_picture_is_written_whole_whether_its_stream_is_buffered_or_not(noise):
    pictures = []
    for environment in (UNBUFFERED, ENVIRONMENT | {"PYTHONUNBUFFERED": ""}):
        stdout, stderr = streamed(noise, subprocess.PIPE, environment).communicate()
        assert stderr == b""
        pictures.append(stdout)
    assert len(pictures[0]) > 100_000
    assert pictures[0] == pictures[1]


def test_a_reader_that_leaves_is_no_success(noise, pipe):
    reader, writer = pipe
    call = streamed(noise, writer)
    os.close(writer)
    unread = bytearray(4)

    def is_full():
        fcntl.ioctl(reader, termios.FIONREAD, unread)
        return int.from_bytes(unread, "little") == 4096

    wait_for(is_full)
    reader.close()
    _, stderr = call.communicate()
    assert (call.returncode, stderr) == (1, b"")


@pytest.mark.ci
def test_results_are_made_though_the_reader_of_their_names_leaves(tmp_path):
    photos = [f"{name}.png" for name in "abc"]
    for photo in photos:
        Image.fromarray(np.full((40, 50), 90, np.uint8)).save(tmp_path / photo)
    call = subprocess.Popen(
        command(*photos, "-s", 0, "--workers", 1),
        cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert call.stdout.readline() == "colorized/a_000.png\n"
    call.stdout.close()
    with call.stderr:
        assert "3 photos: 3 done" in call.stderr.read()
    assert call.wait() == 0
    assert names(tmp_path / "colorized") == ["a_000.png", "b_000.png", "c_000.png"]


def test_a_stream_that_takes_no_more_is_said_in_a_line(noise, pipe):
    _, writer = pipe
    os.set_blocking(writer, False)
    call = streamed(noise, writer)
    os.close(writer)
    _, stderr = call.communicate()
    assert stderr == b"cinn-colorize: stdout: cannot be written: write could not complete without blocking\n"
    assert call.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["gray.jpg", "folder"], 0, marks=pytest.mark.ci),
        pytest.param(["text.jpg", "gray.jpg"], 1, marks=pytest.mark.ci),
        (["--nonsense"], 2),
    ],
)
def test_what_cannot_be_said_changes_nothing_else(folder, tmp_path, arguments, code):
    """Neither the results nor the exit code."""
    ends = []
    for stderr in (os.devnull, "/dev/full"):
        with Path(stderr).open("wb") as file:
            done = subprocess.run(
                command(*arguments, "-s", 1, "-o", tmp_path / Path(stderr).name),
                cwd=folder,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        ends.append((done.returncode, sorted(Path(line).name for line in done.stdout.decode().splitlines())))
    assert ends[0] == ends[1]
    assert ends[0][0] == code
    assert code == 2 or names(tmp_path / "full") == names(tmp_path / "null")


@pytest.mark.parametrize(("nohup", "code"), [([], 129), (["nohup"], 0)])
def test_a_terminal_that_is_closed_ends_a_command_which_leaves_no_photo_behind(noise, tmp_path, nohup, code):
    """Unless the command is to go on without one."""
    with noise.open("rb") as stdin, heeding_signals():
        call = subprocess.Popen(
            [*nohup, *command("-", "-s", 1)],
            env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    wait_for(lambda: names(tmp_path))
    call.send_signal(signal.SIGHUP)
    stdout, _ = call.communicate()
    assert (call.returncode, stdout[:4]) == (code, b"" if code else b"\x89PNG")
    assert names(tmp_path) == []


DASH, DRY, STUDIO = ["-", "-s", 1], ["noise.png", "--dry-run"], ["studio", "--no-browser", "--port", 0]


@pytest.mark.parametrize("arguments", [DASH, DRY, STUDIO])
def test_where_no_temporary_folder_can_be_made_one_line_says_so(noise, arguments):
    def without_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with noise.open("rb") as stdin:
        pipes = {"stdin": stdin, "capture_output": True, "cwd": noise.parent, "env": ENVIRONMENT}
        done = subprocess.run(command(*arguments), preexec_fn=without_files, **pipes)
    (line,) = done.stderr.decode().splitlines()
    assert re.fullmatch(
        r"cinn-colorize: no temporary folder can be made \(.+\); set TMPDIR to another folder", line
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("arguments", [DASH, *longer(DRY)])
def test_where_the_temporary_folder_is_full_one_line_says_so(noise, tmp_path, arguments):
    with small_disk(tmp_path / "disk", "64k") as disk:
        with noise.open("rb") as stdin:
            pipes = {"stdin": stdin, "capture_output": True, "cwd": noise.parent}
            done = subprocess.run(command(*arguments), env=ENVIRONMENT | {"TMPDIR": str(disk)}, **pipes)
        assert names(disk) == []
    problem = "no space for temporary files; free some, or set TMPDIR to another folder"
    assert done.stderr.decode() == f"cinn-colorize: {disk}: {problem}\n"
    assert (done.returncode, done.stdout) == (1, b"")
