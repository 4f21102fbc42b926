"""What many tests share: data and photos, files of many formats, the command, layers with nonzero weights."""

import contextlib
import importlib
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pyvips
from PIL import Image
from skimage import data
from typer.testing import CliRunner

import cinn_colorize
from cinn_colorize.batch.colorizing import Job
from cinn_colorize.cli.app import app
from cinn_colorize.engines.interface import LoadedNetwork
from cinn_colorize.files.signals import ENDING

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
# Data sets for which the repository has no room. SHARED_DATA=none: do without them.
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared/data"))
CI = os.environ.get("CI") == "true"
DATA_REQUIRED = CI and Path("none") != SHARED

GRAY = data.camera()[100:340, 60:360]  # (240, 300), 8 bits
WIDE = GRAY[:120]  # in more than one window
COLOR = data.astronaut()[:240, :300]
RECIPE = {"seed": "5", "temperature": "0.8", "model": "natural"}


def shared_data(name=""):
    """The path of a data set; the test is skipped where it is missing, but fails where CI requires it."""
    if not (SHARED / name).exists():
        (pytest.fail if DATA_REQUIRED else pytest.skip)(f"needs {name or 'the data sets'} in ../shared/data")
    return SHARED / name


def needs(package):
    """Import an optional package; without it tests are skipped, but with CI=true they fail."""
    return importlib.import_module(package) if CI else pytest.importorskip(package)


def pack_pieces(path, count):
    """Pack pieces of the examples as a zip of photos."""
    wholes = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(EXAMPLES.glob("*.jpg"))]
    random = np.random.default_rng(1)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            whole = wholes[i % len(wholes)]
            y, x = (random.integers(size - 256) for size in whole.shape[:2])
            with archive.open(f"pieces/{i:04d}.webp", "w") as file:
                Image.fromarray(whole[y : y + 256, x : x + 256]).save(file, "WEBP", method=0)
    return path


class Uniform:
    """A sample with the same ab everywhere."""

    def __init__(self, a, b):
        self.ab = np.array([a, b], np.float32)[:, None, None]

    def rows(self, y0, y1, L):
        assert L.shape[0] == y1 - y0
        return np.broadcast_to(self.ab, (2, *L.shape)).copy()


class Gaussian:
    """A colorizer: ab is white noise of a known deviation around zero, and seeds are kept."""

    sha256, guidance = 64 * "0", 0.0

    def __init__(self, deviation=20.0):
        self.deviation, self.asked = deviation, []

    def condition(self, photo):
        assert photo.square.shape == (256, 256)
        assert photo.square.dtype == np.float32
        return self

    def sample(self, n=1, temperature=0.8, seed=0):
        self.asked.append((n, temperature, seed))
        return [SimpleNamespace(ab=self.ab(k, temperature)) for k in range(seed, seed + n)]

    def ab(self, seed, temperature=1.0):
        noise = np.random.default_rng(seed).standard_normal((2, 64, 64), np.float32)
        temperature = temperature if isinstance(temperature, int | float) else max(temperature.values())
        return np.float32(temperature * self.deviation) * noise

    def log_prob(self, ab):
        x, s = np.asarray(ab, np.float64) / 15, self.deviation / 15
        return float((-0.5 * (x / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)).sum())


class Slow:
    """In place of a studio, what takes its time or goes wrong."""

    def __init__(self, library):
        self.library = library

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def fail(self, error):
        raise error

    def leave_half_a_file(self, key):
        from cinn_colorize.files.atomic import temporary

        temporary(self.library[key].path.parent)
        time.sleep(600)

    def pid(self):
        return os.getpid()


def deep(gray):
    """Extend 8 bits by a ramp in the low bits, so that all 16 matter."""
    ramp = np.arange(gray.shape[0] * gray.shape[1]).reshape(gray.shape[:2]) * 7 % 256
    return (gray.astype(np.uint16) * 255 + (ramp if gray.ndim == 2 else ramp[..., None])).astype(np.uint16)


def write(path, pixels, fields=(), **options):
    """Write a file by libvips with metadata fields."""
    color, deep = pixels.ndim == 3 and pixels.shape[2] > 2, pixels.dtype == np.uint16
    space = ("rgb16" if deep else "srgb") if color else ("grey16" if deep else "b-w")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    image = image.copy(interpretation=space, xres=11.811, yres=11.811)
    for kind, field, value in fields:
        image.set_type(kind, field, value)
    image.write_to_file(str(path), **options)
    return path


def write_heic(path, pixels, **options):
    """Write a file as phones do, of 8 or 16 bits (of which 10 or 12 are kept)."""
    import pillow_heif

    mode = "L" if pixels.ndim == 2 else "RGB"
    mode += ";16" if pixels.dtype == np.uint16 else ""
    size = pixels.shape[1::-1]
    image = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(pixels).tobytes())
    image.save(path, **{"quality": 100, "chroma": 444} | options)
    return path


def write_psd(path, pixels, resources=()):
    """Write the flat picture of a PSD, gray or RGB, of 8 or 16 bits."""
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    depth, mode = 8 * pixels.itemsize, 1 if pixels.ndim == 2 else 3
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, len(channels), *pixels.shape[:2], depth, mode)
    kept = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)
        for number, content in resources
    )
    order = channels.astype(channels.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(head + bytes(4) + struct.pack(">I", len(kept)) + kept + bytes(4) + bytes(2) + order)
    return path


def write_raw(path, colors=COLOR[:40, :50], orientation=1):
    """Write a DNG: the light of a colour photo through a Bayer filter."""
    import tifffile

    light = ((colors / 255) ** 2.2 * 15000 + 512).astype(np.uint16)
    mosaic = light[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    matrix = [32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572]  # from XYZ to sRGB, in 1e-4
    tags = [
        (0x010F, 2, 0, "Agfa"), (0x0112, 3, 1, orientation), (0xC612, 1, 4, bytes([1, 4, 0, 0])),
        (0xC614, 2, 0, "Agfa Isolette"), (0x828D, 3, 2, (2, 2)), (0x828E, 1, 4, bytes([0, 1, 1, 2])),
        (0xC621, 10, 9, [part for value in matrix for part in (value, 10_000)]), (0xC61A, 3, 1, 512),
        (0xC61D, 3, 1, 15512), (0xC628, 5, 3, [1] * 6), (0xC65A, 3, 1, 21),
    ]  # fmt: skip
    tifffile.imwrite(path, mosaic, photometric=32803, metadata=None, extratags=[(*tag, True) for tag in tags])
    return path


def profile(curve, model=b"RGB ", pcs=b"XYZ ", luminance=1.0):
    """An ICC profile with one curve, and for RGB the D50 primaries of sRGB times a luminance."""
    tags = {b"kTRC": _curve(*curve)}
    if model == b"RGB ":
        primaries = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
        tags = {c + b"TRC": _curve(*curve) for c in (b"r", b"g", b"b")}
        for c, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags[c + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(luminance * np.array(primary))
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    header = struct.pack(">16x4s4s12x4s88x", model, pcs, b"acsp")
    return header + struct.pack(">I", len(tags)) + table + body


def _curve(kind, values):
    if kind == "para":
        return b"para\0\0\0\0" + struct.pack(">HH", values[0], 0) + _fixed(values[1:])
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def _fixed(values):
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def write_blobs(folder, *sizes):
    """Photos of smooth blobs of colour, one of each size (width, height)."""
    import cv2

    rng = np.random.default_rng(0)
    for i, size in enumerate(sizes):
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
    return folder


@contextlib.contextmanager
def small_disk(folder, size):
    """A new folder with a file system of its own, as large as ``size`` in words of ``mount``."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


# Of tests with several cases, the cases that take long beside those that tell most.
def longer(*cases):
    """Cases of a test that .ci/run runs, and the quick tests do not."""
    return [pytest.param(case, marks=pytest.mark.ci) for case in cases]


CODES = [(number, 128 + number) for number in (signal.SIGINT, signal.SIGTERM)]  # signals, with exit codes
CODES += [
    pytest.param(number, 128 + number, marks=pytest.mark.ci) for number in ENDING if number != signal.SIGTERM
]

# Tests run in a process a core; results must not depend on the number of threads anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The package is found in a checkout too.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(cinn_colorize.__file__).parents[1])}


def command(*arguments):
    return [sys.executable, "-m", "cinn_colorize", *map(str, arguments)]


def _run(words, folder, environment=ENVIRONMENT):
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


def process(folder, *arguments):
    """Run the command in its own process."""
    done = _run(command(*arguments), folder)
    done.stderr = without_progress(done.stderr)
    return done


def call(folder, *arguments, **environment):
    """Run the command in its own process; also return its lines, and whether it imported torch."""
    script = f"""
import atexit, sys
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
sys.argv = {command(*arguments)[2:]!r}
from cinn_colorize.cli import main
main()
"""
    done = _run([sys.executable, "-c", script], folder, ENVIRONMENT | environment)
    *lines, torch_was_there = done.stderr.splitlines()
    return done, lines, torch_was_there == "True"


def without_progress(stderr):
    """What is left without the lines that a slow machine prints every 30 seconds."""
    return re.sub(r"cinn-colorize: .*\d+ of \d+ (photos|files) done, \d+ left, .*\n", "", stderr)


@contextlib.contextmanager
def heeding_signals():
    """Processes started in this context heed Ctrl-C, SIGTERM and a closed terminal, if this one does not."""
    # A shell makes what it starts with & ignore Ctrl-C, and nohup the other, and that is handed on. A handler
    # is not.
    usual = {signal.SIGINT: signal.default_int_handler} | dict.fromkeys(ENDING, signal.SIG_DFL)
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(folder, *arguments, environment=ENVIRONMENT, **options):
    """The command as a process to send signals to."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with heeding_signals():
        return subprocess.Popen(command(*arguments), cwd=folder, env=environment, **pipes, **options)


def spawned_by(pid):
    """The processes that multiprocessing has spawned for a process."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has ended
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def wait_for(what, seconds=300):
    """What a function returns as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not come in {seconds} s")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def the_line(result):
    """Return the one line on stderr of a failed call."""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("cinn-colorize: ")
    return result.stderr


def preloaded(monkeypatch, colorizer):
    """Let commands in this process draw with a colorizer of torch."""
    monkeypatch.setattr("cinn_colorize.engines.choice.ModelSpec.graphs", None)
    own = LoadedNetwork(
        colorizer.info, colorizer.sha256, colorizer.precision, colorizer.network, colorizer.guidance
    )
    monkeypatch.setattr("cinn_colorize.engines.choice.ModelSpec.load", lambda _: own)
    for name in ("BaseColorizer", "Colorizer"):
        monkeypatch.setattr(f"cinn_colorize.colorizer.{name}", lambda *_, **__: colorizer)
    from cinn_colorize.models import find_weights, weights

    def found(name, source=None):
        if source is None and name == colorizer.info.name:  # not verified, for that takes a while
            return weights.find_packaged(f"{name}.safetensors"), colorizer.sha256
        return find_weights(name, source)

    monkeypatch.setattr("cinn_colorize.models.find_weights", found)


def in_this_process(monkeypatch, colorizer):
    """Return a function that runs the command."""

    class Pool:
        def __init__(self, spec, plan, workers):
            self.job = Job(spec, plan)

        def run(self, items):
            for item in items:
                yield from self.job.events(item)

    monkeypatch.setattr("cinn_colorize.batch.workers.WorkerPool", Pool)
    preloaded(monkeypatch, colorizer)
    return lambda *arguments, **options: CliRunner().invoke(app, list(map(str, arguments)), **options)


def ending_with_code(command):
    """Return a command that must end with a code, 0 by default."""

    def run(*arguments, code=0):
        result = command(*arguments)
        assert result.exit_code == code, result.stderr
        return result

    return run


def stir(module, seed=0):
    """Give zero-initialised layers small random weights, so that no law holds by accident."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    return module


LUMINANCE = np.random.default_rng(0).uniform(0, 100, (256, 256)).astype(np.float32)  # for a network


def random_codes(network, n):
    """Codes of n samples for a network, by level."""
    rng, shapes = np.random.default_rng(1), network.latent_shapes
    return {r: 0.5 * rng.standard_normal((n, *shape)).astype(np.float32) for r, shape in shapes.items()}


def check_independence(network):
    """A sample is the same, to the bit, however many are drawn with it."""
    latents, condition = random_codes(network, 9), network.condition(LUMINANCE)
    ab, log_prob = network.decode(latents, condition)
    assert len({sample.tobytes() for sample in ab}) == 9
    for k in (0, 7, 8):
        alone, its_log_prob = network.decode({r: z[k : k + 1] for r, z in latents.items()}, condition)
        assert alone.tobytes() == ab[k : k + 1].tobytes()
        assert its_log_prob[0] == log_prob[k]


def onnx_colorizer(model="natural", source=None):
    """The model in onnxruntime, by the graphs that the package ships."""
    from cinn_colorize.colorizer import BaseColorizer
    from cinn_colorize.engines.choice import Engine, ModelSpec
    from cinn_colorize.models import find_weights

    spec = ModelSpec(model, *find_weights(model, source), "cpu", engine=Engine.onnx)
    return BaseColorizer(*spec.load())


def make_photos(folder, *photos):
    """Photos of these names, each of its own size, in a folder; return it."""
    for i, name in enumerate(photos):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GRAY[: 48 + i, :64]).save(path)
    return Path(folder)


def lines_of(path):
    """The objects in a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]
