"""A small window that opens the studio in the browser, and ends it when it is closed.

Photos and folders that are dropped on the program are its arguments, and open in the studio.
"""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
import tkinter
import webbrowser
from pathlib import Path
from tkinter import ttk

PROGRAM = [str(Path(sys.executable).with_name("cinn-colorize").with_suffix(Path(sys.executable).suffix))]
_STARTING = "Starting..."
_OPEN = (
    "The studio is open in the browser, at\n{}\n\nPhotos stay on this computer. Close the window to end it."
)


class Window:
    """The window and the program that it has started.

    Args:
        program: words that start the command line.
        photos: photos and folders to open.
    """

    def __init__(self, program: list[str], photos: list[str]) -> None:
        self.root = tkinter.Tk(className="cinn-colorize")
        self.root.title("Colorize photos")
        self.root.resizable(False, False)
        frame = ttk.Frame(self.root, padding=24)
        frame.grid()
        self.text = ttk.Label(frame, text=_STARTING, width=56, wraplength=420)
        self.text.grid(columnspan=2, sticky="w", pady=(0, 24))
        self.page = ttk.Button(frame, text="Open the page", command=self.show, state="disabled")
        self.page.grid(row=1, column=0, sticky="w")
        ttk.Button(frame, text="Quit", command=self.quit).grid(row=1, column=1, sticky="e")
        self.root.protocol("WM_DELETE_WINDOW", self.quit)
        self.url = ""
        self._said: list[str] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._studio = subprocess.Popen(
            [*program, "--until-input-ends", "studio", "--port", "0", "--no-browser", "--", *photos],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._look()

    def show(self) -> None:
        """Open the page in the browser."""
        webbrowser.open(self.url)

    def quit(self) -> None:
        """End the studio, which removes what it keeps for the pages, and close the window."""
        self.root.withdraw()
        self._studio.stdin.close()
        try:
            self._studio.wait(10)
        except subprocess.TimeoutExpired:
            self._studio.kill()
        self.root.destroy()

    def _read(self) -> None:
        """Pass on what the studio says, from a thread that may wait for it."""
        for line in self._studio.stderr:
            self._lines.put(line.strip())

    def _look(self) -> None:
        """Take up what the studio has said; called again and again."""
        while not self._lines.empty():
            self._said.append(self._lines.get())
        if not self.url and (found := re.search(r"http://\S+", "\n".join(self._said))):
            self.url = found[0].rstrip(";,")
            self.text["text"] = _OPEN.format(self.url)
            self.page["state"] = "normal"
            self.show()
        if self._studio.poll() is not None:
            self.page["state"] = "disabled"
            self.text["text"] = "The studio has ended.\n" + "\n".join(self._said[-5:])
            return
        self.root.after(100, self._look)


if __name__ == "__main__":
    Window(PROGRAM, sys.argv[1:]).root.mainloop()
