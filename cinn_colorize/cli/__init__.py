"""The command line: parses, calls the library and prints. Commands import heavy modules when they run."""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Run the command line and exit; the entry point of the console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        signal.signal(signal.SIGINT, _end)
    import typer

    from cinn_colorize.cli.app import app
    from cinn_colorize.cli.console import open_streams, print_trace, say
    from cinn_colorize.cli.interrupts import keeping, watch
    from cinn_colorize.errors import printable_name
    from cinn_colorize.files.signals import ENDING, handle_between_imports, ignore

    # These must not leave temporary files behind; train asks for a checkpoint instead.
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup ignores that of a terminal
            handle_between_imports(number, lambda number, _: sys.exit(128 + number))
    open_streams()
    try:
        with keeping():  # while Typer makes the commands, which answer Ctrl-C themselves
            watch()
            app(prog_name="cinn-colorize")
    except typer.Exit as stopped:
        sys.exit(stopped.exit_code)
    except Exception as error:
        import traceback

        (*_, last) = traceback.extract_tb(error.__traceback__)
        if isinstance(error, OSError) and last.name == typer.echo.__name__:
            say(f"stdout: cannot be written: {error.strerror}")
        elif isinstance(error, OSError) and error.filename and error.strerror and "--debug" not in sys.argv:
            say(f"{printable_name(str(error.filename))}: {error.strerror}; --debug shows where")
        else:
            print_trace(traceback.format_exc())
        sys.exit(1)
    finally:
        with contextlib.suppress(OSError):  # of what was not written, the interpreter would complain again
            sys.stdout.close()
        # All is said and written; Ctrl-C while the interpreter shuts down would end it by the signal.
        ignore(signal.SIGINT)


def _end(*_: object) -> None:
    """End the process while commands are imported, when nothing has been begun."""
    try:
        os.write(2, b"cinn-colorize: stopped\n")
    finally:
        os._exit(128 + signal.SIGINT)
