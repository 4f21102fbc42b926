"""Progress where no terminal is, and files of a photo that appear as they are drawn."""

import contextlib
import io
import os
import select
import sys
import threading
from pathlib import Path

import pytest
from helpers import GRAY, in_this_process, wait_for
from PIL import Image
from rich.console import Console

from cinn_colorize.cli import summary as bars
from cinn_colorize.cli.console import print_path, progress_bar, say
from cinn_colorize.cli.summary import Progress, duration, shown, speed
from cinn_colorize.methods.samples import Colorization


@pytest.fixture
def passes(monkeypatch):
    """A function that lets so many seconds pass."""
    clock = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: clock[0])
    return lambda seconds: clock.append(clock.pop() + seconds)


def test_a_line_names_the_photo_what_is_done_and_left_and_the_rate(passes):
    state = Progress(100, "photos", "scans/a.jpg")
    passes(50)
    assert state.line() == "scans/a.jpg: 0 of 100 photos done, 100 left, 50 s so far"
    for _ in range(5):
        state.advance()
    state.name = "scans/b.jpg"
    assert state.line() == "scans/b.jpg: 5 of 100 photos done, 95 left, 10.0 s each, about 16 min to go"


@pytest.mark.parametrize(
    ("rate", "words"), [(12.34, "12.3 photos/s"), (1, "1.0 photos/s"), (0.02, "50.0 s each")]
)
def test_a_slow_speed_is_that_of_each_photo(rate, words):
    assert speed(rate, "photos") == words


@pytest.mark.parametrize(("seconds", "words"), [(0.5, "2.0 photos/s, about 3 min to go"), (2, "2.0 s each")])
def test_the_rate_follows_what_photos_take_now(passes, seconds, words):
    """Those of an earlier run are passed over faster, by seconds or by nothing, and so are broken files."""
    state = Progress(1000, "photos")
    for photo in range(600):
        passes(0.01 if photo < 500 else seconds)
        state.advance()
    assert words in state.line()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5000, "83 min"), (7500, "2 h 5 min")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("lines", [True, False])
def test_lines_come_while_nothing_else_happens(monkeypatch, lines):
    said, twice = [], threading.Event()

    def say(line):
        said.append(line)
        if len(said) == 2:
            twice.set()

    monkeypatch.setattr(bars, "say", say)
    monkeypatch.setattr(bars, "_EVERY", 0.001)
    with shown(Progress(8, "files", "a.jpg"), bar=True, lines=lines):
        if lines:
            assert twice.wait(60)
    assert all(line.startswith("a.jpg: 0 of 8 files done") for line in said)
    assert bool(said) == lines


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
@pytest.mark.parametrize(
    ("terminal", "start"), [("xterm", b"\x1b["), ("dumb", b"cinn-colorize: a.jpg: 0 of 8")]
)
def test_a_terminal_that_shows_no_bar_has_lines(monkeypatch, terminal, start):
    monkeypatch.setenv("TERM", terminal)
    monkeypatch.setattr(bars, "_EVERY", 0.1)
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stderr, os.fdopen(ours, "rb", buffering=0) as shown_there:
        monkeypatch.setattr(sys, "stderr", stderr)
        with shown(Progress(8, "files", "a.jpg"), bar=True, lines=True):
            assert select.select([shown_there], [], [], 10)[0]
            assert shown_there.read(100).startswith(start)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
def test_a_bar_breaks_no_line_beside_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    path, written = Path(" ".join(["scan"] * 40) + ".jpg"), []
    ours, theirs = os.openpty()

    def read():
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                written.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        with shown(Progress(8, "files", "a.jpg"), bar=True, lines=True):
            wait_for(lambda: sys.stdout is not terminal)  # which is when the bar is there
            print_path(path)
            say(f"{path}: a problem")
    reader.join(60)
    os.close(ours)
    assert f"{path}\r\n".encode() in b"".join(written)
    assert f"cinn-colorize: {path}: a problem\r\n".encode() in b"".join(written)


@pytest.mark.parametrize("name", ["[red] a.jpg", "[1] [@a=(].jpg", "\\[b].jpg"])
def test_brackets_in_the_name_of_a_photo_are_no_markup(name):
    console = Console(file=io.StringIO(), width=100)
    bar = progress_bar(False)
    bar.add_task(name, total=2)
    console.print(bar.get_renderable())
    assert console.file.getvalue().startswith(f"{name} ")


def test_files_of_a_photo_appear_as_they_are_drawn(tmp_path, colorizer, monkeypatch):
    """When the first is written, most of 40 samples are not drawn yet."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(GRAY).save("a.jpg")
    drawn, written = [], []
    conditioned = type(colorizer.condition("a.jpg"))
    sample, save = conditioned.sample, Colorization.save

    def counting(self, n=1, *rest, **options):
        drawn.append(n)
        return sample(self, n, *rest, **options)

    def noting(*arguments, **options):
        written.append(sum(drawn))
        return save(*arguments, **options)

    monkeypatch.setattr(conditioned, "sample", counting)
    monkeypatch.setattr(Colorization, "save", noting)
    assert in_this_process(monkeypatch, colorizer)("a.jpg", "-n", 40).exit_code == 0
    assert (written[0], sum(drawn), len(written)) == (8, 40, 40)
