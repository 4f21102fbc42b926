"""Signals that wait."""

import os
import signal

import pytest

from cinn_colorize.signals import ctrl_c_later


def test_ctrl_c_waits_for_the_end_of_the_context():
    before, done = signal.getsignal(signal.SIGINT), []

    def press() -> None:
        with ctrl_c_later():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("after the signal")

    with pytest.raises(KeyboardInterrupt):
        press()
    assert done
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_happens_without_ctrl_c():
    with ctrl_c_later():
        pass
