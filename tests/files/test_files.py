"""Files that are whole or not there, whatever ends the process or the machine."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from helpers import ENVIRONMENT

from cinn_colorize.batch.manifest import Manifest
from cinn_colorize.batch.plan import Failure
from cinn_colorize.files.atomic import TemporaryFolder, mode_like, remove_leftovers, replacing
from cinn_colorize.training.state import load_newest, save_checkpoint


@pytest.fixture
def disk(monkeypatch):
    """What a power cut leaves of a file: its content when it was last brought to the disk."""
    kept, fsync = {}, os.fsync

    def note(descriptor):
        fsync(descriptor)
        kept[os.fstat(descriptor).st_ino] = os.pread(descriptor, 2**30, 0)

    monkeypatch.setattr(os, "fsync", note)
    return lambda path: kept.get(path.stat().st_ino)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, disk, monkeypatch):
    path, seen, replace = tmp_path / "picture", [], type(tmp_path).replace

    def rename(part, target):
        seen.append(disk(part))
        return replace(part, target)

    monkeypatch.setattr(type(tmp_path), "replace", rename)
    with replacing(path) as descriptor:
        os.write(descriptor, b"all of it")
    assert seen == [b"all of it"]
    assert path.read_bytes() == b"all of it"


def test_no_other_process_takes_a_file_for_a_leftover_before_it_has_its_name(tmp_path, monkeypatch):
    path, replace = tmp_path / "picture", type(tmp_path).replace

    def rename(part, target):
        remove_leftovers(tmp_path)
        return replace(part, target)

    monkeypatch.setattr(type(tmp_path), "replace", rename)
    with replacing(path) as descriptor:
        os.write(descriptor, b"all of it")
    assert path.read_bytes() == b"all of it"


def test_a_checkpoint_is_on_the_disk_whole(tmp_path, disk):
    save_checkpoint(tmp_path, {"seen": 5, "model": torch.ones(100_000)})
    (path,) = tmp_path.iterdir()
    assert disk(path) == path.read_bytes()
    assert load_newest(tmp_path)["seen"] == 5


def test_a_line_of_a_manifest_is_on_the_disk_before_the_next_photo(tmp_path, disk):
    path = tmp_path / "m"
    with Manifest(path, {}, (0, 0)) as manifest:
        for i in range(3):
            manifest.add(Failure(Path(f"{i}.jpg"), "no photo"))
            assert disk(path) == path.read_bytes()
            assert len(path.read_bytes().splitlines()) == i + 1


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(b"before")
    for error in (RuntimeError, KeyboardInterrupt):
        with contextlib.suppress(error), replacing(path) as descriptor:
            os.write(descriptor, b"half")
            raise error
        assert path.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [path]


HOLDING = """
from cinn_colorize.files.atomic import TemporaryFolder
with TemporaryFolder() as folder:
    print(folder, flush=True)
    input()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="open folders are not locked there")
def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment, pipes = ENVIRONMENT | {"TMPDIR": str(tmp_path)}, {"stdin": -1, "stdout": -1, "text": True}
    calls = [subprocess.Popen([sys.executable, "-c", HOLDING], env=environment, **pipes) for _ in range(2)]
    killed, alive = (Path(call.stdout.readline().strip()) for call in calls)
    (killed / "photo.jpg").touch()
    calls[0].kill()
    calls[0].communicate()
    user = tmp_path / "cinn-colorize-examples"
    user.mkdir()
    with TemporaryFolder():
        assert killed.exists()  # it is so new that a process may be about to lock it
    for folder in tmp_path.iterdir():
        os.utime(folder, (0, 0))
    with TemporaryFolder() as mine:
        assert set(tmp_path.iterdir()) == {alive, user, Path(mine)}
    calls[1].communicate("\n")
    assert set(tmp_path.iterdir()) == {user}


@pytest.mark.parametrize(
    ("mode", "copied"), [(0o644, 0o666), (0o600, 0o600), (0o640, 0o660), (0o620, 0o600), (0o604, 0o606)]
)
def test_who_may_not_read_a_photo_may_not_read_what_is_made_from_it(tmp_path, mode, copied):
    """Those who may only write into it gain nothing either."""
    path = tmp_path / "photo.jpg"
    path.touch()
    path.chmod(mode)
    assert mode_like(path) == copied
