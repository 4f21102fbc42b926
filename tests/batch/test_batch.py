"""Batches: folders and manifests. The photos are small, and everything runs in this process."""

import os
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import lines_of, longer, make_photos, names, small_disk, the_line
from PIL import Image

import cinn_colorize
from cinn_colorize.imaging.photo import read_recipe
from cinn_colorize.studio.library import Library

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and locks of POSIX")


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


@pytest.mark.parametrize("alone", [True, *longer(False)])
def test_photos_that_differ_in_their_suffix_keep_it_where_they_must(run, alone):
    make_photos("p", "a.jpg", "a.png", "a.bmp", "b.jpg")
    for option, expected in {
        "--no-sheet": ["a.bmp_000.png", "a.png_000.png", "a_000.jpg", "b_000.jpg"],
        "--format=png": ["a.bmp_000.png", "a.jpg_000.png", "a.png_000.png", "b_000.png"],
        "--output={stem}.jpg": ["a.bmp.jpg", "a.jpg.jpg", "a.png.jpg", "b.jpg"],
    }.items():
        folder = option.partition("=")[0].strip("-")
        for photos in [[p] for p in sorted(Path("p").iterdir())] if alone else [["p"]]:
            assert run(*photos, option, "-q", "-s", 0, "-o", folder).exit_code == 0
        assert names(Path(folder)) == expected


def test_contact_sheets_keep_apart_too_and_leave_the_names_of_pictures(run):
    make_photos("p", "a.jpg", "a.png")
    assert run("p", "-n", 2, "-q").exit_code == 0
    pictures = ["a_000.jpg", "a_000.png", "a_001.jpg", "a_001.png"]
    assert names(Path("colorized")) == ["a.jpg_sheet.jpg", "a.png_sheet.jpg", *pictures]


def test_pictures_beside_the_photos_do_not_change_the_names_of_later_runs(run):
    make_photos("p", "a.jpg", "b.jpg")
    for _ in range(3):
        assert run("p", "-o", "p", "--output", "{stem}.png", "-s", 0, "-q").exit_code == 0
        assert names(Path("p")) == ["a.jpg", "a.png", "b.jpg", "b.png"]


def test_pictures_made_here_are_kept_apart_where_they_are_the_photos(run):
    make_photos("p", "a.jpg", "a.png")
    run("p", "-o", "made", "--output", "{stem}{ext}", "-s", 0, "-q")
    assert names(Path("made")) == ["a.jpg", "a.png"]
    assert run("made/a.jpg", "made/a.png", "--format", "png", "-s", 1, "-q").exit_code == 0
    assert names(Path("colorized")) == ["a.jpg_001.png", "a.png_001.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipes_beside_photos_are_not_opened(run):
    make_photos("p", "a.jpg")
    os.mkfifo("p/a.png")
    assert run("p/a.jpg", "--format", "png", "-s", 0, "-q").exit_code == 0
    assert names(Path("colorized")) == ["a.jpg_000.png"]


def test_a_tree_comes_out_as_it_went_in(run):
    make_photos("scans", "x.jpg", "box 1/x.jpg", "box 2/deep/x.jpg")
    assert run("scans", "-r", "-q", "-s", 0).exit_code == 0
    assert tree("colorized") == ["box 1/x_000.jpg", "box 2/deep/x_000.jpg", "x_000.jpg"]


@pytest.mark.parametrize("arguments", [["-r", "."], ["scans", "-o", "scans"], ["scans/*", "-o", "scans"]])
def test_a_folder_does_not_colorize_its_own_results(run, scans, arguments):
    command = [*arguments, "-n", 2]
    assert run(*command).exit_code == 0
    before = tree(".")
    again = run(*command)
    assert (again.exit_code, again.stdout) == (0, "")
    assert tree(".") == before
    if "-o" in arguments:
        assert "3 there already, 9 left out (made by cinn-colorize)" in the_line(again)
    # A picture given by name is colorized.
    (result,) = Path().rglob("a_000.jpg")
    assert run(result, "-o", "named").exit_code == 0


def test_lists(run, scans):
    Path("list.txt").write_bytes(b"scans/a.jpg\nscans/b.png\n")
    for arguments, options in [
        (["@list.txt"], {}),
        (["--files-from", "list.txt"], {}),
        (["--files-from", "-"], {"input": Path("list.txt").read_bytes()}),
        (["--files-from", "-", "--null"], {"input": b"scans/a.jpg\0scans/b.png\0"}),
        (["-0", "--files-from", "-"], {"input": b"scans/a.jpg\0scans/b.png"}),
    ]:
        result = run(*arguments, "-q", "-s", 0, **options)
        assert result.stdout.splitlines() == ["colorized/scans/a_000.jpg", "colorized/scans/b_000.png"]
        shutil.rmtree("colorized")
    assert "add --null" in the_line(run("--files-from", "-", input=b"a\0b\0"))
    assert "the list cannot be read" in the_line(run("@none"))
    Path("empty.txt").touch()
    result = run("--files-from", "empty.txt")
    assert (result.exit_code, the_line(result)) == (0, "cinn-colorize: the list names no photos\n")
    make_photos(".", "@odd.jpg")
    assert run("@odd.jpg", "-s", 0).stdout == "colorized/@odd_000.jpg\n"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such rights")
def test_a_photo_that_may_not_be_read_does_not_end_the_batch(run, scans):
    run("scans/c.jpg", "-o", "before")  # imports modules that others may not be able to read
    (scans / "a.jpg").chmod(0)
    Path("locked").mkdir(mode=0)
    euid = os.geteuid()
    if euid == 0:
        scans.parent.chmod(0o777)
        os.seteuid(65534)
    try:
        result = run("scans/a.jpg", "scans/c.jpg", "-s", 0)
        within = run("locked/a.jpg")
    finally:
        os.seteuid(euid)
    assert the_line(within) == "cinn-colorize: locked/a.jpg: cannot be read: Permission denied\n"
    assert (result.exit_code, result.stdout) == (1, "colorized/c_000.jpg\n")
    assert "scans/a.jpg: cannot be read: Permission denied" in result.stderr.splitlines()[0]


def test_one_photo_through_pipes(run, scans):
    run("scans/a.jpg", "--seed", 3)
    for name, suffix in [("a.jpg", "jpg"), ("b.png", "png")]:
        result = run("-", "--seed", 3, input=(scans / name).read_bytes())
        assert (result.exit_code, result.stderr) == (0, "")
        Path("piped").write_bytes(result.stdout_bytes)
        assert read_recipe("piped")["format"] == suffix
        if suffix == "jpg":
            assert result.stdout_bytes == Path("colorized/a_003.jpg").read_bytes()
    as_tiff = run("-", "--format", "tiff", input=(scans / "b.png").read_bytes())
    assert as_tiff.stdout_bytes[:4] in (b"II*\0", b"MM\0*")
    for option in (["-o", "x"], ["--overwrite"], ["--output", "{stem}{ext}"], ["-n", 2]):
        refused = run("-", *option, input=(scans / "a.jpg").read_bytes())
        assert (refused.exit_code, refused.stdout_bytes) == (2, b"")
        assert "- is one photo and one sample, written to stdout; leave out" in the_line(refused)
    bad = run("-", input=b"no photo")
    assert (bad.exit_code, bad.stdout_bytes) == (1, b"")
    assert "stdin: is not a photo" in the_line(bad)
    assert names(Path()) == ["colorized", "piped", "scans"]


def test_what_can_be_read_once_only(run, scans):
    """Shell pipes, among several photos."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write((scans / "a.jpg").read_bytes())
    result = run(f"/dev/fd/{reader}", "scans/c.jpg", "-q", "--manifest", "m")
    os.close(reader)
    assert result.exit_code == 0
    assert lines_of("m")[0]["mtime"] is None
    assert len(names(Path("colorized"))) == 2


def test_results_beside_photos_are_known_up_to_the_largest_photo_accepted(run):
    """The header of this one says that it has 400 million pixels."""
    make_photos("p", "a.png")
    run("p", "-o", "p", "-s", 0)
    content = bytearray(Path("p/a_000.png").read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    Path("p/a_000.png").write_bytes(content)
    assert [given["done"] for given in Library([Path("p/a.png")], 5 * 10**8).given()] == [True]
    result = run("p", "-o", "p", "-s", 0, "--overwrite", "--max-pixels", 500, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "p/a_000.png\n", "")


def test_long_names(run):
    make_photos("p", "x.jpg", f"{'n' * 250}.jpg")
    result = run("p", "-s", 0, "-q")
    assert (result.exit_code, result.stdout) == (1, "colorized/x_000.jpg\n")
    assert "File name too long; choose a shorter --output" in the_line(result)
    assert run("p", "-q", "--output", "{stem}{ext}").exit_code == 0
    assert len(names(Path("colorized"))) == 3


def test_names_that_are_not_utf8(run):
    make_photos("p", os.fsdecode(b"caf\xe9.jpg"), "b.jpg")
    result = run("p", "-s", 0, "--manifest", "m")
    assert result.exit_code == 0
    assert b"colorized/caf\xe9_000.jpg\n" in result.stdout_bytes
    assert (Path("colorized") / os.fsdecode(b"caf\xe9_000.jpg")).exists()
    assert "2 there already" in the_line(run("p", "-s", 0, "--manifest", "m"))


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 100 KiB."""
    with small_disk(tmp_path / "disk", "100k") as folder:
        yield folder


@pytest.mark.parametrize("manifest", [[], ["--manifest", "disk/m"]])
def test_a_full_disk_ends_the_batch(run, tiny_disk, manifest):
    noise = np.random.default_rng(0).integers(0, 256, (120, 120), dtype=np.uint8)
    Path("p").mkdir()
    for i in range(8):
        Image.fromarray(noise).save(f"p/{i}.png")
    result = run("p", "-s", 0, "-o", "disk/out", *manifest)
    assert result.exit_code == 1
    problem, summary = result.stderr.splitlines()
    written = names(tiny_disk / "out")
    assert 0 < len(written) < 7
    assert f"disk/out/{len(written)}_000.png: cannot be written: No space left on device" in problem
    assert f"8 photos: {len(written)} done, 1 failed, {7 - len(written)} not done" in summary
    assert [f"disk/out/{name}" for name in written] == result.stdout.splitlines()
    for name in written:
        with Image.open(tiny_disk / "out" / name) as picture:
            picture.load()


def test_read_only_folders(run, scans):
    Path("out").mkdir(mode=0o555)
    Path("partly/box 1").mkdir(parents=True, mode=0o555)
    Path("partly").chmod(0o777)
    make_photos("tree", "box 1/a.jpg", "box 2/b.jpg")
    Path().chmod(0o755)
    euid = os.geteuid()
    for more in (["--manifest", "m"], ["--dry-run"]):  # imports modules that others may not be able to read
        run("scans", "-o", "before", *more)
    try:
        if euid == 0:  # whom no file mode stops
            os.seteuid(65534)
        if not os.access(cinn_colorize.__file__, os.R_OK, effective_ids=True):
            pytest.skip("the package is readable by its owner alone")
        results = [run("scans", "-o", folder) for folder in ("out", "out/below")]
        partly = run("tree", "-r", "-o", "partly")
        manifest = run("scans", "-o", "out/below", "--manifest", "out/m")
        dry_runs = [run("scans", "-o", folder, "--dry-run") for folder in ("out", "out/below")]
    finally:
        os.seteuid(euid)
    for folder, result in zip(("out", "out/below"), results, strict=True):
        problem, summary = result.stderr.splitlines()
        assert f"{folder}: cannot be written to (Permission denied); choose another folder" in problem
        assert "3 photos: 1 failed, 2 not done" in summary  # the others would fail in the same way
    assert "partly/box 1: cannot be written to (Permission denied)" in partly.stderr
    assert names(Path("partly")) == ["box 1", "box 2"]
    assert "out/m: cannot be read or written (Permission denied)" in the_line(manifest)
    assert [result.exit_code for result in (*results, partly, manifest)] == [1, 1, 1, 1]
    for folder, dry_run in zip(("out", "out/below"), dry_runs, strict=True):
        assert f"{folder}: cannot be written to (Permission denied)" in the_line(dry_run)
        assert (dry_run.exit_code, dry_run.stdout) == (1, "")
    assert names(Path("out")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no photos"),
        ("- scans", "- is one photo"),
        ("- -n 2", "- is one photo"),
        ("- --manifest m", "- is one photo"),
        ("scans --null", "--null"),
        ("scans --shard 0/3", "--shard"),
        ("scans --shard 4/3", "--shard"),
        ("scans --shard 3", "--shard"),
        ("scans --workers 0", "--workers"),
    ],
)
def test_usage_errors(run, scans, arguments, message):
    result = run("colorize", *arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in the_line(result)


def test_an_empty_share_is_no_error(run, scans):
    results = [run("scans/a.jpg", "-s", 0, "--shard", f"{index}/9") for index in range(1, 10)]
    assert [result.exit_code for result in results] == [0] * 9
    assert "".join(result.stdout for result in results) == "colorized/a_000.jpg\n"
