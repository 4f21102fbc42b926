"""The studio as a process: how it ends at work, and what clients that are silent do to it."""

import contextlib
import http.client
import json
import re
import resource
import signal
import socket
import threading

import pytest
from helpers import ENVIRONMENT, longer, start, wait_for


def studio(folder, *options, **more):
    """A studio with a folder for temporary files, and its port and what it says."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = ENVIRONMENT | {"TMPDIR": str(temporary)}
    arguments = ["studio", "--port", "0", "--no-browser", *options]
    process = start(folder, *arguments, environment=environment, text=True, **more)
    port = int(re.search(r":(\d+)/", process.stderr.readline())[1])
    said = []
    threading.Thread(target=lambda: said.extend(process.stderr), daemon=True).start()
    return process, port, said


def ask(port, method, path, body=None):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("number", [signal.SIGINT, *longer(signal.SIGTERM)])
def test_it_ends_at_work_without_a_word_and_leaves_nothing(tmp_path, photo, narrow_weights, number):
    process, port, said = studio(tmp_path, "--weights", narrow_weights)
    sent = json.loads(ask(port, "POST", "/photos?name=a.jpg", photo)[1])
    asked = json.dumps({"photo": sent["id"], "number": 64, "size": "full"})
    drawing = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    drawing.request("POST", "/samples", asked)
    half = socket.create_connection(("127.0.0.1", port))
    half.sendall(b"POST /photos?name=b.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
    lines = drawing.getresponse()
    lines.readline()
    assert list((tmp_path / "temporary").glob("cinn-colorize-*/*"))
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert [line for line in said if not line.startswith("cinn-colorize: stopped;")] == []
    assert list((tmp_path / "temporary").iterdir()) == []
    half.close()
    drawing.close()


@pytest.mark.ci
def test_half_requests_keep_nobody_out_and_end(tmp_path):
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

    process, port, said = studio(tmp_path, preexec_fn=few_files)
    beginnings = [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"]
    beginnings += [b"POST /photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"] * 2
    halves = []
    for k in range(400):
        halves.append(socket.create_connection(("127.0.0.1", port), timeout=60))
        with contextlib.suppress(OSError):  # it has given way to a later one
            halves[-1].sendall(beginnings[k % 4])
    for _ in range(3):
        assert ask(port, "GET", "/")[0] == 200
    for half in halves:
        with contextlib.suppress(ConnectionError):
            assert half.recv(1) == b""  # or a timeout
        half.close()
    assert ask(port, "GET", "/")[0] == 200
    folder = tmp_path / "temporary"
    wait_for(lambda: not list(folder.glob("cinn-colorize-*/*")), 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert len(said) == 1, said[:3]  # that it has stopped
