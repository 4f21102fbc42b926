"""Streams as shells and services give them: unbuffered, full, closed."""

import os
import subprocess

import numpy as np
import pytest
from helpers import ENVIRONMENT, command, wait_for
from PIL import Image

fcntl = pytest.importorskip("fcntl", reason="no pipes of that kind")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A photo whose picture is larger than a pipe."""
    path = tmp_path_factory.mktemp("noise") / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8)).save(path)
    return path


@pytest.fixture
def pipe():
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
        fcntl.ioctl(reader, 0x541B, unread)  # FIONREAD
        return int.from_bytes(unread, "little") == 4096

    wait_for(is_full)
    reader.close()
    _, stderr = call.communicate()
    assert (call.returncode, stderr) == (1, b"")


def test_a_stream_that_takes_no_more_is_said_in_a_line(noise, pipe):
    _, writer = pipe
    os.set_blocking(writer, False)
    call = streamed(noise, writer)
    os.close(writer)
    _, stderr = call.communicate()
    assert stderr == b"cinn-colorize: stdout: cannot be written: write could not complete without blocking\n"
    assert call.returncode == 1
