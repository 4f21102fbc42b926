"""A manifest recognises the results it lists, whatever a crash left."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cinn_colorize.batch.manifest import Manifest
from cinn_colorize.batch.plan import Failure, Finished, Result
from cinn_colorize.errors import DataError

RESULT = Result(Path("a.jpg"), Path("out/a_000.jpg"), 5, 1795622344.1509457, 20, 0, 0.8, 1.5)
SETTINGS = {"model": "natural", "temperature": "0.8", "quality": "95"}
SHEET = replace(RESULT, output=Path("out/a_sheet.jpg"), seed=None)


def opened(path, settings=SETTINGS, seeds=(0, 1), order="seed"):
    return Manifest(path, settings, seeds, order)


@pytest.fixture
def path(tmp_path):
    with opened(tmp_path / "new" / "m.jsonl") as manifest:
        assert not manifest.lists(RESULT)
        manifest.add(RESULT)
    return tmp_path / "new" / "m.jsonl"


def says(path, settings=SETTINGS, **changes):
    with opened(path, settings) as manifest:
        return manifest.lists(replace(RESULT, **changes))


def test_it_says_what_is_done(path):
    assert json.loads(path.read_text()) == {
        "input": "a.jpg", "size": 5, "mtime": 1795622344.1509457, "output": "out/a_000.jpg", "seed": 0,
        "log_prob": 1.5, "ms": 20, "settings": SETTINGS,
    }  # fmt: skip
    assert says(path)
    assert says(path, input=Path("elsewhere/a.jpg"), log_prob=None, ms=7)


@pytest.mark.parametrize(
    "change",
    [
        {"output": Path("out/a_001.jpg")}, {"size": 6}, {"mtime": 1795622344.1509459}, {"seed": 1},
        *({"settings": SETTINGS | {key: "other"}} for key in SETTINGS), {"settings": {}},
    ],
)  # fmt: skip
def test_what_was_made_in_another_way_is_not_done(path, change):
    assert not says(path, **change)


def test_a_sheet_of_other_samples_is_not_done(path):
    with opened(path) as manifest:
        manifest.add(SHEET)
        assert not manifest.lists(SHEET), "only what stood there when it was opened"
    with opened(path) as manifest:
        assert manifest.lists(SHEET)
    with opened(path, seeds=(0, 2)) as manifest:
        assert not manifest.lists(SHEET)
        assert manifest.lists(RESULT)


def test_a_sheet_in_another_order_is_not_done(path):
    with opened(path) as manifest:
        manifest.add(SHEET)
    with opened(path, order="typical") as manifest:
        assert not manifest.lists(SHEET)
        assert manifest.lists(RESULT)
        manifest.add(SHEET)
    with opened(path, order="typical") as manifest:
        assert manifest.lists(SHEET)
    with opened(path) as manifest:
        assert not manifest.lists(SHEET)


def test_the_last_line_for_an_output_counts(path):
    with opened(path) as manifest:
        manifest.add(replace(RESULT, seed=3))
    assert says(path, seed=3)
    assert not says(path)


def test_an_error_is_not_done(tmp_path):
    with opened(tmp_path / "m") as manifest:
        manifest.add(Failure(Path("a.jpg"), "a.jpg: cannot be read"))
        manifest.add(Failure(None, "b.jpg: no such file"))
        manifest.add(Finished(Path("a.jpg")))
    (line,) = (tmp_path / "m").read_text().splitlines()
    assert json.loads(line) == {
        "input": "a.jpg", "size": None, "mtime": None, "error": "a.jpg: cannot be read"
    }  # fmt: skip
    assert not says(tmp_path / "m")


def test_every_cut_of_the_last_line_is_mended(path, caplog):
    whole = path.read_bytes()
    other = Path("out/b_000.jpg")
    for end in range(len(whole)):
        path.write_bytes(whole + whole[:end])
        caplog.clear()
        with opened(path) as manifest:
            assert manifest.lists(RESULT)
            manifest.add(replace(RESULT, output=other))
        told = [f"{path}: skipped 1 line that cannot be read"] if 0 < end < len(whole) - 1 else []
        assert caplog.messages == told
        assert says(path)
        assert says(path, output=other)
        path.write_bytes(whole[:end])
        assert says(path) == (end == len(whole) - 1)  # only the newline is missing


def test_manifests_can_be_joined(path):
    path.write_bytes(path.read_bytes() + path.read_bytes().replace(b"out/a_000.jpg", b"b"))
    assert says(path)
    assert says(path, output=Path("b"))


def test_other_files_are_not_written_to(tmp_path):
    for content in (b"\xff\xd8\xff photo\nphoto", b"no manifest", b'{"other": 1}\n', b"\0" * 100):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(DataError, match="is not a manifest"):
            opened(tmp_path / "m")
        assert (tmp_path / "m").read_bytes() == content
    with pytest.raises(DataError, match="cannot be read or written"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "line",
    [b"[" * 300_000, b'{"input": ' + b"[" * 300_000, b'{"input": 1, "output": ' + b"[" * 300_000, b'"input"'],
)
def test_crafted_lines_are_passed_over(path, line):
    path.write_bytes(path.read_bytes() + line + b"\n")
    assert says(path)
    path.write_bytes(line + b"\n")
    if line.startswith(b'{"input": '):
        assert not says(path)
    else:
        with pytest.raises(DataError, match="is not a manifest"):
            opened(path)


def test_a_line_is_one_write(tmp_path, monkeypatch):
    import os

    written, write = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, content: written.append(content) or write(fd, content))
    with opened(tmp_path / "m") as manifest:
        manifest.add(RESULT)
    assert written == [(tmp_path / "m").read_bytes()]
