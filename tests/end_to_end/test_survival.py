"""Training runs that are killed, meet damaged data, diverge, or are shared by several processes."""

import csv
import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers import ENVIRONMENT, ROOT, longer, needs, write_blobs
from tiny_run import CONFIG, CPU, Rows, TinyTask, build

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import DataError, DivergedError, PhotoError, WorkerError
from cinn_colorize.files.atomic import temporary
from cinn_colorize.training.loop import RunOptions, train
from cinn_colorize.training.run import Logs, run_training
from cinn_colorize.training.state import EXPLODING, KNOWN, MAX_RETURNS, Health, checkpoints, load_newest

LONGER = replace(CONFIG, photos=112)
TINY = ROOT / "tests/tiny_run.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Ten photos of smooth blobs."""
    return write_blobs(tmp_path_factory.mktemp("photos"), *[(80, 70)] * 10)


def run(photos, folder, config=CONFIG, task=TinyTask, **options):
    folder.mkdir(exist_ok=True)
    options = {"workers": 0, "report_seconds": 0} | options
    return train(build(), task(find_photos(photos)), config, folder, RunOptions(CPU, **options))


def rows(folder):
    path = folder / "progress.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def start(photos, folder, *options):
    return subprocess.Popen([sys.executable, TINY, photos, folder, *map(str, options)], env=ENVIRONMENT)


def finish(photos, folder, *options):
    assert start(photos, folder, *options).wait() == 0


# A run that is killed


@pytest.mark.parametrize("kills", [*longer(1), pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_loses_at_most_an_interval_and_resumes_exactly(photos, tmp_path, kills):
    finish(photos, tmp_path / "whole", "--workers", 1, "--photos", 16 * kills)
    rng = random.Random(0)
    folder = tmp_path / "killed"
    for kill in range(kills):
        before = len(rows(folder))
        with start(photos, folder, "--photos", 16 * kills) as process:
            while process.poll() is None and len(rows(folder)) <= before:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        seen = [int(row["seen"]) for row in rows(folder) if row["seen"].isdigit()]
        kept = load_newest(folder)["seen"]
        assert seen[-1] - kept <= CONFIG.batch, kill  # checkpoints follow every step
        assert len(checkpoints(folder)) <= 3  # the last two, and one not yet deleted
    finish(photos, folder, "--photos", 16 * kills)
    assert rows(folder) == rows(tmp_path / "whole")
    assert len(rows(folder)) == 4 * kills
    one, other = load_newest(folder), load_newest(tmp_path / "whole")
    assert one["average"].keys() == other["average"].keys()
    assert all(torch.equal(tensor, other["average"][name]) for name, tensor in one["average"].items())


def test_of_checkpoints_the_last_two_are_kept_and_a_damaged_one_is_passed_over(photos, tmp_path, caplog):
    whole = run(photos, tmp_path / "whole")
    folder = tmp_path / "parts"
    steps = iter(10 * [False] + [True])
    run(photos, folder, checkpoint_seconds=0, stop=lambda: next(steps))
    newest, before = checkpoints(folder)
    assert newest.name == "checkpoint-0000000044.pt"
    assert before.name == "checkpoint-0000000040.pt"
    for damage in (lambda data: data[: len(data) // 2], lambda data: data[:9000] + b"?" + data[9001:]):
        data = newest.read_bytes()
        newest.write_bytes(damage(data))
        caplog.clear()
        assert load_newest(folder)["seen"] == 40
        assert newest.name in caplog.text
        newest.write_bytes(data)
    newest.write_bytes(b"")
    resumed = run(photos, folder, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-0000000096.pt", before.name]


def test_logs_forget_what_came_after_the_checkpoint(tmp_path):
    logs = Rows(tmp_path)
    logs.open(0)
    for seen in (10, 20, 30):
        logs.write("progress", {"seen": seen, "loss": 1 / seen})
    with (tmp_path / "progress.csv").open("a") as file:
        file.write("40")  # cut by a kill
    logs = Rows(tmp_path)
    logs.open(20)
    logs.write("progress", {"seen": 25, "loss": 0.5, "nll": 3.0})
    assert [(row["seen"], row["nll"]) for row in rows(tmp_path)] == [("10", ""), ("20", ""), ("25", "3.0")]


def test_tensorboard_has_the_figures(tmp_path):
    accumulator = needs("tensorboard.backend.event_processing.event_accumulator")
    logs = Logs(tmp_path)
    logs.open(0)
    for seen in (10, 20, 30):
        logs.write("progress", {"seen": seen, "loss": seen / 2})
    logs.board.close()
    logs = Logs(tmp_path)
    logs.open(20)
    logs.write("progress", {"seen": 30, "loss": 7.0})
    cv2.imwrite(str(tmp_path / "sheet.png"), np.full((8, 8, 3), 90, np.uint8))
    logs.picture(tmp_path / "sheet.png", 30)
    logs.board.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("progress/loss")] == [(10, 5), (20, 10), (30, 7)]
    assert len(events.Images("samples")) == 1


def test_a_disk_that_was_full_for_tensorboard_does_not_end_the_run(tmp_path, caplog):
    """Its writer raises the first error again and again, also when there is space."""

    class Full:
        def add_image(self, *_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        add_scalar = add_image

    cv2.imwrite(str(tmp_path / "sheet.png"), np.full((8, 8, 3), 90, np.uint8))
    logs = Rows(tmp_path)
    for add in (lambda: logs.picture(tmp_path / "sheet.png", 8), lambda: logs.write("progress", {"seen": 8})):
        logs.open(0)
        logs.board = Full()
        add()
        assert logs.board is None
        assert caplog.messages.pop().endswith("it shows no more of this run")
    assert (tmp_path / "progress.csv").read_text().split() == ["seen", "8"]


def test_what_is_no_row_in_a_log_is_dropped(tmp_path):
    (tmp_path / "progress.csv").write_bytes(b"seen,loss\n4,0.5\n\xff\xfe,1\nmany,2\n8,0.2\n")
    Rows(tmp_path).open(8)
    assert (tmp_path / "progress.csv").read_text().splitlines() == ["seen,loss", "4,0.5", "8,0.2"]


def test_free_disk_is_checked_first(photos, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    task = TinyTask(find_photos(photos))
    task.initial_model = build
    with pytest.raises(DataError, match=r"0\.0 GB are free there, 0\.1 GB are needed"):
        run_training(task, tmp_path / "run", CONFIG, RunOptions(CPU))


def test_what_a_killed_run_was_writing_is_removed_but_not_what_another_process_writes(photos, tmp_path):
    left = tmp_path / ".0123456789abcdef.part"
    left.touch()
    other, descriptor = temporary(tmp_path)
    mine = tmp_path / ".mine.part"
    mine.touch()
    task = TinyTask(find_photos(photos))
    task.initial_model = build
    task.save = lambda *arguments: None
    task.measure = lambda model: {}
    run_training(task, tmp_path, replace(CONFIG, photos=4), RunOptions(CPU, workers=0))
    os.close(descriptor)
    assert [path for path in (left, other, mine) if path.exists()] == [other, mine]


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(photos, tmp_path, caplog, monkeypatch):
    from cinn_colorize.training import loop

    save, fails = loop.save_checkpoint, iter([False, True, True])

    def failing(run, state):
        if next(fails, False):
            raise DataError("checkpoint: cannot be written (No space left on device)")
        save(run, state)

    monkeypatch.setattr(loop, "save_checkpoint", failing)
    run(photos, tmp_path, replace(CONFIG, photos=16), checkpoint_seconds=0)
    assert caplog.text.count("No space left on device); the run continues") == 2
    assert load_newest(tmp_path)["seen"] == 16


def test_weights_that_cannot_be_written_end_no_run_and_are_written_when_it_is_resumed(
    photos, tmp_path, caplog
):
    full, saved = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), []
    # After 8 of 16 photos; at the end; and when the finished run is resumed, twice.
    attempts = iter([full, full, None])

    def save(model, path, training):
        if problem := next(attempts):
            raise problem
        path.touch()
        saved.append(training["seen"])

    task = TinyTask(find_photos(photos))
    task.initial_model, task.save, task.measure = build, save, lambda model: {"nll": 1.0}
    config, options = replace(CONFIG, photos=16), RunOptions(CPU, workers=0, evaluate_every=8, resume=True)
    with pytest.raises(DataError, match=r"tiny\.safetensors: cannot be written \(No space left on device\)"):
        run_training(task, tmp_path, config, options)
    assert caplog.text.count("No space left on device); the run continues") == 1
    assert load_newest(tmp_path)["seen"] == 16
    for _ in range(2):
        run_training(task, tmp_path, config, options)
    assert saved == [16]
    with (tmp_path / "evaluation.csv").open() as file:
        assert [row["seen"] for row in csv.DictReader(file)] == ["16"]


def test_a_sheet_that_cannot_be_written_at_the_end_is_when_the_run_is_resumed(photos, tmp_path):
    full, drawn = PhotoError("samples_00000008.jpg: cannot be written"), []
    attempts = iter([full, None])

    def draw(model, device, path):
        if problem := next(attempts):
            raise problem
        drawn.append(path.name)

    task = TinyTask(find_photos(photos))
    task.initial_model, task.save = build, lambda model, path, training: path.touch()
    task.measure, task.draw = lambda model: {"nll": 1.0}, draw
    config, options = replace(CONFIG, photos=8), RunOptions(CPU, workers=0, resume=True)
    with pytest.raises(PhotoError):
        run_training(task, tmp_path, config, options)
    for _ in range(2):
        run_training(task, tmp_path, config, options)
    assert drawn == ["samples_00000008.jpg"]
    (tmp_path / "tiny.safetensors").unlink()
    attempts = iter([None])
    assert run_training(task, tmp_path, config, options).exists()


def test_two_runs_do_not_share_a_folder(photos, tmp_path):
    def again(progress):
        with pytest.raises(DataError, match=r"another process trains there.*another --run"):
            run_training(task, tmp_path, config, RunOptions(CPU, workers=0, resume=True))
        seen.append(progress.seen)

    task, seen, config = TinyTask(find_photos(photos)), [], replace(CONFIG, photos=8)
    task.initial_model, task.save = build, lambda model, path, training: path.touch()
    task.measure = lambda model: {}
    run_training(task, tmp_path, config, RunOptions(CPU, workers=0, report=again, report_seconds=0))
    assert seen == [4, 8]


@pytest.mark.parametrize("length", [8, 16])
def test_a_run_that_is_asked_to_stop_in_its_last_step_is_done(photos, tmp_path, length):
    task, steps = TinyTask(find_photos(photos)), iter([False, True])
    task.initial_model, task.save = build, lambda model, path, training: path.touch()
    task.measure = lambda model: {}
    options = RunOptions(CPU, workers=0, stop=lambda: next(steps))
    weights = run_training(task, tmp_path, replace(CONFIG, photos=length), options)
    assert weights == (tmp_path / "tiny.safetensors" if length == 8 else None)


# Processes that load


@pytest.mark.ci
def test_what_a_loading_process_finds_is_said_in_a_line_and_the_run_ends(tmp_path):
    """In two processes, since one that never ends would take this one with it."""
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((80, 70, 3), 40 * i, np.uint8))
    command = [sys.executable, "-m", "cinn_colorize", "train", "--dataset", "lsun", "--data", tmp_path]
    ended = subprocess.run(
        [*command, "--run", tmp_path / "run", "--workers", "1"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("cinn-colorize: none of 4 photos can be learnt from, for example ")
    assert "Traceback" not in ended.stderr


@pytest.mark.ci
def test_a_loading_process_that_is_killed_ends_the_run_in_a_line(photos, tmp_path):
    def kill(progress):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    task = TinyTask(find_photos(photos))
    task.initial_model, task.save = build, lambda model, path, training: path.touch()
    config = replace(CONFIG, photos=40_000)
    with pytest.raises(WorkerError, match=r"has ended, perhaps for want of memory.*--resume"):
        run_training(task, tmp_path, config, RunOptions(CPU, workers=2, report=kill))
    assert not multiprocessing.active_children()


# A run that diverges


class Mined(TinyTask):
    """Multiply the loss of some batches, recognised by the sum of their L, by a factor."""

    def __init__(self, photos, mines):
        super().__init__(photos)
        self.mines, self.sums = mines, []

    def losses(self, model, batch, config, noise, precision):
        losses = super().losses(model, batch, config, noise, precision)
        self.sums.append(batch[0].sum().item())
        return losses | {"loss": losses["loss"] * self.mines.get(self.sums[-1], 1.0)}


@pytest.fixture(scope="module")
def sums(photos, tmp_path_factory):
    """The sums of L of every batch of a run of 28."""
    task = Mined(find_photos(photos), {})
    run(photos, tmp_path_factory.mktemp("recorded"), LONGER, lambda _: task)
    assert len(set(task.sums)) == len(task.sums) == 28
    return task.sums


@pytest.mark.parametrize("mine", [float("nan"), float("inf"), 1e4])
def test_a_bad_step_is_left_out_and_a_second_one_in_a_row_takes_the_run_back(
    photos, tmp_path, sums, mine, caplog
):
    task = Mined(find_photos(photos), dict.fromkeys((sums[22], sums[24], sums[25]), mine))
    reports, weights, model = [], [], build()

    def report(progress):
        reports.append(progress)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    train(model, task, LONGER, tmp_path, RunOptions(CPU, workers=0, report=report, report_seconds=0))
    assert [r.skipped for r in reports][21:] == [0, 1, 1, 2, 3, 3, 3]
    assert [r.rollbacks for r in reports][21:] == [0, 0, 0, 0, 1, 1, 1]
    assert torch.equal(weights[22], weights[21])  # skipped
    assert not torch.equal(weights[23], weights[22])
    first = torch.cat([p.flatten() for p in build().parameters()])
    assert torch.equal(weights[25], first)  # back at the initial checkpoint
    assert task.sums == sums  # data continues, no batch repeats
    assert "step at photo 92 skipped" in caplog.text
    assert "back to the checkpoint of photo 0" in caplog.text


@pytest.mark.parametrize("seconds", [0, 300])
def test_a_run_that_diverges_again_and_again_ends(photos, tmp_path, sums, seconds):
    task, reports = Mined(find_photos(photos), dict.fromkeys(sums, float("nan"))), []
    with pytest.raises(DivergedError, match=r"3 returns to the checkpoint of photo 0.*--lr"):
        run(photos, tmp_path, task=lambda _: task, report=reports.append, checkpoint_seconds=seconds)
    assert reports[-1].rollbacks == MAX_RETURNS
    assert len(checkpoints(tmp_path)) == 1


def test_what_explodes_is_judged_by_the_median():
    health = Health()
    assert not health.fault(1.0, 1e6)  # no median is known yet
    assert not any(health.fault(1.0, norm) for norm in np.linspace(1, 2, KNOWN))
    assert "times its median" in health.fault(1.0, 1.6 * EXPLODING)
    assert not health.fault(1.0, 1.4 * EXPLODING)
    assert health.fault(float("nan"), 1.0)
    assert health.fault(1.0, float("inf"))
    assert Health(health.norms).norms == health.norms


# Damaged data


def test_damaged_shards_and_photos_are_named_and_counted(photos, tmp_path, caplog):
    from cinn_colorize.training.datasets import open_task

    files = sorted(photos.iterdir())
    for i in range(2):
        with zipfile.ZipFile(tmp_path / f"photos-train-{i}.zip", "w") as archive:
            for file in files[5 * i : 5 * i + 5]:
                archive.write(file, file.name)
    cut = (tmp_path / "photos-train-0.zip").read_bytes()
    (tmp_path / "photos-train-2.zip").write_bytes(cut[: len(cut) // 2])
    data = bytearray((tmp_path / "photos-train-1.zip").read_bytes())
    data[data.index(b"IDAT") + 40] ^= 255  # the checksum of the first photo is wrong now
    (tmp_path / "photos-train-1.zip").write_bytes(data)
    task = open_task("photos", [tmp_path])
    assert task.distinct == 10
    assert "photos-train-2.zip" in task.unreadable[0]
    tiny, reports = TinyTask(task.photos), []
    tiny.unreadable = task.unreadable
    config = replace(CONFIG, photos=40)
    options = RunOptions(CPU, workers=0, report=reports.append, report_seconds=0)
    train(build(), tiny, config, tmp_path, options)
    assert reports[-1].unreadable == 2
    assert caplog.text.count("photos-train-1.zip:5.png") == 1
    with pytest.raises(DataError, match=r"photos-train-2\.zip"):
        open_task("photos", [tmp_path / "photos-train-2.zip"])


# A run that processes share


def torchrun(count, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    subprocess.run([*command, TINY, *map(str, arguments)], env=ENVIRONMENT, check=True)


def losses(folder):
    return np.array([float.fromhex(row["loss"]) for row in rows(folder)])


@pytest.mark.ci
def test_two_processes_learn_as_one_with_the_whole_batch(photos, tmp_path):
    options = ("--photos", 64, "--batch", 8)
    finish(photos, tmp_path / "one", *options)
    torchrun(2, photos, tmp_path / "two", *options)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 8
    assert one[-1] < one[0] - 0.05
    assert np.abs(one / two - 1).max() < 1e-5
    # One process continues what two wrote.
    options = ("--photos", 64, "--batch", 8)
    for checkpoint in checkpoints(tmp_path / "two")[:1]:
        checkpoint.unlink()
    finish(photos, tmp_path / "two", *options)
    assert np.abs(losses(tmp_path / "one") / losses(tmp_path / "two") - 1).max() < 1e-5
