"""The command line: parses, calls the library and prints. Commands import heavy modules when they run."""

import os
import signal


def main() -> None:
    """Run the command line; the entry point of the console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        signal.signal(signal.SIGINT, _end)
    from cinn_colorize.cli.app import main as run

    run()


def _end(*_: object) -> None:
    """End the process while commands are imported, when nothing has been begun."""
    try:
        os.write(2, b"cinn-colorize: stopped\n")
    finally:
        os._exit(128 + signal.SIGINT)
