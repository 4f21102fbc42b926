"""Words for messages: names of files, whatever bytes they have, and numbers of things."""

from __future__ import annotations

import os
import re

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)//?")


def printable(text: str) -> str:
    """Return text with escapes for all that a terminal would not print but obey, line ends among it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number of things in words."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def printable_name(path: str | os.PathLike[str]) -> str:
    """Return a path as printable text of one line, whatever bytes it has."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def missing(path: str | os.PathLike[str], problem: str = "no such file or folder") -> str:
    """Return the message for a photo that does not exist: the problem, or that it is a URL or stdin."""
    name = printable_name(path)
    if name == "-":
        return "-: no file has this name, and stdin is not read here; name it /dev/stdin"
    if url := _URL.match(name):  # of whose slashes a path has one
        return f"{url[1]}//{name[url.end() :]}: URLs are not read; download the photo and give its file"
    return f"{name}: {problem}"
