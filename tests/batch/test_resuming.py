"""Batches that go on: from a manifest, from the recipes in results, and when photos change meanwhile."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers import GRAY, lines_of, longer, make_photos, names, the_line
from PIL import Image

from cinn_colorize.errors import PhotoError
from cinn_colorize.imaging import photo as photos
from cinn_colorize.imaging.photo import read_recipe


def test_a_manifest_has_a_line_for_each_result(run, scans):
    (scans / "bad.jpg").write_text("no photo")
    result = run("scans", "-n", 2, "-t", "0.5", "--manifest", "done/m.jsonl")
    assert result.exit_code == 1
    lines = lines_of("done/m.jsonl")
    (error,) = [line for line in lines if "error" in line]
    assert error.keys() == {"input", "size", "mtime", "error"}
    done = [line for line in lines if "error" not in line]
    assert [line["output"] for line in done] == result.stdout.splitlines()
    for line in lines:
        status = Path(line["input"]).stat()
        assert (line["size"], line["mtime"]) == (status.st_size, status.st_mtime)
    for line in done:
        assert (line["settings"]["temperature"], line["settings"]["model"]) == ("0.5", "natural")
        assert line["ms"] >= 0
        if "seed" in line:
            recipe = read_recipe(line["output"])
            assert recipe["seed"] == str(line["seed"])
            assert line["settings"].pop("frame") == "auto"  # as asked for; recipes say what was found
            assert recipe.items() >= line["settings"].items()
            assert isinstance(line["log_prob"], float)
        else:
            assert line["seeds"] == [0, 1]
            assert line["output"].endswith("_sheet.jpg")


def test_a_batch_goes_on_from_its_manifest(run, scans):
    command = ["scans", "-n", 2, "--manifest", "m"]
    run("scans/a.jpg", "-n", 2, "--manifest", "m")
    times = {path: path.stat().st_mtime_ns for path in Path("colorized").iterdir()}
    rest = run(*command)
    assert rest.exit_code == 0
    assert "3 photos: 2 done, 1 there already" in the_line(rest)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())

    Path("colorized/b_001.png").unlink()
    assert run(*command).stdout == "colorized/b_001.png\ncolorized/b_sheet.jpg\n"
    assert run(*command).stdout == ""
    (scans / "late.jpg").write_bytes((scans / "a.jpg").read_bytes())
    assert len(run(*command).stdout.splitlines()) == 3
    assert "4 photos: 4 there already" in the_line(run(*command))


def test_what_has_changed_is_done_again_when_asked_to(run, scans):
    command = ["scans", "-s", 0, "--manifest", "m", "-q"]
    run(*command)
    os.utime(scans / "b.png", (1, 1))  # only the time: the existing files are correct
    make_photos(".", "new/x.png", "new/y.png", "new/z.png", "scans/a.jpg", "scans/c.jpg")
    refused = run(*command)
    assert refused.exit_code == 1
    assert all("exists, made from another photo; add" in line for line in refused.stderr.splitlines())
    assert len(refused.stderr.splitlines()) == 2
    assert run(*command, "--overwrite").stdout == "colorized/a_000.jpg\ncolorized/c_000.jpg\n"
    assert run(*command, "--overwrite").stdout == ""
    other = run(*command, "-t", "0.5")
    assert (other.exit_code, other.stdout) == (1, "")
    assert len(run(*command, "-t", "0.5", "--overwrite").stdout.splitlines()) == 3


def test_a_result_without_its_line_is_known_by_its_recipe(run, scans):
    """A crash may come between picture and line: the line is added, the file is left alone."""
    command = ["scans", "-n", 2, "--manifest", "m", "-q"]
    run(*command)
    times = {path: path.stat().st_mtime_ns for path in Path("colorized").glob("*_0*")}
    before = lines_of("m")
    Path("m").write_text("".join(json.dumps(line) + "\n" for line in before[:3]))
    assert run(*command).exit_code == 0
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    added = [line | {"ms": 0, "log_prob": None} for line in before[3:]]  # nothing was drawn
    assert [line | {"ms": 0} for line in lines_of("m")[3:]] == added


def test_a_strangers_file_is_not_taken_for_a_result(run, scans):
    Path("colorized").mkdir()
    shutil.copy("scans/b.png", "colorized/a_000.jpg")
    content = Path("colorized/a_000.jpg").read_bytes()
    result = run("scans", "-s", 0, "--manifest", "m", "-q")
    assert result.exit_code == 1
    assert "a_000.jpg exists; add --overwrite" in the_line(result)
    assert Path("colorized/a_000.jpg").read_bytes() == content


def test_shards_join(run, scans):
    make_photos("scans", *(f"{i}.jpg" for i in range(6)))
    written = []
    for index in (1, 2, 3):
        result = run("scans", "--shard", f"{index}/3", "--manifest", f"m{index}", "-q")
        assert result.exit_code == 0
        written += result.stdout.splitlines()
    assert len(set(written)) == len(written) == 9
    Path("m").write_bytes(b"".join(Path(f"m{index}").read_bytes() for index in (1, 2, 3)))
    assert "9 photos: 9 there already" in the_line(run("scans", "--manifest", "m"))


def test_a_photo_that_changes_while_it_is_read(run, scans, colorizer, monkeypatch):
    compose = colorizer.compose

    def compose_while_it_grows(photo, *arguments, **options):
        if "b.png" in photo.name:
            with Path("scans/b.png").open("ab") as file:
                file.write(b"more")
        return compose(photo, *arguments, **options)

    monkeypatch.setattr(colorizer, "compose", compose_while_it_grows)
    result = run("scans", "-s", 0, "-q")
    assert "scans/b.png: changed while being read" in the_line(result)
    assert result.exit_code == 1
    assert names(Path("colorized")) == ["a_000.jpg", "c_000.jpg"]


@pytest.mark.parametrize("problem", [ValueError("shapes"), PhotoError("scans/b.png: damaged")])
def test_what_fails_since_its_photo_changes_is_said_to_change(run, scans, colorizer, monkeypatch, problem):
    def compose(photo, *_, **__):
        Path("scans/b.png").write_bytes(b"more")
        raise problem

    monkeypatch.setattr(colorizer, "compose", compose)
    assert "scans/b.png: changed while being read" in the_line(run("scans/b.png", "-s", 0, "-q"))


def test_another_file_of_the_same_size_and_time_is_a_change(run, scans, colorizer, monkeypatch):
    """As of a program that writes beside a photo and renames."""
    compose = colorizer.compose

    def compose_while_it_is_replaced(photo, *arguments, **options):
        other = Path("other")
        shutil.copy2("scans/b.png", other)
        other.replace("scans/b.png")
        return compose(photo, *arguments, **options)

    monkeypatch.setattr(colorizer, "compose", compose_while_it_is_replaced)
    assert "scans/b.png: changed while being read" in the_line(run("scans/b.png", "-s", 0, "-q"))


def test_what_a_killed_process_left_is_removed(run, scans):
    Path("colorized").mkdir()
    in_use, left = Path("colorized/.0123456789abcdef.part"), Path("colorized/.fedcba9876543210.part")
    mine = Path("colorized/.mine.part")
    for path in (in_use, left, mine):
        path.touch()
    with in_use.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run("scans", "-q")
        assert [n for n in names(Path("colorized")) if n.startswith(".")] == [in_use.name, mine.name]


def test_wrong_manifests(run, scans):
    content = (scans / "a.jpg").read_bytes()
    result = run("scans", "--manifest", "scans/a.jpg")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is not a manifest" in the_line(result)
    assert (scans / "a.jpg").read_bytes() == content


@pytest.mark.parametrize("option", [None, "--skip-existing", "--overwrite"])
def test_the_sheet_of_another_photo_of_that_name_is_a_result_like_others(run, option):
    make_photos(".", "a.jpg", "box1/a.jpg", "box2/a.jpg")  # each of its own size
    run("box1/a.jpg", "-n", 2)
    sheet = Path("colorized/a_sheet.jpg")
    of_box1 = sheet.read_bytes()
    result = run("box2/a.jpg", "-n", 2, "-s", 5, *[option] * bool(option))
    assert (result.exit_code, sheet.read_bytes() == of_box1) == {
        None: (1, True), "--skip-existing": (0, True), "--overwrite": (0, False)
    }[option]  # fmt: skip
    assert ("from another photo" in result.stderr) == (option != "--overwrite")
    assert names(Path("colorized")) == sorted(
        ["a_000.jpg", "a_001.jpg", "a_sheet.jpg", *["a_005.jpg", "a_006.jpg"] * bool(option)]
    )


@pytest.mark.parametrize("records", [(), ("--manifest", "m.jsonl")])
def test_a_sheet_is_made_again_in_another_order_and_no_picture(run, scans, records):
    command = ("scans/a.jpg", "-n", 3, "-q", *records)
    run(*command)
    assert run(*command).stdout == ""
    for order in ("log-prob", "typical"):
        ranked = (*command, "--rank", order)
        assert run(*ranked).stdout == "colorized/a_sheet.jpg\n"
        assert read_recipe("colorized/a_sheet.jpg")["order"] == order
        assert run(*ranked).stdout == ""


@pytest.mark.parametrize("option", ["-q", "--skip-existing", "--manifest=m.jsonl"])
@pytest.mark.parametrize("rank", [[], *longer(["--rank", "log-prob"])])
def test_photos_whose_picked_samples_are_there_are_done(run, scans, option, rank):
    command = (scans, "-n", 4, "--pick", 2, "--no-sheet", option, *rank)
    first = run(*command)
    assert first.exit_code == 0, first.stderr
    assert len(names(Path("colorized"))) == 6
    Path(sorted(first.stdout.split())[0]).unlink()
    again = run(*command)
    assert again.stdout.split() == sorted(first.stdout.split())[:1]
    assert run(*command).stdout == ""
    assert "seed" in lines_of("m.jsonl")[0] if "manifest" in option else True


def test_what_was_picked_from_other_samples_is_not_picked(run, scans):
    """Whether another one of them is the most typical, only drawing them tells."""
    fresh = [
        run("scans/a.jpg", "-n", n, "--pick", 1, "-o", f"of{n}").stdout.split("/")[-1] for n in (2, 3, 8)
    ]
    assert len(set(fresh)) > 1, "the numbers give the same sample, and the test is none"
    for n, name in zip((2, 3, 8), fresh, strict=True):
        run("scans/a.jpg", "-n", n, "--pick", 1, "-o", "all")
        assert name.strip() in names(Path("all"))


def test_each_recipe_is_read_once(run, scans, monkeypatch):
    command = ("scans/a.jpg", "-n", 4, "--pick", 2, "-q")
    assert len(run(*command).stdout.splitlines()) == 3
    read, recipe_at = [], photos.recipe_at
    monkeypatch.setattr(photos, "recipe_at", lambda *path, **o: read.append(path) or recipe_at(*path, **o))
    assert run(*command).stdout == ""
    assert len(read) == len(set(read)) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "--quality 80"), ("", "--strip"), ("", "--upsampling exact"), ("", "--saturation 1.2"),
        ("", "--guidance 0.5"), ("", "--precision bf16"), ("", "--frame 5,5,40,40"), ("", "--pages 1"),
        ("--guidance 0.5", "--guidance 0"), ("-n 4 --pick 1 --no-sheet", "-n 6 --pick 1 --no-sheet"),
    ],
)  # fmt: skip
def test_a_manifest_tells_what_was_made_in_another_way(run, before, after):
    """Or the same command with other options would call it done."""
    Image.fromarray(GRAY[:48, :64]).save("a.tif")
    command = ["a.tif", "-s", 0, "--manifest", "m", "-q", "--overwrite"]
    first = run(*command, *before.split())
    assert first.exit_code == 0, first.stderr
    assert run(*command, *before.split()).stdout == ""
    other = run(*command, *after.split())
    assert other.exit_code == 0, other.stderr
    assert len(other.stdout.splitlines()) == 1
    assert run(*command, *after.split()).stdout == ""
