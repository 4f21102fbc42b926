"""Tables that say what photos show: tab-separated, with a header and one line a photo."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from cinn_colorize.errors import DataError
from cinn_colorize.files.limits import read_table
from cinn_colorize.files.messages import printable_name

Subsets = Mapping[str, frozenset[str]]  # names of photos, by what these show


def read_subsets(path: Path, photos: Sequence[str]) -> Subsets:
    """Read which of some photos show what, by words in their order.

    Args:
        path: a table with the columns ``entry``, a photo's name in its zip or folder, and ``shows``, words
            separated by commas; other columns are ignored.
        photos: names of the photos that are measured.

    Raises:
        DataError: the table cannot be read, is malformed, or has a word for none of the photos.
    """
    shows = read_column(path, "shows", "words separated by commas")
    subsets: dict[str, set[str]] = {}
    for photo in photos:
        for word in filter(None, (part.strip() for part in shows.get(photo, "").split(","))):
            subsets.setdefault(word, set()).add(photo)
    if not shows.keys() & set(photos):
        raise names_none(path, photos)
    if not subsets:
        raise DataError(f"{printable_name(path)}: has a word for none of the {len(photos)} photos")
    return {word: frozenset(subsets[word]) for word in sorted(subsets)}


def read_column(path: Path, column: str, content: str) -> dict[str, str]:
    """Read a column of a table by the column ``entry``; ``content`` is what must be in it, for messages.

    Raises:
        DataError: the table cannot be read or is malformed.
    """
    try:
        table = io.StringIO(read_table(path).decode("utf-8"), newline="")
        rows = [(row["entry"], row[column]) for row in csv.DictReader(table, delimiter="\t")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{printable_name(path)}: cannot be read ({error})") from error
    except KeyError as error:
        raise malformed(path, column, content) from error
    if any(value is None for _, value in rows):  # a short line
        raise malformed(path, column, content)
    return dict(rows)


def malformed(path: Path, column: str, content: str) -> DataError:
    """Return the error of a table without the columns that it requires."""
    required = f"it requires the columns entry and {column}, {content}"
    return DataError(f"{printable_name(path)}: not such a table; {required}")


def names_none(path: Path, photos: Sequence[str]) -> DataError:
    """Return the error of a table that does not know any of the photos."""
    return DataError(f"{printable_name(path)}: names none of the {len(photos)} photos, such as {photos[0]}")
