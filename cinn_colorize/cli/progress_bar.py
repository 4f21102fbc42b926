"""Progress of a batch: a bar on a terminal; elsewhere, in a log, a line every half minute."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from cinn_colorize.cli.console import draws, progress_bar, say
from cinn_colorize.files.messages import printable_name

_EVERY = 30.0  # seconds between two lines
_RECENT = 30  # the last photos, whose speed the estimate follows


class Progress:
    """How many photos of a batch, or files of its only photo, are done; ``name`` is the photo at work."""

    def __init__(self, total: int, unit: str, name: str = "") -> None:
        self.total, self.unit, self.name = total, unit, name
        self.done = 0
        self._start = time.monotonic()
        self._recent = deque([self._start], _RECENT + 1)  # when each was done

    def advance(self) -> None:
        """Count one more as done."""
        self._recent.append(time.monotonic())
        self.done += 1

    def line(self) -> str:
        """Return the state as a line: the photo at work, what is done and left, and how fast."""
        now = time.monotonic()
        parts = [f"{self.done} of {self.total} {self.unit} done, {self.total - self.done} left"]
        if self.done:
            rate = (len(self._recent) - 1) / (now - self._recent[0])
            parts += [speed(rate, self.unit), f"about {duration((self.total - self.done) / rate)} to go"]
        else:
            parts.append(f"{duration(now - self._start)} so far")
        return f"{self.name}: {', '.join(parts)}" if self.name else ", ".join(parts)


@contextlib.contextmanager
def shown(progress: Progress, *, bar: bool, lines: bool) -> Iterator[None]:
    """Show progress as long as the context lasts: by a bar on a terminal, or by lines elsewhere."""
    end = threading.Event()
    shows_bar = bar and draws()

    def watch() -> None:
        if shows_bar:
            with progress_bar(False, rate=f"{progress.unit}/s") as display:
                task = display.add_task("colorizing", total=progress.total)
                while not end.wait(0.1):
                    name = printable_name(Path(progress.name).name)[-40:]
                    display.update(task, description=name, completed=progress.done)
        else:
            while not end.wait(_EVERY):
                say(progress.line())

    if not shows_bar and (not lines or draws()):
        yield
        return
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def speed(rate: float, unit: str) -> str:
    """Return a rate in words, that of slow ones per piece: ``2.0 photos/s``, ``10.0 s each``."""
    return f"{rate:.1f} {unit}/s" if rate >= 0.95 else f"{1 / rate:.1f} s each"


def duration(seconds: float) -> str:
    """Return a time in words: ``40 s``, ``12 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
