"""A manifest recognises the results it lists, whatever a crash left."""

import json

import pytest

from cinn_colorize.batch.manifest import Manifest
from cinn_colorize.errors import DataError

LINE = {
    "input": "a.jpg", "size": 5, "mtime": 1795622344.1509457, "output": "out/a_000.jpg", "seed": 0,
    "temperature": 0.8, "model": "natural", "log_prob": 1.5, "ms": 20, "settings": {"quality": 95},
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    with Manifest(tmp_path / "new" / "m.jsonl") as manifest:
        assert not manifest.says(LINE)
        manifest.add(LINE)
    return tmp_path / "new" / "m.jsonl"


def says(path, **changes):
    with Manifest(path) as manifest:
        return manifest.says(LINE | changes)


def test_it_says_what_is_done(path):
    assert json.loads(path.read_text()) == LINE
    assert says(path)
    assert says(path, input="elsewhere/a.jpg", log_prob=None, ms=7)


@pytest.mark.parametrize(
    "change",
    [
        {"output": "out/a_001.jpg"}, {"size": 6}, {"mtime": 1795622344.1509459}, {"seed": 1},
        {"temperature": 0.7}, {"model": "other"}, {"settings": {"quality": 90}},
    ],
)  # fmt: skip
def test_what_was_made_in_another_way_is_not_done(path, change):
    assert not says(path, **change)


def test_the_last_line_for_an_output_counts(path):
    with Manifest(path) as manifest:
        manifest.add(LINE | {"seed": 3})
    assert says(path, seed=3)
    assert not says(path)


def test_an_error_is_not_done(tmp_path):
    with Manifest(tmp_path / "m") as manifest:
        manifest.add({"input": "a.jpg", "size": 5, "mtime": 1.0, "error": "a.jpg: cannot be read"})
    assert not says(tmp_path / "m")


def test_every_cut_of_the_last_line_is_mended(path, caplog):
    whole = path.read_bytes()
    other = LINE | {"output": "out/b_000.jpg"}
    for end in range(len(whole)):
        path.write_bytes(whole + whole[:end])
        caplog.clear()
        with Manifest(path) as manifest:
            assert manifest.says(LINE)
            manifest.add(other)
        told = [f"{path}: skipped 1 line that cannot be read"] if 0 < end < len(whole) - 1 else []
        assert caplog.messages == told
        assert says(path)
        assert says(path, **other)
        path.write_bytes(whole[:end])
        assert says(path) == (end == len(whole) - 1)  # only the newline is missing


def test_manifests_can_be_joined(path):
    path.write_bytes(path.read_bytes() + json.dumps(LINE | {"output": "b"}).encode() + b"\n")
    assert says(path)
    assert says(path, output="b")


def test_other_files_are_not_written_to(tmp_path):
    for content in (b"\xff\xd8\xff photo\nphoto", b"no manifest", b'{"other": 1}\n', b"\0" * 100):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(DataError, match="is not a manifest"):
            Manifest(tmp_path / "m")
        assert (tmp_path / "m").read_bytes() == content
    with pytest.raises(DataError, match="cannot be read or written"):
        Manifest(tmp_path)


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
            Manifest(path)


def test_a_line_is_one_write(tmp_path, monkeypatch):
    import os

    written, write = [], os.write
    monkeypatch.setattr(os, "write", lambda fd, content: written.append(content) or write(fd, content))
    with Manifest(tmp_path / "m") as manifest:
        manifest.add(LINE)
    assert written == [json.dumps(LINE).encode() + b"\n"]
