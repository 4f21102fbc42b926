"""Signals that wait."""

import importlib
import os
import signal
import sys
import tempfile
import threading
import time

import pytest

from cinn_colorize.files.atomic import TemporaryFolder
from cinn_colorize.files.signals import blocked_in_children, ctrl_c_later, handle_between_imports, ignore


@pytest.fixture
def handler():
    """The handler of an interactive program; a shell starts its background jobs without one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    for number, each in before.items():
        signal.signal(number, each)


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


@pytest.fixture
def lost(monkeypatch):
    """Exceptions that Python prints because they cannot be raised."""
    found = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: found.append(each.exc_type))
    return found


@pytest.fixture
def pressed(handler, lost, tmp_path, monkeypatch):
    """Write a module in whose import Ctrl-C is pressed, and give its name."""
    handle_between_imports(signal.SIGINT, handler)
    monkeypatch.syspath_prepend(tmp_path)

    def write(rest: str) -> str:
        text = f"import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n{rest}\nwhole = True\n"
        (tmp_path / "pressed_in_mid_import.py").write_text(text)
        return "pressed_in_mid_import"

    yield write
    sys.modules.pop("pressed_in_mid_import", None)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_an_exception_waits_for_the_end_of_an_import(pressed):
    name = pressed("")

    def import_and_wait() -> None:
        importlib.import_module(name)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        import_and_wait()
    assert sys.modules[name].whole


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_what_has_waited_for_an_import_is_ignored_if_it_is_by_then(pressed):
    try:
        importlib.import_module(pressed("signal.signal(signal.SIGINT, signal.SIG_IGN)"))
        time.sleep(0.2)
    except KeyboardInterrupt:  # which would end all tests
        pytest.fail("interrupted")


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_what_has_waited_for_an_import_does_not_end_a_process_that_is_done(pressed):
    """Python restores the handlers of a process, that of the timer too, before it ends."""
    importlib.import_module(pressed(""))
    ignore(signal.SIGINT)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("alarmed"))
    time.sleep(0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_a_temporary_folder_is_removed_though_a_signal_came_while_it_was_made(handler, tmp_path, monkeypatch):
    handle_between_imports(signal.SIGINT, handler)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mkdir = os.mkdir

    def interrupted(*arguments: object) -> None:
        mkdir(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    def make_and_wait() -> None:
        with TemporaryFolder():
            assert len([*tmp_path.iterdir()]) == 1
            time.sleep(60)

    monkeypatch.setattr(os, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_and_wait()
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_an_exception_that_a_destructor_drops_is_raised_after_it(handler, lost):
    handle_between_imports(signal.SIGTERM, lambda *_: sys.exit(143))
    handle_between_imports(signal.SIGINT, handler)
    ended = []

    class Dropping:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            os.kill(os.getpid(), self.number)
            raise AssertionError("of the destructor itself")

    def drop_and_wait(number: int) -> None:
        Dropping(number)
        ended.append(number)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        drop_and_wait(signal.SIGINT)
    with pytest.raises(SystemExit):
        drop_and_wait(signal.SIGTERM)
    assert (ended, lost) == ([signal.SIGINT, signal.SIGTERM], [])
    Dropping(signal.SIGWINCH)  # without a handler
    assert lost == [AssertionError]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that send signals")
def test_other_code_is_interrupted_at_once(handler, lost):
    handle_between_imports(signal.SIGINT, handler)
    done = []
    with pytest.raises(KeyboardInterrupt):
        done.append(os.kill(os.getpid(), signal.SIGINT)) or done.append("after the signal")
    assert "after the signal" not in done
