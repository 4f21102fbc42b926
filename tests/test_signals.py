"""Signals that wait."""

import os
import signal

import pytest

from cinn_colorize.signals import ctrl_c_later


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
