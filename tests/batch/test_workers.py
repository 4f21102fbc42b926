"""What worker processes tell the main one."""

import logging
import threading
from multiprocessing import Pipe

from cinn_colorize.batch.workers import _ToParent

LONG = "x" * 100_000  # more than a pipe takes at once


def test_messages_of_several_threads_arrive_whole():
    """Pictures are saved, and warned of, in threads, while the main one reports those that are done."""
    ours, theirs = Pipe()
    to_parent = _ToParent(theirs)

    def report():
        for number in range(50):
            to_parent.send((LONG, number))

    def warn():
        for number in range(50):
            to_parent.handle(logging.LogRecord("a", logging.WARNING, "", 0, LONG, (number,), None))

    threads = [threading.Thread(target=work, daemon=True) for work in (report, warn)]
    for thread in threads:
        thread.start()
    received = [ours.recv() for _ in range(100)]
    assert [message[1] for message in received if message[0] == LONG] == list(range(50))
    assert [message[2] for message in received if message[1] == LONG] == [(n,) for n in range(50)]
