"""Whatever is read is bounded. Calls run in children of capped memory, so that a fault costs only them."""

import contextlib
import gzip
import hashlib
import io
import os
import resource
import struct
import subprocess
import sys
import threading
import zipfile
import zlib

import pytest
from helpers import ENVIRONMENT, GRAY, Uniform, command, the_line
from PIL import Image

from cinn_colorize.imaging.photo import open_photo
from cinn_colorize.models import find_weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="caps memory, and reads /dev/zero")

GIB = 2**30


def capped(folder, arguments, memory, **options):
    """Run a process that may take so many bytes of address space, and two minutes."""

    def cap():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, arguments)),
        cwd=folder,
        env=environment,
        text=True,
        preexec_fn=cap,
        timeout=120,
        **pipes | options,
    )


def opened(folder, expression, memory=GIB + GIB // 2):
    """Evaluate an expression with a photo; what it raises is the result."""
    code = (
        "import sys, numpy as np\n"
        "from cinn_colorize.errors import CinnError\n"
        "from cinn_colorize.imaging.photo import open_photo\n"
        "from cinn_colorize.data.sources import Path, Reader, Source\n"
        f"try: print({expression})\n"
        "except CinnError as error: print(error)\n"
    )
    done = capped(folder, [sys.executable, "-c", code], memory)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    return done.stdout.strip()


def endless(target, start):
    """Write a start and then zeros, to a path or a descriptor, until nobody reads."""

    def write():
        with contextlib.suppress(BrokenPipeError), open(target, "wb") as pipe:  # noqa: PTH123
            pipe.write(start)
            while True:
                pipe.write(bytes(2**16))

    threading.Thread(target=write, daemon=True).start()


def jpeg():
    buffer = io.BytesIO()
    Image.fromarray(GRAY).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_device_without_end(tmp_path):
    done = capped(tmp_path, command("/dev/zero"), 8 * GIB)
    assert done.returncode == 1
    assert "/dev/zero: is not a photo in a known format" in the_line(done)


@pytest.mark.parametrize("start", [b"", jpeg()], ids=["zeros", "a photo, then zeros"])
def test_stdin_without_end(tmp_path, start):
    reads, writes = os.pipe()
    endless(writes, start)
    try:
        done = capped(tmp_path, command("-", "--max-pixels", 1), 8 * GIB, stdin=reads)
    finally:
        os.close(reads)
    assert (done.returncode, done.stdout) == (1, "")
    reason = "cannot be read: its file has more than 25 MB" if start else "is not a photo in a known format"
    assert f"stdin: {reason}" in the_line(done)


def test_a_pipe_without_end(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    endless(tmp_path / "a.jpg", jpeg())
    said = opened(tmp_path, "open_photo('a.jpg', max_pixels=10**6).width")
    assert "a.jpg: cannot be read: its file has more than 25 MB" in said


def test_a_photo_from_a_pipe_is_read_to_its_end(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    pipe = f"cat a.jpg | {' '.join(command('-'))} > out.jpg"
    done = capped(tmp_path, ["sh", "-c", pipe], 8 * GIB)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "out.jpg").size == (300, 240)


def test_files_are_limited_by_the_pixels_they_may_have(tmp_path):
    """8 bytes a pixel and 16 MiB."""
    content, limit = jpeg(), 8 * 10**6 + 2**24
    as_bytes = "open('a.jpg', 'rb').read(), name='a.jpg'"
    for extra, said in ((0, "300"), (1, "its file has more than 25 MB, the most for a photo of 1 million")):
        with (tmp_path / "a.jpg").open("wb") as file:
            file.write(content)
            file.truncate(limit + extra)
        for source in ("'a.jpg'", as_bytes):
            assert said in opened(tmp_path, f"open_photo({source}, max_pixels=10**6).width")
    assert opened(tmp_path, "open_photo('a.jpg').width") == "300"


def headers(width, height):
    """Headers of files of 1 channel and no pixels, by suffix."""
    dib = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 2835, 2835, 256, 0)
    codestream = (
        b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIIIH", 41, 0, width, height, 0, 0, width, height, 0, 0, 1)
        + b"\x07\x01\x01"
    )  # fmt: skip
    return {
        ".pgm": b"P5 %d %d 255\n" % (width, height),
        ".bmp": b"BM" + struct.pack("<IHHI", 1078, 0, 0, 1078) + dib + bytes(1024),
        ".j2k": codestream,
    }


@pytest.mark.parametrize("suffix", [".pgm", ".bmp", ".j2k"])
def test_formats_of_pillow_follow_max_pixels(tmp_path, suffix):
    """Pillow itself refuses 179 million pixels."""
    for side in (15_000, 18_000):
        (tmp_path / f"a{suffix}").write_bytes(headers(side, side)[suffix])
        said = opened(tmp_path, f"open_photo('a{suffix}', max_pixels=300_000_000)")
        refused = "18000 x 18000 = 324 million pixels are more than 300 million; raise --max-pixels" in said
        assert refused == (side == 18_000), said
        assert "bomb" not in said
        assert "exceeds" not in said


@pytest.mark.ci
def test_200_million_pixels_of_pillow_are_read(tmp_path):
    with (tmp_path / "a.pgm").open("wb") as file:
        file.write(b"P5 20000 10000 255\n")
        file.truncate(file.tell() + 200_000_000)
    assert opened(tmp_path, "round(open_photo('a.pgm').luminance(8, 8).max())", 3 * GIB) == "0"
    said = opened(tmp_path, "open_photo('a.pgm', max_pixels=199 * 10**6)")
    assert "200 million pixels are more than 199" in said


def test_exif_of_a_tiff_that_names_the_same_bytes_again_and_again(tmp_path):
    """25,000 tags that share 4 MiB would be 98 GiB."""
    tags = range(40_000, 65_000)
    entries = b"".join(struct.pack("<HHII", tag, 7, 2**22, 2**20) for tag in tags)
    sizes = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 278: 1, 279: 1}  # of one pixel
    first = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sizes.items())
    first += struct.pack("<HHII", 0x8769, 4, 1, 2**12)
    head = b"II*\0" + struct.pack("<I8xH", 16, len(sizes) + 1) + first + bytes(4)
    inner = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes((head.ljust(2**12, b"\0") + inner).ljust(5 * 2**20, b"\0"))
    assert opened(tmp_path, "open_photo('a.tif').width") == "1"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param("recreate a.jpg photo.jpg /dev/zero", "not a file", marks=pytest.mark.ci),
        ("a.jpg --hints /dev/zero --manifest m", "not a file"),
        ("mix photo.jpg --seeds 1,2 --mask /dev/zero", "not a file"),
        ("transfer /dev/zero photo.jpg", "not a file"),
        ("a.jpg --manifest /dev/zero", "a device, which keeps nothing"),
        ("a.jpg --weights /dev/zero", "no such weights file"),
        ("@/dev/zero --null", "the list cannot be read (it has more than 64 MiB)"),
        pytest.param(
            "evaluate . --labels /dev/zero --metrics top5_lite0", "more than 64 MiB", marks=pytest.mark.ci
        ),
        pytest.param("sample a.jpg --load-z /dev/zero", "no such file of latent codes", marks=pytest.mark.ci),
    ],
)
def test_devices_in_place_of_other_files(tmp_path, call, said):
    Image.fromarray(GRAY).save(tmp_path / "photo.jpg")
    recipe = {
        "version": "1", "model": "natural", "weights": find_weights()[1], "method": "mix", "seed": "1",
        "temperature": "1.0", "precision": "fp32", "upsampling": "jbu", "format": "jpg", "quality": "95",
        "strip": "false", "outside_seed": "2", "mask": "00" * 32,
        "original": hashlib.sha256((tmp_path / "photo.jpg").read_bytes()).hexdigest(),
    }  # fmt: skip
    (picture,) = open_photo(tmp_path / "photo.jpg").compose([Uniform(0, 0)])
    picture.save(tmp_path / "a.jpg", recipe=recipe)
    done = capped(tmp_path, command(*call.split()), 8 * GIB)
    assert done.returncode == 1
    assert "/dev/zero: " in the_line(done)
    assert said in done.stderr


# Zips of evaluate and train


def chunk(name, content):
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def write_bomb(file, kind):
    """A photo of 900 million pixels, or one with a gigabyte behind it."""
    if kind == "bytes":
        file.write(jpeg())
        for _ in range(1024):
            file.write(bytes(2**20))
        return
    side, rows = 30_000, zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + side) * 1000) for _ in range(side // 1000)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize(
    ("kind", "said", "where"),
    [
        pytest.param("pixels", "more than 100 million pixels", "zip", marks=pytest.mark.ci),
        pytest.param("pixels", "more than 100 million pixels", "folder", marks=pytest.mark.ci),
        pytest.param("bytes", "more than 817 MB", "zip", marks=pytest.mark.ci),
        ("bytes", "more than 817 MB", "folder"),
    ],
)
def test_bombs_among_photos_to_learn_from(tmp_path, kind, said, where):
    source = "Source(Path('a.png'))"
    if where == "zip":
        source = "Source(Path('a.zip'), 'a.png')"
        with (
            zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("a.png", "w") as entry,
        ):
            write_bomb(entry, kind)
        assert (tmp_path / "a.zip").stat().st_size < 4 * 2**20
    else:
        with (tmp_path / "a.png").open("wb") as file:
            write_bomb(file, kind)
    message = opened(tmp_path, f"Reader()({source}).shape", 5 * GIB // 4)
    assert "a.png: cannot be read (" in message
    assert said in message


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_of_a_compression_without_bounds(tmp_path, compression):
    """1 kB of bzip2 can be 1 GB."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        archive.writestr("a.png", jpeg())
    said = opened(tmp_path, "Reader()(Source(Path('a.zip'), 'a.png')).shape")
    assert "a.png: cannot be read (neither stored nor deflated" in said


def test_an_entry_that_is_larger_than_the_zip_says(tmp_path):
    path, size = tmp_path / "a.zip", 2**30
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.png", "w") as entry,
    ):
        for _ in range(size // 2**20):
            entry.write(bytes(2**20))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", 1000)))
    said = opened(tmp_path, "Reader()(Source(Path('a.zip'), 'a.png')).shape", 5 * GIB // 4)
    assert "a.png: cannot be read (Bad CRC-32" in said


def test_a_device_among_photos_to_learn_from(tmp_path):
    (tmp_path / "a.png").symlink_to("/dev/zero")
    assert "a.png: cannot be read (not a file)" in opened(tmp_path, "Reader()(Source(Path('a.png'))).shape")


def test_photos_to_learn_from_are_read_as_before(tmp_path):
    (tmp_path / "a.png").write_bytes(jpeg())
    assert opened(tmp_path, "Reader()(Source(Path('a.png'))).shape") == "(240, 300, 3)"


@pytest.mark.ci
def test_mnist_that_grows_without_end(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2 * GIB), 1))
    code = (
        "import sys\nfrom pathlib import Path\nfrom cinn_colorize.training.mnist import read_mnist\n"
        "try: read_mnist(Path('.'), 'train')\nexcept Exception as error: sys.exit(str(error))"
    )
    done = capped(tmp_path, [sys.executable, "-c", code], 6 * GIB)
    assert "not a file of MNIST" in done.stderr
    assert len(done.stderr.splitlines()) == 1
