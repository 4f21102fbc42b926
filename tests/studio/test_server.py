"""The server of the studio: who may use it, what it reads and writes, and in which order it works."""

import http.client
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from helpers import GRAY, names, process, start
from PIL import Image
from starlette.testclient import TestClient

from cinn_colorize.imaging.options import MAX_PIXELS
from cinn_colorize.studio.guard import Guard
from cinn_colorize.studio.library import Library
from cinn_colorize.studio.openapi import OPENAPI
from cinn_colorize.studio.page_request import PageRequest


@pytest.fixture(scope="module")
def server(folder, loading, new_server):
    library = Library([folder / "a.jpg"])
    return new_server(library, loading(), lambda path: None)


@pytest.fixture(scope="module")
def client(server):
    return TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost:8123")


def send(client, photo, name="b.jpg"):
    return client.post("/photos", params={"name": name}, content=photo).json()["id"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8123", "localhost.evil.example", ""])
@pytest.mark.parametrize("path", ["/", "/healthz", "/page/studio.js", "/files/x"])
def test_a_foreign_host_is_refused(client, host, path):
    answer = client.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8123", "[::1]:9000"])
def test_this_machine_is_not(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999", "http://["])
def test_a_foreign_origin_is_refused(client, photo, origin, folder):
    before = names(folder)
    for path in ("/photos?name=x.jpg", "/colorize", "/samples", "/save"):
        assert client.post(path, content=photo, headers={"origin": origin}).status_code == 403
    assert names(folder) == before
    answer = client.post("/photos", content=photo, headers={"origin": "http://localhost:8123"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_token_is_required_where_there_is_one(server, photo):
    guarded = Guard(server.app(), MAX_PIXELS, hosts=(), token="secret")
    client = TestClient(guarded, base_url="http://example.org")
    refused = client.get("/")
    assert refused.status_code == 403
    assert "secret" not in str(refused.headers)
    assert client.get("/", params={"token": "secre"}).status_code == 403
    assert client.post("/photos", content=photo).status_code == 403
    assert client.get("/healthz").status_code in (200, 503)
    bearer = {"authorization": "Bearer secret"}
    assert client.post("/photos", content=photo, headers=bearer).status_code == 200
    page = client.get("/", params={"token": "secret"})
    assert page.status_code == 200
    assert "HttpOnly" in page.headers["set-cookie"]
    assert client.post("/photos", content=photo).status_code == 200  # by the cookie


def test_another_host_gets_a_token_of_its_own(folder):
    urls = []
    for _ in range(2):
        server = start(folder, "studio", "--host", "0.0.0.0", "--port", "0", "--no-browser", text=True)
        urls.append(urlsplit(next(word for word in server.stderr.readline().split() if "://" in word)))
        connection = http.client.HTTPConnection("127.0.0.1", urls[-1].port)
        connection.request("GET", "/")
        assert connection.getresponse().status == 403
        server.kill()
        server.communicate()
    assert len(urls[0].query) > 20
    assert urls[0].query != urls[1].query


@pytest.mark.parametrize(
    "path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page//etc/passwd", "/files/..%2fa.jpg"]
)
def test_no_path_leads_out_of_the_page(client, path):
    assert client.get(path).status_code >= 400


def test_only_what_was_made_here_is_sent(client, photo):
    (given,) = client.post("/facts", json={}).json()["given"]
    for key in (given["id"], send(client, photo)):
        assert client.get(f"/files/{key}").status_code == 422


@pytest.mark.parametrize("name", ["../../evil.jpg", "/etc/passwd", "..\\evil.jpg", "a/b/", "", "\0"])
def test_a_name_is_no_path(client, photo, folder, name):
    before = names(folder.parent)
    key = send(client, photo, name)
    saved = client.post("/save", json={"photo": key}).json()["files"]
    assert all("/" not in file["name"] and "\\" not in file["name"] for file in saved)
    assert client.get(f"/files/{saved[0]['id']}").content[:4] in (b"\xff\xd8\xff\xe1", b"\x89PNG")
    assert names(folder.parent) == before


def test_a_file_that_is_too_large_is_refused(server, photo):
    client = TestClient(Guard(server.app(), 1000), base_url="http://localhost")
    for content in (bytes(2**24 + 10_000), iter([bytes(2**24), bytes(10_000)])):  # the length is not told
        answer = client.post("/photos", content=content)
        assert answer.status_code == 413
        assert "the most for a photo of 0.001 million pixels" in answer.text


def test_json_is_small_and_flat(client):
    many = b"[" + b"{}," * 2**19 + b"{}]"
    for content in (many, iter([many])):  # its length is told, and not told
        answer = client.post("/facts", content=content)
        assert (answer.status_code, len(answer.text.splitlines())) == (413, 1)
        assert answer.text.endswith("at most 1 MiB")
    assert client.post("/facts", content=b"[" * 100_000).status_code == 422


def test_photos_wait_until_others_are_done(monkeypatch, photo, narrow_weights, loading, new_server):
    monkeypatch.setattr("cinn_colorize.studio.library._MOST_BYTES", len(photo) - 1)
    library = Library()
    server = new_server(library, loading(weights=narrow_weights), print)
    client = TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost")
    item = library.new("a.jpg")
    item.path.write_bytes(photo)
    held = library.add(item, hold=True)
    assert client.post("/colorize", content=photo).status_code == 503
    library.remove(held)
    assert client.post("/colorize", content=photo).status_code == 200


def test_a_photo_of_too_many_pixels_is_refused(photo, loading, new_server):
    library = Library()
    server = new_server(library, loading(max_pixels=1000), print)
    client = TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost")
    answer = client.post("/open", json={"photo": send(client, photo)})
    assert answer.status_code == 422
    assert answer.text.startswith("b.jpg: cannot be read: 300 x 240")
    answer = client.post("/colorize?name=c.jpg", content=photo)
    assert answer.status_code == 422
    assert answer.text.startswith("c.jpg: cannot be read: 300 x 240")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"temperature": "9"}, "temperature must be a number from 0 to 2"),
        ({"temperature": "hot"}, "'hot' is neither a number"),
        ({"seed": "-1"}, "'-1' is not a seed"),
        ({"seed": None}, "seed is null"),
        ({"frame": "1,2"}, "'1,2' is not a rectangle"),
        ({"hints": "900,2,#ffffff"}, "lies outside its 300x240 pixels"),
        ({"hints": "red"}, "'red' is not a hint"),
        ({"guidance": "3"}, "guidance '3' is not a number from 0 to 2"),
        ({"strength": "2"}, "strength '2' is not a number from 0 to 1"),
        ({"upsampling": "magic"}, "upsampling 'magic' is not one of"),
        ({"hints": "1,2,#ffffff", "reference": "x"}, "exclude each other"),
        ({"photo": "unknown"}, "open it again"),
        ({"size": "huge"}, "size must be one of"),
        ({"size": ["small"]}, "size must be one of"),
        ({"number": 0}, "number must be from 1 to 64"),
        ({"seed": "typical", "number": 2}, "number must be from 1 to 1"),
        ({"number": [1]}, "number must be an integer, not [1]"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(client, photo, asked, said):
    answer = client.post("/samples", json={"photo": send(client, photo), "size": "small"} | asked)
    line = answer.text if answer.status_code in (410, 422) else json.loads(answer.text)["error"]
    assert said in line
    assert "\n" not in line
    assert str(client.app._app) not in line


@pytest.mark.parametrize("kind", ["photo", "mask", "reference"])
def test_what_is_forgotten_has_a_status_of_its_own(client, photo, kind):
    """By which a page knows that it has to send it again."""
    asked = {"photo": send(client, photo), "size": "small"} | {kind: "unknown"}
    for path in ("/samples", "/save", "/command"):
        assert client.post(path, json=asked).status_code == 410


def test_the_api_makes_what_the_command_makes(client, photo, tmp_path):
    (tmp_path / "b.jpg").write_bytes(photo)
    options = {"seed": 3, "temperature": "0.9"}
    raw = client.post("/colorize", params=options, content=photo)
    form = client.post("/colorize", params=options, files={"photo": ("b.jpg", photo)})
    process(tmp_path, "b.jpg", "--seed", "3", "-t", "0.9")
    assert raw.headers["content-type"] == "image/jpeg"
    assert raw.content == form.content == (tmp_path / "colorized/b_003.jpg").read_bytes()
    default = tmp_path / process(tmp_path, "b.jpg", "-o", "first").stdout.strip()
    assert client.post("/colorize", content=photo).content == default.read_bytes()


def test_many_pictures_may_be_asked_for_at_once(photo, narrow_weights, monkeypatch, loading, new_server):
    """More than the library remembers of what pages have sent, of which none is forgotten for them."""
    monkeypatch.setattr("cinn_colorize.studio.library._MOST_SENT", 2)
    library = Library()
    server = new_server(library, loading(weights=narrow_weights), lambda path: None)
    client = TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost")
    sent = client.post("/photos?name=mine.jpg", content=photo).json()
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda k: client.post(f"/colorize?seed={k}", content=photo), range(8))]
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.content for answer in answers}) == 8
    assert [path.name for path in library.folder.iterdir()] == [library[sent["id"]].path.name]


def test_samples_come_in_parts_and_none_is_left_out(photo, loading, new_server):
    """A network without passes draws one at a time."""
    library = Library()
    server = new_server(library, loading(model="bedrooms", guidance=0.0), lambda path: None)
    client = TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost")
    sent = client.post("/photos?name=room.jpg", content=photo).json()
    asked = {"photo": sent["id"], "seed": 3, "number": 4, "size": "small"}
    lines = client.post("/samples", json=asked).text.splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [3, 4, 5, 6]


def test_the_description_has_the_options_that_there_are(client, photo):
    described = client.get("/openapi.json").json()
    assert described == json.loads(json.dumps(OPENAPI))
    options = {option["name"] for option in described["paths"]["/colorize"]["post"]["parameters"]}
    wished = {"frame", "guidance", "hints", "name", "seed", "temperature"} | vars(
        PageRequest().rendering
    ).keys()
    assert options == wished
    assert client.post("/colorize", content=b"no photo").status_code == 422
    for params, files, said in (
        ({"mask": "x"}, None, "mask is not an option here"),
        ({"temprature": "0.8"}, None, "temprature is not an option here"),
        ({}, {"photo": photo, "seed": (None, "3")}, "send it alone, and options in the URL"),
    ):
        body = {"files": files} if files else {"content": photo}
        answer = client.post("/colorize", params=params, **body)
        assert (answer.status_code, said in answer.text) == (422, True)
    assert client.get("/healthz").text == "ok"


def test_names_that_are_not_utf8_are_as_good_as_others(tmp_path, narrow_weights, loading, new_server):
    photo = tmp_path / os.fsdecode(b"caf\xe9 au lait.jpg")
    Image.fromarray(GRAY).save(photo)
    library = Library([photo])
    server = new_server(library, loading(weights=narrow_weights), lambda path: None)
    client = TestClient(Guard(server.app(), MAX_PIXELS), base_url="http://localhost:8123")
    (given,) = client.post("/facts", json={}).json()["given"]
    assert client.post("/open", json={"photo": given["id"]}).json()["name"] == given["name"] == str(photo)
    (saved,) = client.post("/save", json={"photo": given["id"], "seed": 3}).json()["saved"]
    assert os.fsencode(saved) == os.fsencode(tmp_path) + b"/caf\xe9 au lait_003.jpg"
    assert saved in map(str, tmp_path.iterdir())
    command = client.post("/command", json={"photo": given["id"]}).json()
    assert command.isascii()
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True).stdout
    assert words.split(b"\0")[2] == os.fsencode(photo)


def test_what_is_missing_is_said_before_anything_starts(folder):
    taken = process(folder, "studio", "missing.jpg", "--no-browser")
    assert (taken.returncode, taken.stderr.count("\n")) == (1, 1)
    assert "missing.jpg" in taken.stderr
    public = process(folder, "studio", "a.jpg", "--public")
    assert public.returncode == 2
    weights = process(folder, "studio", "--weights", "a.jpg", "--no-browser", "--port", "0")
    assert weights.returncode == 1
    assert "Traceback" not in weights.stderr
