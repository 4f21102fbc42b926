"""Weights files: a round trip, verification, the hub, and what is refused."""

import errno
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
from helpers import ENVIRONMENT
from safetensors.torch import save_file

from cinn_colorize.engines.onnx.files import graphs_for
from cinn_colorize.errors import WeightsError
from cinn_colorize.files import tensorfile
from cinn_colorize.files.atomic import sha256
from cinn_colorize.models import MODELS, find_weights, load_model, own_weights, save_model, weights
from cinn_colorize.models.natural import Natural
from cinn_colorize.models.natural_config import NaturalConfig

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
        assert sha256(path) == info.sha256
        assert path.stat().st_size < 38 * 2**20
        config, _ = tensorfile.load(path)
        assert config["model"] == info.name


def test_a_changed_file_is_refused(saved, tmp_path):
    path, _ = saved
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "changed.safetensors").write_bytes(changed)
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.verify(tmp_path / "changed.safetensors", sha256(path))


def test_what_is_no_weights_file(saved, tmp_path):
    path, _ = saved
    whole = path.read_bytes()
    tensor = {"x": torch.zeros(1)}
    save_file(tensor, tmp_path / "foreign.safetensors")
    save_file(tensor, tmp_path / "other.safetensors", {tensorfile.CONFIG_KEY: json.dumps({"model": "other"})})
    config = {"model": "natural", "architecture": tensorfile.load(path)[0]["architecture"]}
    save_file(tensor, tmp_path / "misfit.safetensors", {tensorfile.CONFIG_KEY: json.dumps(config)})
    config["architecture"] = config["architecture"] | {"surprise": 1}
    save_file(tensor, tmp_path / "unknown.safetensors", {tensorfile.CONFIG_KEY: json.dumps(config)})
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(WeightsError) as error:
            load_model("natural", file)
        assert file.name in str(error.value)
        assert "\n" not in str(error.value)


def test_weights_that_may_not_be_read(saved, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("cinn_colorize.files.atomic.open_input", refuse)
    for use in (lambda: find_weights("natural", saved[0]), lambda: weights.verify(saved[0], "0" * 64)):
        with pytest.raises(WeightsError, match=r"safetensors: cannot be read \(Permission denied\)"):
            use()


def test_onnxruntime_is_not_given_types_that_numpy_lacks(tmp_path):
    config, tensors = tensorfile.load(own_weights(MODELS["natural"]))
    path = tmp_path / "other.safetensors"
    for kind, there in ((torch.float32, True), (torch.bfloat16, False)):
        tensorfile.save(path, config, {name: tensor.to(kind) for name, tensor in tensors.items()})
        assert bool(graphs_for("natural", path)) == there


def crafted(path, config, tensors=None):
    """A weights file of a crafted configuration, as JSON text or values."""
    text = config if isinstance(config, str) else json.dumps(config)
    save_file(tensors or {"x": torch.zeros(1)}, path, {tensorfile.CONFIG_KEY: text})
    return path


DEEP = "[" * 200_000 + "]" * 200_000
CONFIGS = {
    "a list": "[1]", "nothing": "", "a number": "1", "not JSON": "{", "deep": DEEP,
    "deep inside": '{"model": "natural", "architecture": ' + DEEP + "}",
    "long": json.dumps({"model": "natural", "more": [0] * 10**6}),
    "a list as architecture": {"model": "natural", "architecture": [1]},
    "no architecture": {"model": "natural"},
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_crafted_configurations(tmp_path, kind):
    path = crafted(tmp_path / "crafted.safetensors", CONFIGS[kind])
    with pytest.raises(WeightsError, match=r"crafted\.safetensors: ") as error:
        load_model("natural", path)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


LEVEL = {"blocks": 2, "width": 8, "depth": 8}
LEVELS = {"32": LEVEL, "16": LEVEL}
BLOCK = {"blocks": 1, "width": 8, "clamp": 1.0, "keep": 2}
STAGES = {"64": BLOCK, "32": BLOCK, "16": BLOCK, "0": BLOCK}


ARCHITECTURES = [
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"blocks": 20_000}}}, "blocks is not a whole number"),
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"blocks": -1}}}, "blocks is not"),
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"blocks": 1.5}}}, "blocks is not"),
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"width": 10**7}}}, "width is not"),
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"width": 4096}}}, "is missing, not"),
    ("natural", {"levels": LEVELS | {"16": LEVEL | {"residual": 10**6}}}, "residual is not"),
    ("natural", {"levels": LEVELS | {"16": [LEVEL]}}, "levels is not of type dict"),
    ("natural", {"levels": LEVELS | {"512": LEVEL}}, "levels is not a whole number from 0 to 64"),
    ("natural", {"levels": {"16": LEVEL, "0": LEVEL}}, "its levels are not 32, 16"),
    ("natural", {"levels": LEVELS | {"8": LEVEL}}, "its levels are not 32, 16"),
    ("natural", {"levels": LEVELS, "coarse": {"passes": 10**6}}, "passes is not a whole number"),
    ("natural", {"levels": LEVELS, "coarse": {"width": 10**6}}, "width is not a whole number"),
    ("natural", {"levels": LEVELS, "coarse": [1]}, "coarse is not of type dict"),
    ("natural", {"levels": LEVELS, "coarse": {"passes": 32, "blocks": 32}}, "is missing, not"),
    ("natural", {"levels": LEVELS, "attention": {"8": 10**6}}, "attention is not"),
    ("natural", {"levels": LEVELS, "clamp": "1"}, "clamp is not a number"),
    ("natural", {"levels": LEVELS, "clamp": 10**4000}, "clamp is not a number"),
    ("natural", {"levels": LEVELS, "chroma_scale": 0}, "division by zero"),
    ("natural", {"levels": LEVELS, "conditioning": 1}, "conditioning is not of type bool"),
    ("bedrooms", {"stages": STAGES | {"64": BLOCK | {"keep": 4000}}}, "4000 cannot go on"),
    ("bedrooms", {"stages": STAGES | {"64": BLOCK | {"keep": 1}}}, "its levels are not"),
    ("bedrooms", {"stages": STAGES | {"64": BLOCK | {"width": 10**9}}}, "width is not"),
    ("mnist", {"hidden": [128] * 10**4}, "hidden is not a list of up to 16"),
    ("mnist", {"hidden": [10**6]}, "hidden is not a whole number"),
    ("mnist", {"hidden": [4096] * 16, "blocks": 32}, "is missing, not"),
    ("mnist", {"hidden": []}, ""),
    ("imagenet-vgg", {"stages": {"64": BLOCK | {"head": [10**9]}}, "clamp": 1.0}, "head is not"),
]  # fmt: skip


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="no limits of memory")
def test_an_architecture_is_checked_before_it_is_built(tmp_path):
    """In a process of 4 GiB and a minute, since it could take any memory and time."""
    import resource

    files = [
        str(crafted(tmp_path / f"{i}.safetensors", {"model": model, "architecture": architecture}))
        for i, (model, architecture, _) in enumerate(ARCHITECTURES)
    ]
    code = (
        "import sys; from cinn_colorize.errors import WeightsError\n"
        "from cinn_colorize.models import load_model\n"
        "for model, file in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    try: print(load_model(model, file))\n"
        "    except WeightsError as error: print(error)\n"
        "    except Exception as error: print(repr(error))"
    )
    arguments = [part for case, file in zip(ARCHITECTURES, files, strict=True) for part in (case[0], file)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=90,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30)),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(ARCHITECTURES), done.stdout
    for line, file, (_, _, said) in zip(lines, files, ARCHITECTURES, strict=True):
        assert line.startswith(f"{file}: does not fit this version")
        assert said in line


def test_tensors_of_other_shapes_are_named_before_they_are_read(saved, tmp_path):
    path, _ = saved
    config, tensors = tensorfile.load(path)
    tensors["levels.1.head.more"] = torch.zeros(1)
    crafted(tmp_path / "more.safetensors", config, tensors)
    with pytest.raises(WeightsError, match=r"levels\.1\.head\.more' is \(1,\), not there"):
        load_model("natural", tmp_path / "more.safetensors")


def test_missing_files_and_names():
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors"):
        load_model("natural", "nowhere.safetensors")
    with pytest.raises(WeightsError, match="natural"):
        load_model("unnatural")
    with pytest.raises(WeightsError, match="hf:owner/name"):
        load_model("natural", "hf:name-only")


def test_nothing_is_left_of_a_failed_save(tmp_path):
    with pytest.raises(OSError, match="missing"):
        tensorfile.save(tmp_path / "missing" / "x.safetensors", {}, {"x": torch.zeros(1)})
    assert list(tmp_path.iterdir()) == []


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub as serving one file requires."""

    content = b""
    cut = ("/someone/cut/resolve/main/cut.safetensors",)

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        tiny = [f"/someone/tiny/resolve/{revision}/tiny.safetensors" for revision in ("main", "v2")]
        known = self.path in (*tiny, *self.cut)
        self.send_response(200 if known else 404)
        content = self.content if known else b""
        if not known:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if body and self.path not in self.cut:  # with half a file, the client would ask again without end
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
        "import sys; from cinn_colorize.errors import WeightsError\n"
        "from cinn_colorize.models import weights\n"
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
    tagged = ask_hub("hf:someone/tiny@v2", tmp_path, HF_ENDPOINT=hub)
    assert Path(tagged.stdout.strip()).read_bytes() == saved[0].read_bytes()
    (missing,) = ask_hub("hf:someone/tiny@v3", tmp_path, HF_ENDPOINT=hub).stderr.strip().splitlines()
    assert missing.startswith("hf:someone/tiny@v3/tiny.safetensors: cannot be downloaded (")


def test_a_hub_that_has_no_such_weights_or_is_not_there(hub, tmp_path):
    # Without an answer, the client retries for half a minute; offline mode ends the same way at once.
    for variables in ({"HF_ENDPOINT": hub}, {"HF_HUB_OFFLINE": "1"}):
        answer = ask_hub("hf:someone/unknown", tmp_path, **variables)
        assert answer.returncode == 1
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, answer.stderr
        assert "hf:someone/unknown" in lines[0]


@pytest.mark.ci
def test_a_download_that_is_cut_short_is_one_line(hub, tmp_path):
    answer = ask_hub("hf:someone/cut", tmp_path, HF_ENDPOINT=hub)
    assert answer.returncode == 1
    (line,) = [line for line in answer.stderr.splitlines() if line.strip()]
    assert line.startswith("hf:someone/cut/cut.safetensors: cannot be downloaded (")
