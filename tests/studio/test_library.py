"""The files that pages of the studio may use."""

import contextlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import GRAY
from PIL import Image

from cinn_colorize.errors import PhotoError
from cinn_colorize.studio.library import _MOST_SENT, Library


@pytest.mark.ci
def test_the_library_is_used_by_two_threads_at_once():
    library = Library()

    def new():
        item = library.new("a.jpg")
        item.path.write_bytes(b"x")
        return library.add(item)

    items, stop, found = [new() for _ in range(60)], threading.Event(), []

    def use():
        while not stop.is_set():
            for item in items[::-1]:
                with contextlib.suppress(PhotoError):  # forgotten
                    found.append(library[item.id] == item)

    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use)
        try:
            for _ in range(500):
                items.append(new())
                assert library.renamed(f"{items[-1].path}: a line") == "a.jpg: a line"
        finally:
            stop.set()
        using.result()
    assert found
    assert all(found)
    kept = [item for item in items if item.path.exists()]
    assert len(kept) == _MOST_SENT
    assert [library[item.id] for item in kept] == kept
    assert sorted(library.folder.iterdir()) == sorted(item.path for item in kept)
    library.close()


def test_what_was_sent_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr("cinn_colorize.studio.library._MOST_SENT", 2)
    library = Library()
    items = [library.new(f"{number}.jpg") for number in range(3)]
    for item in items:
        item.path.write_bytes(b"x")
        library.add(item)
    assert [item.path.exists() for item in items] == [False, True, True]
    with pytest.raises(Exception, match="open it again"):
        library[items[0].id]
    library.close()
    assert not library.folder.exists()


def test_so_is_what_has_too_many_bytes_together(monkeypatch):
    monkeypatch.setattr("cinn_colorize.studio.library._MOST_BYTES", 5)
    library = Library()
    items = [library.new(f"{number}.jpg") for number in range(4)]
    for item, size in zip(items, (3, 2, 1, 6), strict=True):
        item.path.write_bytes(bytes(size))
        library.add(item)
        if size == 1:
            assert [path.exists() for path in (item.path for item in items)] == [False, True, True, False]
    assert [item.path.exists() for item in items] == [False, False, False, True]  # the last one stays
    library.close()


def test_a_file_that_was_removed_from_outside_is_forgotten():
    library = Library()
    items = [library.new(f"{number}.jpg") for number in range(3)]
    for item in items:
        item.path.write_bytes(b"x")
        library.add(item)
        items[0].path.unlink(missing_ok=True)
    with pytest.raises(PhotoError, match="open it again"):
        library[items[0].id]
    assert [library[item.id].name for item in items[1:]] == ["1.jpg", "2.jpg"]
    library.close()


@pytest.mark.parametrize("name", ["._a_1.jpg", ".__1.jpg", "__1.jpg", "_.jpg", "._.jpg"])
def test_names_that_macs_and_others_give_are_no_results(tmp_path, name):
    Image.fromarray(GRAY).save(tmp_path / "a.jpg")
    (tmp_path / name).write_bytes(b"\0\5\x16\7")
    library = Library([tmp_path / "a.jpg", tmp_path / name])
    assert [item["done"] for item in library.given()] == [False, False]
    library.close()


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        (".bashrc", "bashrc.png"),
        ("invoice.desktop", "invoice.desktop.png"),
        ("..png", "png.png"),
        ("", "mask.png"),
        ("../b_mask.PNG", "b_mask.PNG"),
        ("b_005.jpg", "b_005.jpg"),
    ],
)
def test_what_is_saved_is_called_a_picture(name, saved):
    library = Library()
    assert library.new(name, made=True).name == saved
    library.close()


def test_photos_that_are_being_sent_count(monkeypatch):
    monkeypatch.setattr("cinn_colorize.studio.library._MOST_HELD", 2)
    library = Library()
    with library.room() as first:
        with library.room() as second, library.room() as third:
            assert (first, second, third) == (True, True, False)
        with library.room() as fourth:
            assert fourth
    library.close()


def test_photos_of_a_folder_that_is_gone_hide_no_others(tmp_path, photo):
    paths = [tmp_path / folder / "a.jpg" for folder in ("gone", "there")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(photo)
    library = Library(paths)
    shutil.rmtree(tmp_path / "gone")
    assert [given["name"] for given in library.given()] == list(map(str, paths))
    library.close()
