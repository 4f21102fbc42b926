"""Weights files: a round trip, verification, the hub, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cinn_colorize import weights
from cinn_colorize.errors import WeightsError
from cinn_colorize.models import MODELS, load_model, save_model
from cinn_colorize.models.natural import Natural, NaturalConfig

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = Natural(NaturalConfig.default()).eval()
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    save_model(path, model, {"photos": 0})
    return path, model


def test_a_saved_model_is_loaded_again(saved):
    path, model = saved
    loaded = load_model("natural", path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.model.config == model.config
    assert not loaded.model.training
    for name, tensor in loaded.model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.state_dict()[name].half().float()), name


def test_the_packaged_weights_are_those_of_the_registry():
    packaged = [info for info in MODELS.values() if info.sha256]
    assert {"natural"} <= {info.name for info in packaged}
    files = [weights.find_packaged(info.file).read_bytes() for info in packaged]
    assert sum(len(zlib.compress(file, 1)) for file in files) < 70 * 2**20  # what they take in the wheel
    for info in packaged:
        path = weights.find_packaged(info.file)
        assert weights.sha256(path) == info.sha256
        assert path.stat().st_size < 38 * 2**20
        config, _ = weights.load(path)
        assert config["model"] == info.name


def test_a_changed_file_is_refused(saved, tmp_path):
    path, _ = saved
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(changed)
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.verify(tmp_path / "changed.safetensors", weights.sha256(path))


def test_what_is_no_weights_file(saved, tmp_path):
    path, _ = saved
    whole = path.read_bytes()
    tensor = {"x": torch.zeros(1)}
    save_file(tensor, tmp_path / "foreign.safetensors")
    save_file(tensor, tmp_path / "other.safetensors", {weights.CONFIG_KEY: json.dumps({"model": "other"})})
    config = {"model": "natural", "architecture": weights.load(path)[0]["architecture"]}
    save_file(tensor, tmp_path / "misfit.safetensors", {weights.CONFIG_KEY: json.dumps(config)})
    config["architecture"] = config["architecture"] | {"surprise": 1}
    save_file(tensor, tmp_path / "unknown.safetensors", {weights.CONFIG_KEY: json.dumps(config)})
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(WeightsError) as error:
            load_model("natural", file)
        assert file.name in str(error.value)
        assert "\n" not in str(error.value)


def test_missing_files_and_names():
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors"):
        load_model("natural", "nowhere.safetensors")
    with pytest.raises(WeightsError, match="natural"):
        load_model("unnatural")
    with pytest.raises(WeightsError, match="hf:owner/name"):
        load_model("natural", "hf:name-only")


def test_nothing_is_left_of_a_failed_save(tmp_path):
    with pytest.raises(OSError, match="missing"):
        weights.save(tmp_path / "missing" / "x.safetensors", {}, {"x": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as serving one file requires."""

    content = b""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        known = self.path == "/someone/tiny/resolve/main/tiny.safetensors"
        self.send_response(200 if known else 404)
        content = self.content if known else b""
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(saved):
    _Hub.content = saved[0].read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def ask_hub(name, home, **variables):
    """Find weights in a separate process: the hub's client reads its variables when imported."""
    code = (
        "import sys; from cinn_colorize import weights; from cinn_colorize.errors import WeightsError\n"
        "try: print(weights.find(sys.argv[1]))\n"
        "except WeightsError as error: sys.exit(str(error))"
    )
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | variables
    return subprocess.run(
        [sys.executable, "-c", code, name], capture_output=True, text=True, env=environment, check=False
    )


def test_the_hub(hub, saved, tmp_path):
    first = ask_hub("hf:someone/tiny", tmp_path, HF_ENDPOINT=hub)
    assert first.returncode == 0, first.stderr
    assert str(tmp_path) in first.stdout
    assert Path(first.stdout.strip()).read_bytes() == saved[0].read_bytes()
    assert not list(tmp_path.rglob("*.incomplete"))
    offline = ask_hub("hf:someone/tiny", tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert offline.stdout == first.stdout


def test_a_hub_that_has_no_such_weights_or_is_not_there(hub, tmp_path):
    # Without an answer, the client retries for half a minute; offline mode ends the same way at once.
    for variables in ({"HF_ENDPOINT": hub}, {"HF_HUB_OFFLINE": "1"}):
        answer = ask_hub("hf:someone/unknown", tmp_path, **variables)
        assert answer.returncode == 1
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, answer.stderr
        assert "hf:someone/unknown" in lines[0]
