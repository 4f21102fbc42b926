"""The command line as a program that needs no Python.

``--until-input-ends`` before the command ends it like Ctrl-C when its standard input is closed, as it is when
the window that started it is gone; on Windows one program cannot send Ctrl-C to another.
"""

import multiprocessing
import signal
import sys
import threading

UNTIL_INPUT_ENDS = "--until-input-ends"


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:  # in the main thread, whatever it waits for
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


if __name__ == "__main__":
    multiprocessing.freeze_support()  # in a worker process of a batch, this does its work and never returns
    if sys.argv[1:2] == [UNTIL_INPUT_ENDS]:
        del sys.argv[1]
        signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # what started it may ignore Ctrl-C
        threading.Thread(target=_end_with_input, daemon=True).start()
    from cinn_colorize.cli import main

    main()
