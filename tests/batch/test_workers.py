"""What worker processes tell the main one."""

import logging
import threading
from multiprocessing import Pipe

from cinn_colorize.batch.plan import Failure
from cinn_colorize.batch.workers import Sender

LONG = "x" * 100_000  # more than a pipe takes at once


def test_messages_of_several_threads_arrive_whole():
    """Pictures are saved, and warned of, in threads, while the main one reports those that are done."""
    ours, theirs = Pipe()
    to_parent = Sender(theirs.send)

    def report():
        for number in range(50):
            to_parent.send(Failure(None, LONG, trace=str(number)))

    def warn():
        for number in range(50):
            to_parent.handle(logging.LogRecord("a", logging.WARNING, "", 0, LONG, (number,), None))

    threads = [threading.Thread(target=work, daemon=True) for work in (report, warn)]
    for thread in threads:
        thread.start()
    received = [ours.recv() for _ in range(100)]
    failures = [message for message in received if isinstance(message, Failure)]
    assert failures == [Failure(None, LONG, trace=str(n)) for n in range(50)]
    warnings = [message for message in received if isinstance(message, logging.LogRecord)]
    assert [(message.msg, message.args) for message in warnings] == [(LONG, (n,)) for n in range(50)]
