"""Ctrl-C, as a terminal sends it: to the whole group of processes."""

import os
import platform
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    COLOR,
    ENVIRONMENT,
    GRAY,
    command,
    heeding_signals,
    longer,
    names,
    process,
    spawned_by,
    start,
    wait_for,
    without_progress,
)
from PIL import Image

from cinn_colorize.cli.train import Display, _stop_request
from cinn_colorize.training.loop import Progress

fcntl, termios = map(pytest.importorskip, ("fcntl", "termios"))
pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Ten small photos in color."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(10):
        Image.fromarray(np.roll(COLOR, 9 * i, axis=1)).save(folder / f"{i}.png")
    return folder


def train(folder, photos, weights, *options):
    """A run in a group of its own."""
    arguments = ["--data", photos, "--start", weights, "--run", "run", "--device", "cpu", *options]
    return start(folder, "train", *arguments, start_new_session=True)


def ends(process):
    """Exit code, and lines on stderr."""
    _, stderr = process.communicate(timeout=300)
    return process.returncode, without_progress(stderr.decode()).splitlines()


def stopped(process, pattern):
    """Lines on stdout, of which one was read before, and numbers in the one line on stderr."""
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    (line,) = without_progress(stderr.decode()).splitlines()
    said = re.fullmatch(f"cinn-colorize: stopped: {pattern}", line)
    assert said, line
    return 1 + len(stdout.splitlines()), [int(number) for number in said.groups()]


def begun(run):
    """Wait for the checkpoint that a run begins with."""
    return wait_for(lambda: list(run.glob("checkpoint-*.pt")))


@pytest.mark.parametrize(
    ("number", "wait"),
    [
        pytest.param(signal.SIGINT, 0, marks=pytest.mark.ci),
        pytest.param(signal.SIGINT, 1.5, marks=pytest.mark.ci),
        pytest.param(signal.SIGTERM, 0.5, marks=pytest.mark.ci),
    ],
)
def test_train_stopped_while_its_data_loaders_start(photos, narrow_weights, tmp_path, number, wait):
    run = train(tmp_path, photos, narrow_weights, "--photos", 60, "--batch", 2, "--workers", 1)
    wait_for(lambda: spawned_by(run.pid))
    time.sleep(wait)
    os.killpg(run.pid, number)
    code, lines = ends(run)
    assert code == 130, lines
    assert not [line for line in lines if "Traceback" in line or "rror" in line]
    kept = re.fullmatch(
        r"cinn-colorize: stopped; run/(checkpoint-\d+\.pt) is kept, after (\d+) of 60 photos; "
        r"continue with --resume --run run",
        lines[-1],
    )
    assert kept, lines
    assert kept[1] in names(tmp_path / "run")
    assert int(kept[2]) == int(kept[1][11:-3]) > 0
    # It does continue, with the settings that it was begun with.
    again = ["--data", photos, "--start", narrow_weights, "--run", "run", "--device", "cpu", "--resume"]
    if wait == 1.5:
        rest = process(tmp_path, "train", *again)
        assert "60 to see, in 30 steps of 2" in rest.stderr
        assert (rest.returncode, rest.stdout) == (0, "run/natural.safetensors\n"), rest.stderr


@pytest.mark.ci
def test_train_keeps_a_checkpoint_when_its_terminal_is_closed(photos, narrow_weights, tmp_path):
    """Which ends its shell and all that this has started, and can be written to no more."""
    ours, theirs = os.openpty()
    arguments = ["--data", photos, "--start", narrow_weights, "--run", "run", "--device", "cpu"]
    with heeding_signals():
        run = subprocess.Popen(
            command("train", *arguments, "--photos", 10_000, "--batch", 2, "--workers", 1),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),
        )
    os.close(theirs)
    begun(tmp_path / "run")
    wait_for(lambda: spawned_by(run.pid))
    time.sleep(0.5)
    os.close(ours)
    assert run.wait(300) == 130
    assert max(int(path.stem[11:]) for path in (tmp_path / "run").glob("checkpoint-*.pt")) > 0


@pytest.mark.ci
def test_a_second_ctrl_c_ends_train_at_once(photos, narrow_weights, tmp_path):
    """In mid-step, where Python handles no signal for seconds."""
    run = train(tmp_path, photos, narrow_weights, "--photos", 960, "--batch", 320, "--workers", 0)
    before = begun(tmp_path / "run")
    time.sleep(1)
    os.killpg(run.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(run.pid, signal.SIGINT)
    code, lines = ends(run)
    assert code == 130
    assert list((tmp_path / "run").glob("checkpoint-*.pt")) == before  # the step was not waited for
    told = "stopping after this step, with a checkpoint; Ctrl-C again ends the run at once"
    assert any(line.endswith(told) for line in lines), lines
    kept = re.search(r"run/checkpoint-(\d+)\.pt is kept, after (\d+) of 960 photos; continue with", lines[-1])
    assert kept, lines
    assert int(kept[1]) == int(kept[2]) < 960


def test_a_run_that_a_shell_put_in_the_background_ignores_ctrl_c():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stop = _stop_request()
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.ci
def test_train_tells_soon_what_it_has_found_and_how_long_it_takes(photos, narrow_weights, tmp_path):
    run = train(tmp_path, photos, narrow_weights, "--photos", 3998, "--batch", 4, "--workers", 1)
    lines = [run.stderr.readline().decode() for _ in range(3)]
    told = datetime.now()
    os.killpg(run.pid, signal.SIGINT)
    ends(run)
    assert lines[1] == "cinn-colorize: 10 photos found; 4,000 to see, in 1,000 steps of 4\n"
    first = re.fullmatch(
        r"4 of 4,000 photos  .*  (\S+) s a step  \S+ photos/s  about (.+) left, until (.+)\n", lines[2]
    )
    assert first, lines
    days, _, clock = first[2].rpartition(", ")
    hours, minutes, seconds = map(int, clock.split(":"))
    left = timedelta(days=int(days.split()[0]) if days else 0, hours=hours, minutes=minutes, seconds=seconds)
    assert abs(left.total_seconds() / 999 / float(first[1]) - 1) < 0.1
    until = datetime.strptime(first[3], "%Y-%m-%d %H:%M")
    assert abs((told + left - until).total_seconds()) < 90


def test_how_long_it_takes_is_told_with_evaluations(monkeypatch):
    """The time left follows the speed since the first report, whatever passes between reports."""

    class Clock(datetime):
        shown = datetime(2030, 1, 1)

        @classmethod
        def now(cls):
            return cls.shown

    monkeypatch.setattr("cinn_colorize.cli.train.datetime", Clock)
    display = Display(1000, 10, quiet=True)
    told = []
    for seen, seconds in [(100, 0), (200, 50), (300, 350)]:  # the last interval with an evaluation
        Clock.shown = datetime(2030, 1, 1) + timedelta(seconds=seconds)
        told.append(display._left(Progress(seen, 1000, {}, 2.0, 1.0, 0, 0, 0), 2.0).total_seconds())
    assert told == [450, 400, 1225]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Gray photos enough to interrupt."""
    folder = tmp_path_factory.mktemp("gray")
    for i in range(12):
        Image.fromarray(np.roll(GRAY, i, axis=1)[:64, :80]).save(folder / f"{i:02d}.jpg")
    return folder


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ([], "the same command continues"),
        pytest.param(["--manifest", "m"], "the same command continues", marks=pytest.mark.ci),
        pytest.param(["--overwrite"], "the same command starts over", marks=pytest.mark.ci),
    ],
)
def test_a_batch_says_what_is_done_and_how_to_continue(scans, tmp_path, options, how):
    batch = start(tmp_path, scans, "-s", 0, "--workers", 2, *options, start_new_session=True)
    batch.stdout.readline()
    os.killpg(batch.pid, signal.SIGINT)
    printed, (done, written) = stopped(batch, rf"(\d+) of 12 photos done, (\d+) files? written; {how}")
    assert printed <= written <= len(names(tmp_path / "colorized"))
    assert printed - 2 <= done <= written
    rest = process(tmp_path, scans, "-s", 0, "--workers", 2, *options)
    assert rest.returncode == 0
    assert len(names(tmp_path / "colorized")) == 12


def test_one_photo_says_what_is_written_and_how_to_continue(tmp_path):
    Image.fromarray(np.tile(GRAY, (6, 6))).save(tmp_path / "x.png")
    call = start(tmp_path, "x.png", "-n", 60, start_new_session=True)
    call.stdout.readline()
    os.killpg(call.pid, signal.SIGINT)
    printed, (written,) = stopped(call, r"(\d+) files? written; the same command continues")
    assert printed <= written <= len(names(tmp_path / "colorized"))


def start_after(code, folder, *arguments, **variables):
    """The command, in a group of its own, in a Python that has run some code first."""
    (folder / "sitecustomize.py").write_text(code)
    path = os.pathsep.join([str(folder), ENVIRONMENT["PYTHONPATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": path, **variables}
    return start(folder, *arguments, environment=environment, start_new_session=True)


# Ctrl-C comes while the module that the environment names is looked for, and from
# another thread, since whoever watches from outside may come seconds too late on a busy machine.
# Not an audit hook: that runs within libraries' C code too, which may drop what is raised there.
PRESSED = """
import os, signal, sys, threading
pending = [os.environ["PRESS_AT"]]
class Press:
    def find_spec(self, name, path, target=None):
        if name in pending:
            pending.clear()
            threading.Thread(target=os.killpg, args=(0, signal.SIGINT)).start()
sys.meta_path.insert(0, Press())
"""


@pytest.mark.parametrize("arguments", [["x.png"], *longer(["sample", "x.png"], ["temperature", "x.png"])])
@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("typer.core", []),
        ("numpy._core._multiarray_umath", []),
        ("onnxruntime.capi.onnxruntime_pybind11_state", ["--engine", "onnx"]),
        pytest.param("torch._C", ["--engine", "torch"], marks=pytest.mark.ci),
        ("safetensors._safetensors_rust", []),
    ],
)
def test_an_early_ctrl_c_has_one_line_too(tmp_path, arguments, module, options):
    """While modules are imported and weights are read."""
    Image.fromarray(GRAY).save(tmp_path / "x.png")
    code, lines = ends(start_after(PRESSED, tmp_path, *arguments, *options, PRESS_AT=module))
    assert (code, len(lines)) == (130, 1), lines
    assert lines[0].startswith("cinn-colorize: stopped")


# Ctrl-C comes as a function of a file is called.
PRESSED_IN = """
import os, signal, sys
file, name = os.environ["PRESS_IN"].split(":")
def press(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_name == name and code.co_filename.endswith(file):
        sys.setprofile(None)
        os.killpg(0, signal.SIGINT)
sys.setprofile(press)
"""


@pytest.mark.parametrize(
    "place",
    [
        "cli/app.py:main",
        "cli/console.py:open_streams",
        "cli/interrupts.py:watch",
        "typer/main.py:get_command",
        "typer/core.py:_main",
        "imaging/options.py:parse_frame",
        "cli/colorize.py:colorize",
    ],
)
def test_so_has_one_between_the_imports_and_the_command(tmp_path, place):
    """While commands are made, and the command line is parsed."""
    Image.fromarray(GRAY).save(tmp_path / "x.png")
    code, lines = ends(start_after(PRESSED_IN, tmp_path, "x.png", PRESS_IN=place))
    assert (code, len(lines)) == (130, 1), lines
    assert lines[0].startswith("cinn-colorize: stopped")


STOPPED_TWICE = """
import os, signal, sys, threading, time
import typer
from cinn_colorize.cli import interrupts

def kept():
    time.sleep(1)
    return "one line"

interrupts.watch()
try:
    with interrupts.keeping(kept):
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        signal.raise_signal(signal.SIGINT)  # in this thread: the other one might take it, and too late
except typer.Exit as stopped:
    time.sleep(1)  # to end takes its time
    sys.exit(stopped.exit_code)
"""


def test_a_second_ctrl_c_while_the_first_is_answered_says_nothing_more(tmp_path):
    code = [sys.executable, "-c", STOPPED_TWICE]
    with heeding_signals():
        call = subprocess.run(code, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (call.returncode, call.stderr) == (130, "cinn-colorize: one line\n")


# Libraries finish after Python: this calls killpg with the exit code, 0, as the group, and the signal.
LATE = "import ctypes, signal; libc = ctypes.CDLL(None); libc.on_exit(libc.killpg, signal.SIGINT)"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="on_exit belongs to glibc")
def test_a_ctrl_c_after_the_end_changes_nothing(tmp_path):
    """While the process shuts down."""
    Image.fromarray(GRAY).save(tmp_path / "x.png")
    call = start_after(LATE, tmp_path, "x.png")
    assert ends(call) == (0, [])


def test_a_second_ctrl_c_ends_one_photo_at_once(tmp_path):
    """While it encodes, which takes long, and which the first one waits for."""
    pixels = np.random.default_rng(0).integers(0, 256, (4000, 4000), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    call = start(tmp_path, "x.png", "--format", "avif", start_new_session=True)
    wait_for(lambda: list((tmp_path / "colorized").glob(".*.part")))
    time.sleep(1)
    for _ in range(2):
        os.killpg(call.pid, signal.SIGINT)
        time.sleep(0.3)
    code, lines = ends(call)
    assert (code, lines) == (130, ["cinn-colorize: stopped: 0 files written"])
    assert list((tmp_path / "colorized").glob(".*.part"))  # it was not waited for, nor tidied up


@pytest.mark.ci
def test_ctrl_c_while_files_are_encoded_counts_those_that_are_finished(tmp_path):
    """They are begun by as many threads as there are cores, eight at most; none of the others begins."""
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    call = start(tmp_path, "x.png", "-n", 12, "--format", "avif", "--no-sheet", start_new_session=True)
    wait_for(lambda: list((tmp_path / "colorized").glob(".*.part")))
    os.killpg(call.pid, signal.SIGINT)
    output, errors = call.communicate()
    files = sorted(path.name for path in (tmp_path / "colorized").iterdir())
    assert 0 < len(files) < 12
    assert [Path(line).name for line in output.decode().splitlines()] == files
    written = f"{len(files)} file{'s' if len(files) > 1 else ''} written"
    stopped = f"cinn-colorize: stopped: {written}; the same command continues\n"
    assert (call.returncode, without_progress(errors.decode())) == (130, stopped)
