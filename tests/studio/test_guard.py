"""Who is let in, by what a process answers to requests as they are written on the wire."""

import contextlib
import re
import signal
import socket

import pytest
from helpers import start


@pytest.fixture(scope="module")
def doors(folder):
    """Studios that listen to this machine, to all networks, and to anyone: their ports and tokens."""
    photo = [[folder / "a.jpg"], [folder / "a.jpg"], []]
    options = [[], ["--host", "0.0.0.0"], ["--host", "0.0.0.0", "--public"]]
    with contextlib.ExitStack() as ends:
        found = {}
        for name, photos, more in zip(("own", "networks", "public"), photo, options, strict=True):
            process = start(folder, "studio", *photos, "--port", "0", "--no-browser", *more, text=True)
            ends.callback(process.communicate)
            ends.callback(process.send_signal, signal.SIGKILL)
            found[name] = re.search(r":(\d+)/(?:\?token=(\S+))?", process.stderr.readline()).groups()
        yield found


def ask(door, line, *headers, body=b""):
    """Write a request as it is; return the head of the answer."""
    with socket.create_connection(("127.0.0.1", int(door[0])), timeout=60) as wire:
        head = [line + " HTTP/1.1", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        wire.sendall("\r\n".join(head).encode() + body)
        answer = b"".join(iter(lambda: wire.recv(2**16), b""))
    return answer.decode()


@pytest.mark.parametrize("path", ["/facts", "/photos", "/colorize", "/save"])
@pytest.mark.parametrize(
    "host", ["x/healthz?", "x/healthz#", "localhost/healthz?", "x\\/healthz?", "/healthz?"]
)
def test_no_host_is_taken_for_a_path(doors, host, path):
    for door in (doors["own"], doors["networks"]):
        assert ask(door, f"POST {path}", f"Host: {host}", body=b"{}").startswith(
            ("HTTP/1.1 403", "HTTP/1.1 400")
        )
    public = ask(doors["public"], f"POST {path}", f"Host: {host}", body=b"{}")
    assert public.startswith(("HTTP/1.1 403", "HTTP/1.1 400"))


def test_each_door_lets_in_whom_it_is_for(doors):
    for name, host, status in (
        ("own", "localhost", 200),
        ("own", "evil.example", 403),
        ("networks", "evil.example", 403),
        ("public", "any.example", 200),
    ):
        assert ask(doors[name], "GET /", f"Host: {host}").startswith(f"HTTP/1.1 {status}"), (name, host)
    port, token = doors["networks"]
    answer = ask(doors["networks"], f"GET /?token={token}", f"Host: any.example:{port}")
    assert answer.startswith("HTTP/1.1 200")
    assert f"set-cookie: cinn-colorize-token={token}; HttpOnly; SameSite=Strict; Path=/\r\n" in answer
    assert "set-cookie" not in ask(doors["own"], "GET /", "Host: localhost")


@pytest.mark.parametrize(
    ("name", "frames"),
    [("own", "'none'"), ("networks", "'none'"), ("public", "'self' https://huggingface.co")],
)
def test_pages_are_framed_by_nobody_else_and_load_from_nowhere_else(doors, name, frames):
    token = doors[name][1] or ""
    answer = ask(doors[name], f"GET /?token={token}", "Host: localhost")
    policy = re.search(r"content-security-policy: (.*)\r\n", answer)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": frames,
    }
    for header in (
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ):
        assert header in answer
