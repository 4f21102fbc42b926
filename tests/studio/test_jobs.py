"""The work of the studio: in order, one photo never for another, and none without end."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from helpers import Slow, names, wait_for

from cinn_colorize.errors import PhotoError, WorkerError
from cinn_colorize.studio import jobs as module
from cinn_colorize.studio.jobs import Job, Jobs
from cinn_colorize.studio.library import Item

SECONDS = 60  # that an answer may take on a busy machine


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(Slow, tmp_path)
    jobs.loaded.result(SECONDS)
    yield jobs
    jobs.end()


def do(jobs, method, *arguments, items=(), then=lambda answer: answer):
    return jobs.do(lambda: Job(method, {item.id: item for item in items}, arguments), then)


def test_jobs_are_done_in_order_by_one_process(jobs):
    done = []
    futures = [do(jobs, "sleep", k / 100, then=done.append) for k in (3, 2, 1)]
    for future in futures:
        future.result(SECONDS)
    assert done == [0.03, 0.02, 0.01]
    assert do(jobs, "pid").result(SECONDS) == do(jobs, "pid").result(SECONDS) != os.getpid()


def test_a_job_that_nobody_waits_for_any_more_is_not_done(jobs):
    done = []
    first, dropped = do(jobs, "sleep", 1), do(jobs, "sleep", 0, then=done.append)
    assert dropped.cancel()
    last = do(jobs, "sleep", 0.5, then=done.append)
    assert first.result(SECONDS) == 1
    last.result(SECONDS)
    assert done == [0.5]


def test_an_error_is_that_of_its_job_alone(jobs):
    for error in (PhotoError("a.jpg: broken"), ValueError("wrong"), ZeroDivisionError()):
        with pytest.raises(type(error)) as raised:
            do(jobs, "fail", error).result(SECONDS)
        assert str(raised.value) == str(error)
        assert "in fail" in raised.value.__notes__[0]
    assert do(jobs, "sleep", 0).result(SECONDS) == 0


@pytest.mark.ci
def test_others_do_not_wait_for_a_slow_job_which_is_finished_all_the_same(jobs, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.5)
    slow, after = do(jobs, "sleep", 20), do(jobs, "pid")
    other = after.result(SECONDS)
    assert not slow.done()
    assert do(jobs, "pid").result(SECONDS) == other
    assert slow.result(SECONDS) == 20


@pytest.mark.ci
def test_a_job_without_end_is_given_up_with_its_process_and_its_files(jobs, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_LIMIT", 3)
    photo = Item("key", tmp_path / "a.jpg", "a.jpg")
    first = do(jobs, "pid").result(SECONDS)
    with pytest.raises(WorkerError, match="took more than 3 s and was given up"):
        do(jobs, "leave_half_a_file", "key", items=[photo]).result(SECONDS)
    assert names(tmp_path) == []
    assert not Path(f"/proc/{first}").exists()
    assert do(jobs, "sleep", 0).result(SECONDS) == 0


def test_a_process_that_is_killed_takes_one_job_with_it(jobs):
    slow = do(jobs, "sleep", 600)
    wait_for(slow.running, SECONDS)
    time.sleep(1)
    for process in jobs._processes:
        os.kill(process.process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="has ended; if memory ran out"):
        slow.result(SECONDS)
    assert do(jobs, "sleep", 0).result(SECONDS) == 0


def test_the_end_ends_all(jobs, tmp_path):
    futures = [do(jobs, "sleep", 600), do(jobs, "sleep", 600)]
    wait_for(futures[0].running, SECONDS)
    pid = next(iter(jobs._processes)).process.pid
    jobs.end()
    for future in [*futures, do(jobs, "sleep", 0)]:
        with pytest.raises(WorkerError, match="ended"):
            future.result(SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("it lives")
