"""What a usage error says: one line in plain words, and what the user may have meant."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from typing import Any

_WORD = re.compile("[a-z][a-z-]*", re.IGNORECASE)
_CHOICES = re.compile(r"(?<= is not one of )'.*'$")
_KINDS = {"int": "whole number", "float": "number", "bool": "truth value"}


def problem_of(error: Any) -> str:
    """Return the message of a usage error, without the words of the library that checks values.

    That is pydantic in newer versions of Typer, whose own error is the cause.
    """
    message = str(error.format_message()).rstrip(".").removeprefix("Invalid value: ")  # of no one option
    errors = getattr(error.__cause__, "errors", None)
    if errors:
        first = errors()[0]
        reason = _reason(first["type"], first["input"], first.get("ctx", {}))
        message = message.replace(first["msg"].rstrip("."), reason) if reason else message
    return _CHOICES.sub(lambda choices: choices[0].replace("'", ""), message)


def _reason(kind: str, value: object, context: dict[str, Any]) -> str:
    """Return why a value is refused; empty if the words of the library will do."""
    if kind == "value_error":
        return str(context["error"]).rstrip(".")
    if "ge" in context:
        return f"must be at least {context['ge']:g}, not {value!s:.80}"
    if "le" in context:
        return f"must be at most {context['le']:g}, not {value!s:.80}"
    name = _KINDS.get(kind.split("_")[0])
    return f"{value!r:.80} is not a {name}" if name else ""


def mistyped(word: str, commands: Iterable[str]) -> str:
    """Return the message for a first argument that is no file, but nearly a command; empty for any other."""
    if not _WORD.fullmatch(word) or os.path.lexists(word):
        return ""
    close = difflib.get_close_matches(word.lower(), list(commands), n=1)
    return f"no such command or file: {word}; did you mean {close[0]}?" if close else ""
