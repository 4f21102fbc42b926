"""Batches as real processes: kills, damaged files, concurrent batches."""

import errno
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    CODES,
    ENVIRONMENT,
    GRAY,
    command,
    longer,
    names,
    process,
    shared_data,
    spawned_by,
    start,
    wait_for,
    without_progress,
)
from PIL import Image

from cinn_colorize.batch.model_server import ModelServer
from cinn_colorize.colorizer import BaseColorizer
from cinn_colorize.engines.choice import Engine, ModelSpec
from cinn_colorize.files.atomic import replacing
from cinn_colorize.models import find_weights

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")


NUMBER = 7  # of photos in most batches: more than there are workers, and of both formats


def make_photos(folder, number):
    """Small photos, all different."""
    folder.mkdir()
    for i in range(number):
        pixels = np.roll(GRAY, 5 * i, axis=1)[: 64 + i % 5, :80]
        Image.fromarray(pixels).save(folder / f"{i:03d}.{'png' if i % 4 else 'jpg'}")
    return folder


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # it has ended but was not waited for


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Photos, and their results by a single process."""
    folder = tmp_path_factory.mktemp("reference")
    make_photos(folder / "photos", NUMBER)
    done = process(folder, "photos", "-s", 0, "--workers", 1, "--manifest", "m")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, NUMBER)
    return folder


@pytest.mark.ci
def test_bytes_depend_neither_on_workers_nor_on_order_nor_on_company(reference, tmp_path):
    photos = sorted((reference / "photos").iterdir(), reverse=True)
    assert process(tmp_path, *photos, "-s", 0, "--workers", 3, "-o", "many").returncode == 0
    assert process(tmp_path, photos[4], "-s", 0, "-o", "alone").returncode == 0
    expected = contents(reference / "colorized")
    assert contents(tmp_path / "many") == expected
    assert contents(tmp_path / "alone").items() <= expected.items()
    assert len(contents(tmp_path / "alone")) == 1


def has_open(pid, path):
    try:
        return path in [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it has ended, or closes one just now
        return False


def kill_worker_at(photo, batch):
    """Kill the worker that works on a photo: one that stands still with the file open."""
    while True:
        worker = wait_for(lambda: next((w for w in spawned_by(batch.pid) if has_open(w, photo)), None))
        os.kill(worker, signal.SIGSTOP)
        if has_open(worker, photo):
            os.kill(worker, signal.SIGKILL)
            return
        os.kill(worker, signal.SIGCONT)


@pytest.mark.ci
def test_a_worker_that_is_killed_takes_one_photo_with_it(reference, tmp_path):
    shutil.copytree(reference / "photos", tmp_path / "photos")
    large = tmp_path / "photos/large.png"  # which takes its time
    Image.fromarray(np.tile(GRAY, (10, 10))).save(large)
    arguments = ["photos", "-s", 0, "--workers", 2, "--manifest", "m"]
    batch = start(tmp_path, *arguments)
    kill_worker_at(large, batch)
    stdout, stderr = batch.communicate()
    assert batch.returncode == 1
    problem, summary = without_progress(stderr.decode()).splitlines()
    assert "large.png: the process that worked on it was killed (SIGKILL); if memory ran out" in problem
    assert f"{NUMBER + 1} photos: {NUMBER} done, 1 failed" in summary
    assert len(stdout.splitlines()) == NUMBER
    assert contents(tmp_path / "colorized") == contents(reference / "colorized")
    assert f"1 done, {NUMBER} there already" in process(tmp_path, *arguments).stderr
    assert contents(reference / "colorized").items() < contents(tmp_path / "colorized").items()


def kill_and_resume(folder, photos, kills, rng):
    """Kill a batch again and again, then let it end: nothing is lost, partial or done twice."""
    arguments = [photos, "-s", 0, "--workers", 2, "--manifest", "m"]
    seen = {}
    for _ in range(kills):
        batch = start(folder, *arguments)
        for _ in range(rng.randrange(4)):
            batch.stdout.readline()
        time.sleep(rng.uniform(0, 0.3))
        batch.kill()
        batch.communicate()
        for path in (folder / "colorized").glob("[!.]*"):
            with Image.open(path) as picture:
                picture.load()
            status = path.stat()
            assert seen.setdefault(path, (status.st_ino, status.st_mtime_ns)) == (
                status.st_ino,
                status.st_mtime_ns,
            )
    last = process(folder, *arguments)
    assert last.returncode == 0, last.stderr
    for path, (number, _) in seen.items():
        assert path.stat().st_ino == number
    outputs = []
    for line in (folder / "m").read_bytes().splitlines():
        try:
            outputs.append(json.loads(line)["output"])
        except ValueError:
            assert line.startswith(b'{"input"')
    assert len(set(outputs)) == len(outputs)
    assert sorted(outputs) == [f"colorized/{name}" for name in names(folder / "colorized")]
    assert len(outputs) == len(list(photos.iterdir()))
    again = process(folder, *arguments)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr.startswith(f"cinn-colorize: {len(outputs)} photos: {len(outputs)} there already; ")
    return contents(folder / "colorized")


@pytest.mark.ci
def test_killed_and_resumed(reference, tmp_path):
    assert kill_and_resume(tmp_path, reference / "photos", 2, random.Random(0)) == contents(
        reference / "colorized"
    )


@pytest.mark.slow
def test_killed_twenty_times_and_resumed(tmp_path):
    photos = make_photos(tmp_path / "photos", 60)
    results = kill_and_resume(tmp_path, photos, 20, random.Random(1))
    assert process(tmp_path, photos, "-s", 0, "--workers", 1, "-o", "undisturbed").returncode == 0
    assert results == contents(tmp_path / "undisturbed")


def test_workers_end_with_their_batch(reference, tmp_path):
    batch = start(tmp_path, reference / "photos", "-s", 0, "--workers", 2)
    batch.stdout.readline()
    workers = spawned_by(batch.pid)
    assert len(workers) == 2
    batch.kill()
    batch.communicate()  # which waits for the workers too: they hold the other end of stderr
    assert not any(is_alive(pid) for pid in workers)


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize("early", [True, *longer(False)])
def test_signals_for_the_whole_group(reference, tmp_path, number, code, early):
    """Signals as a terminal and a batch system send them, during start-up and during work."""
    batch = start(tmp_path, reference / "photos", "--workers", 2, "-n", 8, start_new_session=True)
    if early:
        wait_for(lambda: spawned_by(batch.pid))
    else:
        batch.stdout.readline()
    os.killpg(batch.pid, number)
    _, stderr = batch.communicate()
    assert batch.returncode == code
    assert without_progress(stderr.decode()).count("\n") == (number == signal.SIGINT), stderr
    assert number != signal.SIGINT or b"cinn-colorize: stopped: " in stderr
    written = names(tmp_path / "colorized") if (tmp_path / "colorized").exists() else []
    assert not [name for name in written if name.startswith(".")]


@pytest.mark.ci
def test_two_batches_on_one_folder(reference, tmp_path):
    batches = [start(tmp_path, reference / "photos", "-s", 0, "--workers", 1) for _ in range(2)]
    for batch in batches:
        _, stderr = batch.communicate()
        assert batch.returncode == 0, stderr
    assert contents(tmp_path / "colorized") == contents(reference / "colorized")


@pytest.mark.ci
def test_of_photos_of_one_name_none_takes_the_place_of_another(tmp_path):
    """In processes that do not know of each other, as xargs -P starts them."""
    for name in "abc":
        (tmp_path / name).mkdir()
        Image.fromarray(np.roll(GRAY, ord(name), axis=0)).save(tmp_path / name / "1.png")
    batches = [start(tmp_path, f"{name}/1.png", "-s", 1, "-o", "out", text=True) for name in "abc"]
    ended = [(*batch.communicate(), batch.returncode) for batch in batches]
    assert sorted(code for *_, code in ended) == [0, 1, 1]
    (first,) = (name for name, (*_, code) in zip("abc", ended, strict=True) if code == 0)
    for stdout, stderr, code in ended:
        if code:
            assert stdout == ""
            assert "out/1_001.png exists, made from another photo; add" in stderr
    assert process(tmp_path, "recreate", "out/1_001.png", f"{first}/1.png", "-o", "again.png").returncode == 0
    assert names(tmp_path / "out") == ["1_001.png"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    """On a file system without links, too."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    path = tmp_path / "a"
    with replacing(path, overwrite=False) as descriptor:
        os.write(descriptor, b"first")
    with pytest.raises(FileExistsError), replacing(path, overwrite=False) as descriptor:
        os.write(descriptor, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


@pytest.mark.ci
def test_one_network_for_several_processes(colorizer, narrow_weights):
    """The model server of a GPU, here on the CPU so that the bytes can be compared."""
    server = ModelServer(
        ModelSpec("natural", *find_weights(source=narrow_weights), "cpu", "fp32", engine=Engine.torch)
    )
    try:
        remote = BaseColorizer(*server.network.load())
        wide, framed = GRAY[:120], np.pad(GRAY, 20, constant_values=11)
        for photo in (wide, framed):
            there, here = remote.colorize(photo, seed=5), colorizer.colorize(photo, seed=5)
            assert [c.recipe for c in there] == [c.recipe for c in here]
            for one, other in zip(there, here, strict=True):
                np.testing.assert_array_equal(one.rgb, other.rgb)
        assert "frame" in there[0].recipe
        colours = np.stack([GRAY, GRAY // 2, 255 - GRAY], axis=-1)
        mask = np.where(np.indices(GRAY.shape)[1] < 100, 255, 0).astype(np.uint8)
        answers = []
        for c in (remote, colorizer):
            conditioned = c.condition(GRAY)
            (sample,) = conditioned.transfer(c.reference(colours), n=1, noise=0.5)
            mixed = conditioned.mix((1, 2), c.mask(mask))
            answers.append([sample.ab, mixed.ab, conditioned.log_prob(mixed.ab)])
        for there, here in zip(*answers, strict=True):
            np.testing.assert_array_equal(there, here)
        assert server.lives
    finally:
        server.end()


def broken_corpus(folder, step):
    """Damaged files from other projects' tests, named like photos."""
    folder.mkdir()
    with zipfile.ZipFile(shared_data("corpus-broken.zip")) as archive:
        entries = sorted(name for name in archive.namelist() if not name.endswith(("/", ".tsv")))[::step]
        for i, name in enumerate(entries):
            (folder / f"{i:04d}.jpg").write_bytes(archive.read(name))
    return len(entries)


def cut_photos(folder):
    """Photos of several formats, whole and cut: what the repository has of such files."""
    folder.mkdir()
    for format in ("jpeg", "png", "tiff", "webp"):
        path = folder / f"{format}.jpg"
        Image.fromarray(GRAY).save(path, format)
        whole = path.read_bytes()
        for percent in (90, 50, 1):
            path.with_stem(f"{format}-{percent}").write_bytes(whole[: len(whole) * percent // 100])
    return len(names(folder))


def survives(folder, number):
    """A batch over damaged files: each gives a picture or one line."""
    done = process(folder, "broken", "-s", 0, "--workers", 2, "--max-pixels", 10, "--manifest", "m")
    assert done.returncode in (0, 1)
    *lines, summary = without_progress(done.stderr).splitlines()
    remarks = (" is in colour", " is black and white", "pages or frames", "its XMP")
    problems = [line for line in lines if "broken/" in line and not any(word in line for word in remarks)]
    pictures = done.stdout.splitlines()
    assert pictures
    assert len(pictures) + len(problems) == number, done.stderr
    assert summary.startswith(f"cinn-colorize: {number} photos: {len(pictures)} done, {len(problems)} failed")
    assert not [line for line in lines if not line.startswith("cinn-colorize: ") or "--debug" in line]
    assert sorted(f"colorized/{name}" for name in names(folder / "colorized")) == sorted(pictures)
    print(f"{number} files: {len(pictures)} pictures, {len(problems)} lines")


@pytest.mark.ci
def test_cut_photos_in_a_batch(tmp_path):
    survives(tmp_path, cut_photos(tmp_path / "broken"))


@pytest.mark.ci
def test_some_broken_files_in_a_batch(tmp_path):
    survives(tmp_path, broken_corpus(tmp_path / "broken", 40))


@pytest.mark.slow
def test_all_broken_files_in_a_batch(tmp_path):
    survives(tmp_path, broken_corpus(tmp_path / "broken", 1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.parametrize(
    "arguments",
    [
        "models",
        "--help",
        "gray.jpg -s 1",
        pytest.param("gray.jpg -s 1 --json", marks=pytest.mark.ci),
        pytest.param("- -s 1", marks=pytest.mark.ci),
        pytest.param("recreate made.png gray.jpg -o o.png", marks=pytest.mark.ci),
    ],
)
def test_a_stdout_that_is_full_is_said_in_one_line(tmp_path, shipped_colorizer, arguments):
    Image.fromarray(GRAY).save(tmp_path / "gray.jpg")
    (made,) = shipped_colorizer.colorize(tmp_path / "gray.jpg", seed=0)
    made.save(tmp_path / "made.png")
    with (tmp_path / "gray.jpg").open("rb") as photo, Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*arguments.split()),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=photo,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    line = "cinn-colorize: stdout: cannot be written: No space left on device\n"
    assert (done.returncode, without_progress(done.stderr)) == (1, line)


@pytest.mark.parametrize("closed", [*longer(">&-", "2>&-"), ">&- 2>&- <&-"])
def test_streams_that_are_closed(tmp_path, closed):
    Image.fromarray(GRAY).save(tmp_path / "gray.jpg")
    line = f"{shlex.join(map(str, command('gray.jpg', '-s', '1')))} {closed}"
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert (tmp_path / "colorized" / "gray_001.jpg").is_file()


@pytest.mark.parametrize("arguments", ["- -s 1", "gray.jpg --dry-run", "models", "evaluate ."])
@pytest.mark.parametrize("closed", [">&-", ">&- <&-"])
def test_a_result_for_a_stdout_that_is_closed_is_refused(tmp_path, arguments, closed):
    Image.fromarray(GRAY).save(tmp_path / "gray.jpg")
    line = f"{shlex.join(command(*arguments.split()))} < gray.jpg {closed}"
    done = subprocess.run(line, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "cinn-colorize: stdout: is closed\n")


LEAST = """
import os, signal, sys
from cinn_colorize.cli import main
exit = sys.exit
def report(code):
    with open("files", "w") as file:
        print(*(os.readlink(f"/proc/self/fd/{i}") for i in range(3)), file=file)
    exit(code)
sys.exit = report
sys.argv = ["cinn-colorize", "gray.jpg", "-s", "1"]
main()
"""


def test_nothing_else_takes_the_number_of_a_stream_that_is_closed(tmp_path):
    """Or what a library prints would go there."""
    Image.fromarray(GRAY).save(tmp_path / "gray.jpg")
    line = shlex.join([sys.executable, "-c", LEAST])
    subprocess.run(f"{line} >&- 2>&- <&-", shell=True, cwd=tmp_path, env=ENVIRONMENT, check=True)
    assert (tmp_path / "files").read_text().split() == [os.devnull] * 3
