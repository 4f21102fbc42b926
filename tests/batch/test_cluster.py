"""Batches on a Ray cluster. The tests run clusters on this machine, with two workers."""

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers import (
    ENVIRONMENT,
    GRAY,
    command,
    in_this_process,
    lines_of,
    names,
    needs,
    start,
    the_line,
    wait_for,
    without_progress,
)
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app

needs("ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

# Ray lowers the priority of its workers; on a busy machine they would hardly run.
RAY = ENVIRONMENT | {"RAY_worker_niceness": "0"}
OPTIONS = ("--engine", "ray", "--address", "local", "--workers", 2, "--device", "cpu", "--seed", 0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_photos(Path("p"), 2)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def make_photos(folder, number):
    folder.mkdir()
    for i in range(number):
        Image.fromarray(GRAY[i % 100 : 140, i // 100 : 128]).save(folder / f"{i:03d}.jpg")


def start_group(folder, *arguments, **environment):
    """Start the command in its own process group."""
    return start(folder, *arguments, environment=RAY | environment, text=True, start_new_session=True)


def below(pid):
    """All descendants of a process."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from below(child)


def workers(pid):
    """Descendants of a process that work on photos."""
    return [child for child in below(pid) if b"ray::MapWorker" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["p", "--address", "auto"], "add --engine ray"),
        (["p", "--engine", "ray", "--address", "ray://head:10001"], "--address auto"),
        (["p", "--engine", "ray", "--address", "head"], "'head' is not HOST:PORT, auto or local"),
        (["p", "--engine", "ray", "--device", "mps"], "ray requires --device auto, cpu or cuda, not mps"),
        (["-", "--engine", "ray"], "- is colorized on this machine"),
        (
            ["p/000.jpg", "--engine", "ray", "--hint", "1,1,#ff0000"],
            "hints apply to one photo; leave out --engine ray",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(run, arguments, line):
    result = run(*arguments)
    assert result.exit_code == 2
    assert line in the_line(result)
    assert names(Path()) == ["p"]


def test_without_ray_a_line_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr("cinn_colorize.cli.common.find_spec", lambda _: None)
    result = run("p", "--engine", "ray")
    assert result.exit_code == 2
    assert "pip install 'cinn-colorize[ray]'" in the_line(result)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "127.0.0.1:99999"])
def test_no_cluster_at_the_address(run, address):
    result = run("p", "--engine", "ray", "--address", address)
    assert result.exit_code == 1
    assert f"no Ray cluster answers at {address}" in the_line(result)


def test_what_is_done_needs_no_cluster(run, colorizer, monkeypatch):
    assert in_this_process(monkeypatch, colorizer)("p", "--manifest", "m").exit_code == 0
    result = run("p", "--engine", "ray", "--address", "127.0.0.1:1", "--manifest", "m")
    assert result.exit_code == 0
    assert "2 photos: 2 there already" in the_line(result)


def test_ray_is_not_imported_by_the_command(tmp_path):
    code = "import sys, cinn_colorize.cli.app, cinn_colorize.batch.run; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 0


def listening(pids=None):
    """Local addresses and ports that processes listen at, as ``ss`` says; by default all."""
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        line.split()[3]
        for line in lines
        if pids is None or pids & set(map(int, re.findall(r"pid=(\d+)", line)))
    }


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ss"), reason="needs ss, of iproute2")
@pytest.mark.parametrize("address", [("--address", "local"), ()])
def test_a_cluster_of_the_command_listens_on_the_loopback_address_only(tmp_path, address):
    make_photos(tmp_path / "p", 12)
    before = listening()
    arguments = ("p", "--engine", "ray", *address, "--workers", 2, "--device", "cpu")
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # names no cluster that runs already
        process = start_group(tmp_path, *arguments, RAY_TMPDIR=short)
        wait_for(lambda: list(tmp_path.glob("colorized/*.jpg")) or process.poll() is not None)
        during = listening({process.pid, *below(process.pid)})
        _, errors = process.communicate()
        after = listening() - before
    print(f"{len(before)} before; during: {sorted(during)}; after: {sorted(after)}")
    assert process.returncode == 0, errors
    assert len(during) >= 5  # Ray's scheduler, its nodes and workers
    hosts = {place.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for place in during}
    assert all(ipaddress.ip_address(host).is_loopback for host in hosts if host != "*"), during
    assert "*" not in hosts, during
    assert not after & during


@pytest.mark.slow
def test_a_killed_worker_costs_no_photo(tmp_path):
    """Eighty photos and an unreadable one; the results equal those of the local run."""
    make_photos(tmp_path / "p", 80)
    (tmp_path / "p/bad.jpg").write_text("no photo")
    local = start_group(tmp_path, "p", "-o", "local", "--workers", 2, "--device", "cpu", "--seed", 0, "-q")
    local.communicate()
    assert local.returncode == 1

    process = start_group(tmp_path, "p", "-o", "ray", "--manifest", "m", *OPTIONS)
    wait_for(lambda: len(list((tmp_path / "ray").glob("*.jpg"))) > 15)
    assert len(workers(process.pid)) == 2
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    at = len(list((tmp_path / "ray").glob("*.jpg")))
    output, errors = process.communicate()
    assert process.returncode == 1
    # The unreadable photo and the summary: nothing from Ray.
    assert len(without_progress(errors).splitlines()) == 2, errors
    assert "bad.jpg: is not a photo" in errors

    lines = lines_of(tmp_path / "m")
    done = sorted(line["output"] for line in lines if "output" in line)
    printed = sorted(output.splitlines())
    expected = [f"ray/{i:03d}_000.jpg" for i in range(80)]
    same = sum((tmp_path / p).read_bytes() == (tmp_path / "local" / Path(p).name).read_bytes() for p in done)
    print(f"killed after {at} of 80: {len(names(tmp_path / 'ray'))} outputs, {len(printed)} printed,")
    print(f"{len(done)} in the manifest, {len(set(done))} different, {same} equal to those of the local run")
    print(errors)
    assert done == printed == expected
    assert same == 80
    assert names(tmp_path / "ray") == [Path(p).name for p in expected]  # no temporary file


@pytest.mark.ci
def test_ctrl_c_ends_a_cluster_and_the_manifest_goes_on(tmp_path):
    make_photos(tmp_path / "p", 60)
    arguments = ("p", "--manifest", "m", *OPTIONS)
    process = start_group(tmp_path, *arguments)
    manifest = tmp_path / "m"
    wait_for(lambda: manifest.exists() and manifest.read_text().count('"output"') > 2)
    children = list(below(process.pid))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal would
    _, errors = process.communicate()
    assert process.returncode == 130
    said = without_progress(errors).splitlines()
    assert len(said) <= 1, errors
    wait_for(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))
    again = start_group(tmp_path, *arguments)
    _, errors = again.communicate()
    assert again.returncode == 0
    assert re.search(r"60 photos: \d+ done, \d+ there already", errors), errors
    assert len(names(tmp_path / "colorized")) == 60


@pytest.mark.ci
def test_a_photo_that_kills_its_workers_costs_itself_alone(tmp_path):
    """Kill the worker whenever it has this photo; the file that it has begun goes too."""
    make_photos(tmp_path / "p", 6)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, pathlib\n"
        "if any(name.endswith('default_worker.py') for name in sys.orig_argv):\n"
        "    from cinn_colorize.files.atomic import temporary\n"
        "    from cinn_colorize.imaging import photo\n"
        "    open_photo = photo.open_photo\n"
        "    def deadly(path, **options):\n"
        "        if str(path).endswith('002.jpg'):\n"
        "            temporary(pathlib.Path('colorized'))\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return open_photo(path, **options)\n"
        "    photo.open_photo = deadly\n"
    )
    environment = RAY | {"PYTHONPATH": f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"}
    result = subprocess.run(
        command("p", *OPTIONS), cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert result.returncode == 1
    assert "p/002.jpg: the process that worked on it was killed 3 times" in result.stderr
    assert names(tmp_path / "colorized") == [f"{i:03d}_000.jpg" for i in (0, 1, 3, 4, 5)]
