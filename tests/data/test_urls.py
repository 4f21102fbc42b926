"""Photos in zips at URLs, from a local server."""

import http.server
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ENVIRONMENT, needs

from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.data.urls import Url, cached, find
from cinn_colorize.errors import DataError

needs("aiohttp")


class Server(http.server.SimpleHTTPRequestHandler):
    """Serve a folder with its listing, and byte ranges if ``ranges`` is true."""

    ranges = True
    failing = 0  # requests that are answered with 503
    sent = 0

    def do_HEAD(self):
        if not self.fails():
            super().do_HEAD()

    def fails(self):
        kind = type(self)
        if kind.failing > 0:
            kind.failing -= 1
            self.send_error(503)
            return True
        return False

    def do_GET(self):
        kind = type(self)
        if self.fails():
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not (asked and self.ranges):
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        start, end = int(asked[1]), min(int(asked[2]), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end + 1 - start))
        self.end_headers()
        self.wfile.write(data[start : end + 1])
        kind.sent += end + 1 - start

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two zips of incompressible photos, one to evaluate on, and a damaged one."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for shard in range(2):
        with zipfile.ZipFile(folder / f"photos-train-{shard}.zip", "w") as archive:
            for i in range(12):
                pixels = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
                archive.writestr(f"{i:02}.png", cv2.imencode(".png", pixels)[1].tobytes())
    with zipfile.ZipFile(folder / "photos-dev.zip", "w") as archive:
        archive.writestr("dev.png", cv2.imencode(".png", pixels)[1].tobytes())
    (folder / "photos-train-2.zip").write_bytes(b"no zip, but more than twenty-two bytes")
    return folder


@pytest.fixture(params=[True], ids=["ranges"])
def served(folder, request):
    """The URL of the folder."""
    kind = type("Server", (Server,), {"ranges": request.param})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
    server.handle_error = lambda *arguments: None  # clients may hang up
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Url(f"http://127.0.0.1:{server.server_port}"), kind
    server.shutdown()
    server.server_close()


def same(photos, folder):
    read = Reader()
    local = [p for i in range(2) for p in find_photos(folder / f"photos-train-{i}.zip")]
    assert len(photos) == len(local) == 24
    assert all(np.array_equal(read(a), read(b)) for a, b in zip(photos[::5], local[::5], strict=True))


def test_shards_are_read_from_afar_photo_by_photo(folder, served):
    url, server = served
    damaged = []
    photos = find_photos(url, damaged=damaged)
    assert "photos-train-2.zip" in "".join(damaged)
    assert str(photos[0]) == f"{url}/photos-train-0.zip:00.png"
    same(photos, folder)
    server.sent = 0
    Reader()(photos[3])
    assert server.sent < (folder / "photos-train-0.zip").stat().st_size / 2
    with pytest.raises(DataError, match=r"photos-train-2\.zip"):
        find_photos(url)
    assert len(find_photos(Url(f"{url}/photos-train-1.zip"))) == 12
    assert len(find_photos(Url(f"{url}/photos-*-[01].zip"))) == 24


def test_a_network_that_fails_for_a_while_costs_no_photo(folder, served):
    url, server = served
    (photo, *_) = find_photos(Url(f"{url}/photos-train-0.zip"))
    read = Reader()
    expected = read(photo)
    server.failing = 1
    assert np.array_equal(Reader()(photo), expected)
    assert server.failing == 0


@pytest.mark.parametrize("failing", [1, 2, 3, 5])
def test_a_network_that_fails_at_the_start_costs_neither_shards_nor_evaluation(served, monkeypatch, failing):
    monkeypatch.setattr("cinn_colorize.data.urls._PAUSES", (0.01,) * 6)
    url, server = served
    server.failing = failing
    assert len(find_photos(Url(f"{url}/photos-train-1.zip"))) == 12
    assert server.failing == 0
    server.failing = failing
    assert [found.name for found in find(url, "photos-dev.zip")] == ["photos-dev.zip"]
    assert server.failing == 0


def test_a_server_that_refuses_is_not_asked_again(served, monkeypatch):
    monkeypatch.setattr("cinn_colorize.data.urls.time.sleep", lambda _: pytest.fail("asked again"))
    url, _ = served
    with pytest.raises(DataError, match=r"none\.zip: cannot be read \(404"):
        find_photos(Url(f"{url}/none.zip"))


def test_neither_password_nor_signature_is_shown(served, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr("cinn_colorize.data.urls._PAUSES", (0.01,))
    url, server = served
    plain = str(url).removeprefix("http://")
    secret = Url(f"http://ada:hunter2@{plain}/photos-train-0.zip?sign=s3cret")
    caplog.set_level(logging.INFO)
    server.failing = 1
    (photo, *_) = find_photos(secret, cache=tmp_path)
    (remote, *_) = find_photos(secret)
    server.failing = 9
    problems = [str(remote), *caplog.messages]
    with pytest.raises(DataError) as unread:
        Reader()(remote)
    with pytest.raises(DataError) as unfound:
        find_photos(secret)
    with pytest.raises(DataError) as unknown:
        find_photos(Url(f"nosuch://ada:hunter2@{plain}/x.zip?sign=s3cret"))
    problems += [str(raised.value) for raised in (unread, unfound, unknown)]
    for odd in ("a b/x.zip?sign=s3cret", "ada's/x.zip?sign=s3cret"):
        problems.append(Url(f"http://ada:p@hunter2@{plain}/{odd}").shown)
    assert any(f"http://{plain}/photos-train-0.zip?...:00.png" in problem for problem in problems)
    assert any("fetching" in problem for problem in problems)
    assert not [problem for problem in problems if "hunter2" in problem or "s3cret" in problem]
    assert photo.entry == remote.entry == "00.png"


def test_folders_of_stores_with_hosts():
    """Whose names for files have neither host nor login."""
    fsspec = needs("fsspec")

    class Store(fsspec.AbstractFileSystem):
        protocol = "store"

        @classmethod
        def _strip_protocol(cls, path):
            return "/" + path.removeprefix("store://").partition("/")[2].strip("/")

        def glob(self, path, **_):
            return [path.replace("*", "photos-train-0")]

    fsspec.register_implementation("store", Store, clobber=True)
    expected = [Url("store://ada@host:21/a/photos-train-0.zip")]
    for url in ("store://ada@host:21/a", "store://ada@host:21/a/", "store://ada@host:21/a/*.zip"):
        assert find(Url(url), "*.zip") == expected


def test_shards_are_kept_in_a_folder(folder, served, tmp_path):
    url, _ = served
    photos = find_photos(Url(f"{url}/photos-train-[01].zip*"), cache=tmp_path / "kept")
    assert {photo.path.parent for photo in photos} == {tmp_path / "kept"}
    same(photos, folder)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.zip")}
    assert len(times) == 2
    cut = next(iter(times))
    cut.write_bytes(b"cut")
    again = find_photos(Url(f"{url}/photos-train-[01].zip*"), cache=tmp_path / "kept")
    assert again == photos
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {cut}


KILLED = """
import os, pathlib, signal, sys
from cinn_colorize.data.urls import Url, cached
sys.addaudithook(lambda event, _: event == "os.rename" and os.kill(os.getpid(), signal.SIGKILL))
cached(Url(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""


def test_what_a_killed_fetch_left_is_removed_by_the_next(served, folder, tmp_path):
    url = Url(f"{served[0]}/photos-train-0.zip")
    killed = subprocess.run([sys.executable, "-c", KILLED, url, tmp_path], env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob("*.part")
    assert left.stat().st_size == (folder / url.name).stat().st_size
    assert cached(url, tmp_path).read_bytes() == (folder / url.name).read_bytes()
    assert not left.exists()


@pytest.mark.parametrize("served", [False], indirect=True, ids=["no ranges"])
def test_a_server_without_ranges_needs_the_cache(served, folder, tmp_path):
    url = Url(f"{served[0]}/photos-train-0.zip")
    with pytest.raises(DataError, match="--cache FOLDER"):
        find_photos(url)
    assert len(find_photos(url, cache=tmp_path)) == 12
    (folder / "large").write_bytes(os.urandom(12 * 2**20))  # more than fsspec reads at once
    copy = cached(Url(f"{served[0]}/large"), tmp_path)
    assert copy.read_bytes() == (folder / "large").read_bytes()


def test_what_is_not_there(served, tmp_path):
    url, _ = served
    with pytest.raises(DataError, match=r"missing\.zip"):
        find_photos(Url(f"{url}/missing.zip"))
    with pytest.raises(DataError, match=r"missing\.zip"):
        cached(Url(f"{url}/missing.zip"), tmp_path)
    with pytest.raises(DataError, match="no file there matches"):
        find_photos(url, "pictures-*.zip")
    empty = tmp_path / "photos-train-0.zip"
    zipfile.ZipFile(empty, "w").close()
    with pytest.raises(DataError, match="no photos there"):
        find_photos(Url(empty.as_uri()))
    with pytest.raises(DataError, match="what://"):
        find_photos(Url("what://bucket/photos"))


def test_the_task_of_photos_takes_urls(served, folder):
    from cinn_colorize.training.datasets import open_task

    url, _ = served
    task = open_task("photos", [url])
    assert (task.distinct, len(task.dev), len(task.unreadable)) == (24, 1, 1)
    held_out = folder / "photos-dev.zip"
    content = held_out.read_bytes()
    held_out.write_bytes(content[:-1000])
    try:
        with pytest.raises(DataError, match=r"photos-dev\.zip"):
            open_task("photos", [url])
        held_out.unlink()
        assert not open_task("photos", [url]).dev
    finally:
        held_out.write_bytes(content)
    for dataset in ("lsun", "imagenet"):
        with pytest.raises(DataError, match=f"photos can be read from URLs, {dataset} cannot"):
            open_task(dataset, [url])
