"""Signals that wait."""

import os
import signal
import sys
import threading
import time

import pytest

from cinn_colorize.signals import blocked_in_children, ctrl_c_later


@pytest.fixture
def handler():
    """The handler of an interactive program; a shell starts its background jobs without one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_end_of_the_context(handler):
    done = []

    def press() -> None:
        with ctrl_c_later():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("after the signal")

    with pytest.raises(KeyboardInterrupt):
        press()
    assert done
    assert signal.getsignal(signal.SIGINT) is handler


def test_nothing_happens_without_ctrl_c(handler):
    with ctrl_c_later():
        pass
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be blocked there")
def test_ctrl_c_in_another_thread_does_not_interrupt_the_start_of_a_child(handler):
    """A library's thread, which does not block the signal, receives it for the process."""
    done, end = [], threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()

    def begin() -> None:
        with blocked_in_children(signal.SIGINT):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            done.append("the child has all that it needs")

    with pytest.raises(KeyboardInterrupt):
        begin()
    end.set()
    thread.join()
    assert done
