"""The same command again, and commands with other options into the same folder."""

import copy
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import in_this_process, lines_of, longer, names, the_line
from PIL import Image

from cinn_colorize.colorizer import Colorizer, typical
from cinn_colorize.imaging.photo import read_recipe


@pytest.fixture
def run(tmp_path, examples, colorizer, monkeypatch):
    """Run the command in this process, in a folder with photos, strokes and a mask."""
    monkeypatch.chdir(tmp_path)
    with Image.open(examples / "camera.png") as photo:
        gray = photo.convert("L").resize((96, 80))
    gray.save("gray.jpg")
    gray.rotate(180).save("other.jpg")
    with Image.open(examples / "coffee.png") as photo:
        photo.convert("RGB").resize((90, 60)).save("coffee.png")
    strokes = Image.new("RGBA", gray.size)
    strokes.paste((160, 40, 50, 255), (30, 20, 50, 40))
    strokes.save("strokes.png")
    Image.linear_gradient("L").resize(gray.size).save("mask.png")
    return in_this_process(monkeypatch, colorizer)


def state():
    """Content and time of all results."""
    files = sorted(path for path in Path("colorized").rglob("*") if path.is_file())
    return {path.as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    "arguments",
    [
        "gray.jpg", "gray.jpg -n 3", "gray.jpg coffee.png -n 2 -q", "gray.jpg -n 4 --pick 2",
        "gray.jpg -n 4 --rank typical", "gray.jpg --output {stem}{ext} --format png --strip",
        "gray.jpg --hint 40,30,#a02832", "transfer coffee.png gray.jpg -n 2 --sheet --strength 0.7",
        "mix gray.jpg --seeds 3,7 --mask mask.png", *longer("temperature gray.jpg --files"),
        "sample gray.jpg -n 4 --save-z colorized/z.safetensors", "sample --model mnist -n 4",
    ],
)  # fmt: skip
def test_the_same_command_again_does_nothing(run, arguments):
    assert run(*arguments.split()).exit_code == 0
    before = state()
    again = run(*arguments.split())
    assert (again.exit_code, again.stdout) == (0, "")
    assert ("there already" in the_line(again)) if "-q" not in arguments else again.stderr == ""
    assert state() == before


def test_a_folder_counts_what_is_there(run):
    run("gray.jpg", "other.jpg", "-n", 2)
    Path("colorized/gray_001.jpg").unlink()
    again = run("gray.jpg", "other.jpg", "-n", 2)
    assert again.stdout.splitlines() == ["colorized/gray_001.jpg", "colorized/gray_sheet.jpg"]
    assert "2 photos: 1 done, 1 there already" in the_line(again)


OTHERS = {  # options of a second call: what it says
    "-t 0.8": "made with temperature 0.5, not 0.8; add --overwrite, choose another --output-dir, or put "
    "{temperature} into --output",
    "-t 0.5,8:0.2": "with temperature 0.5, not 0.5,8:0.2; add",
    "-t 0.5 --quality 80": "made with quality 95, not 80; add --overwrite, or choose another --output-dir",
    "-t 0.5 --strip": "made with strip false, not true; add",
    "-t 0.5 --upsampling exact": "made with upsampling jbu, not exact; add",
    "-t 0.5 --frame 5,5,90,70": "made with frame none, not 5,5,90,70; add",
    "-t 0.5 --hint 40,30,#a02832": "made with method sample, not hints; add --overwrite, choose another "
    "--output-dir, or put {method} into --output",
    "-t 0.5 --model bedrooms": "made with model natural, not bedrooms",
}


@pytest.mark.parametrize("options", OTHERS)
def test_another_recipe_is_refused_with_what_differs(run, options, monkeypatch):
    assert run("gray.jpg", "-s", 0, "-t", 0.5).exit_code == 0
    before = state()
    if "bedrooms" in options:
        run = in_this_process(monkeypatch, Colorizer("bedrooms", device="cpu"))
    other = run("gray.jpg", "-s", 0, *options.split())
    assert (other.exit_code, other.stdout) == (1, "")
    assert (
        f"gray.jpg: colorized/gray_000.jpg exists, {'' if 'made' in OTHERS[options] else 'made '}"
        in other.stderr
    )
    assert OTHERS[options] in the_line(other)
    assert state() == before


def test_another_guidance_is_told(run, colorizer, monkeypatch):
    run("gray.jpg", "-s", 0)
    other = copy.copy(colorizer)
    other.guidance = 0.5
    told = in_this_process(monkeypatch, other)("gray.jpg", "-s", 0)
    assert "made with guidance 0.3, not 0.5; add" in the_line(told)


def test_what_a_transfer_takes_of_the_reference_is_told_as_it_is_asked_for(run):
    transfer = partial(run, "transfer", "coffee.png", "gray.jpg")
    transfer("--strength", 0.75)
    assert "made with strength 0.75, not 0.5; add" in the_line(transfer("--strength", 0.5))
    assert "made with strength 0.75, not levels 1,8:0.2; add" in the_line(transfer())
    (taken,) = Path("colorized").iterdir()
    taken.unlink()
    transfer("--levels", "0.5,8:0")
    assert "made with levels 0.5,8:0, not 1,8:0.2; add" in the_line(transfer())


def test_only_what_is_missing_is_drawn(run, colorizer, monkeypatch):
    run("gray.jpg", "-n", 20, "--no-sheet")
    before = state()
    Path("colorized/gray_005.jpg").unlink()
    Path("colorized/gray_018.jpg").unlink()
    conditioned, drawn = type(colorizer.condition("gray.jpg")), []
    sample = conditioned.sample

    def noting(self, n=1, temperature=None, seed=0, **options):
        drawn.extend(range(seed, seed + n))
        return sample(self, n, temperature, seed, **options)

    monkeypatch.setattr(conditioned, "sample", noting)
    again = run("gray.jpg", "-n", 20, "--no-sheet")
    assert again.stdout.splitlines() == ["colorized/gray_005.jpg", "colorized/gray_018.jpg"]
    assert drawn == [5, 18]
    assert {path: content for path, (content, _) in state().items()} == {
        path: content for path, (content, _) in before.items()
    }


def test_another_photo_of_the_name_is_told(run):
    run("gray.jpg", "-s", 0)
    shutil.copy("other.jpg", "gray.jpg")
    assert "colorized/gray_000.jpg exists, made from another photo; add" in the_line(run("gray.jpg", "-s", 0))
    assert "add --overwrite or" not in run("gray.jpg", "-s", 0, "--overwrite").output
    assert "gray.jpg: nothing to do; its files are there already" in the_line(run("gray.jpg", "-s", 0))


def test_other_hints_masks_and_references_are_told(run):
    run("gray.jpg", "-s", 0, "--hint", "40,30,#a02832")
    assert "made with other hints" in the_line(run("gray.jpg", "-s", 0, "--hint", "40,31,#a02832"))
    run("mix", "gray.jpg", "--seeds", "3,7", "--mask", "mask.png", "--no-sheet")
    with Image.open("mask.png") as mask:
        mask.rotate(180).save("mask.png")
    other = run("mix", "gray.jpg", "--seeds", "3,7", "--mask", "mask.png", "--no-sheet")
    assert "made with another mask; add --overwrite, or choose another --output-dir" in the_line(other)
    run("transfer", "coffee.png", "gray.jpg")
    with Image.open("coffee.png") as reference:
        reference.rotate(180).save("coffee.png")
    assert "made with another reference" in the_line(run("transfer", "coffee.png", "gray.jpg"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--hints none.png", "none.png"),
        ("--hint 500,10,#a02832", "the hint 500,10,#a02832 lies outside"),
        ("--hints mask.png", "mask.png"),
    ],
)
def test_other_errors_come_first(run, options, problem):
    run("gray.jpg", "-s", 0)
    line = the_line(run("gray.jpg", "-s", 0, *options.split()))
    assert problem in line
    assert "exists" not in line


def test_names_tell_settings_apart(run):
    pattern = "{stem}_{model}_{method}_{n}_t{temperature}_{seed}{ext}"
    for options in (["-t", 0.8], ["-t", "0.7,8:0.9"], ["-t", 0.8], ["-n", 2, "-t", 0.8]):
        assert run("gray.jpg", "-s", 4, "--no-sheet", "--output", pattern, *options).exit_code == 0
    assert names(Path("colorized")) == [
        "gray_natural_sample_1_t0.7,8-0.9_4.jpg",
        "gray_natural_sample_1_t0.8_4.jpg",
        "gray_natural_sample_2_t0.8_4.jpg",
        "gray_natural_sample_2_t0.8_5.jpg",
    ]


def test_a_strangers_file_stays_whatever_is_asked(run):
    run("gray.jpg", "-n", 2)
    first, sheet = Path("colorized/gray_000.jpg"), Path("colorized/gray_sheet.jpg")
    for strange in (first, sheet):
        mine = strange.read_bytes()
        strange.write_bytes(b"mine")
        refused = run("gray.jpg", "-n", 2)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert f"{strange} exists; add --overwrite or --skip-existing" in the_line(refused)
        skipped = run("gray.jpg", "-n", 2, "--skip-existing")
        assert skipped.exit_code == 0
        assert f"{strange}: left as it is; it has no recipe" in skipped.stderr
        assert strange.read_bytes() == b"mine"
        strange.write_bytes(mine)
        run("gray.jpg", "-n", 2)
    first.write_bytes(b"mine")
    assert run("gray.jpg", "-n", 2, "--overwrite").exit_code == 0
    assert read_recipe(first)["seed"] == "0"


def test_a_picture_in_the_place_of_a_sheet_stays(run):
    sheet = Path("colorized/gray_sheet.jpg")
    assert run("gray.jpg", "-s", 7, "--output", sheet.name).exit_code == 0
    picture = sheet.read_bytes()
    refused = run("gray.jpg", "-n", 2)
    assert (refused.exit_code, sheet.read_bytes()) == (1, picture)
    assert f"{sheet} exists; add --overwrite or --skip-existing" in the_line(refused)


def test_what_is_skipped_is_told_and_not_on_the_sheet(run):
    run("gray.jpg", "-s", 1, "-t", 1)
    skipped = run("gray.jpg", "-n", 3, "-t", 0.5, "--skip-existing")
    assert skipped.exit_code == 0
    assert "colorized/gray_001.jpg: left as it is; it was made with temperature 1, not 0.5" in the_line(
        skipped
    )
    assert skipped.stdout.splitlines() == [f"colorized/gray_{name}.jpg" for name in ("000", "002", "sheet")]
    assert read_recipe("colorized/gray_001.jpg")["temperature"] == "1.0"
    assert read_recipe("colorized/gray_sheet.jpg")["seeds"] == "0 2"
    before = state()
    assert run("gray.jpg", "-n", 3, "-t", 0.5, "--skip-existing").stdout == ""
    assert state() == before


def test_the_sheet_shows_the_pictures_of_the_latest_call(run):
    sheet = Path("colorized/gray_sheet.jpg")
    run("gray.jpg", "-n", 3)
    of_three = sheet.read_bytes()
    assert run("gray.jpg", "-n", 2).stdout.splitlines() == [str(sheet)]
    of_two = sheet.read_bytes()
    assert of_two != of_three
    assert run("gray.jpg", "-n", 3).stdout.splitlines() == [str(sheet)]
    assert sheet.read_bytes() == of_three
    run("gray.jpg", "-n", 3, "-t", 1, "--overwrite")
    assert sheet.read_bytes() != of_three
    Path("colorized/gray_002.jpg").unlink()
    # The picture is made again in another way, and the sheet with it.
    run("gray.jpg", "-s", 2)
    run("gray.jpg", "-n", 3, "-t", 1, "--skip-existing")
    assert read_recipe(sheet)["seeds"] == "0 1"


def test_with_a_manifest_what_is_there_gets_its_line(run):
    run("gray.jpg", "other.jpg", "-n", 2)
    before = state()
    told = run("gray.jpg", "other.jpg", "-n", 2, "--manifest", "m")
    assert (told.exit_code, told.stdout) == (0, "")
    lines = lines_of("m")
    assert sorted(line["output"] for line in lines) == sorted(before)
    assert run("gray.jpg", "other.jpg", "-n", 2, "--manifest", "m").stdout == ""
    assert len(Path("m").read_text().splitlines()) == len(lines) == 6
    assert state() == before


@pytest.mark.ci
def test_the_first_picture_is_the_most_typical_of_eight(run, monkeypatch, shipped_colorizer):
    run = in_this_process(monkeypatch, shipped_colorizer)  # random weights make samples about as typical
    (name,) = run("gray.jpg").stdout.splitlines()
    drawing = shipped_colorizer.condition("gray.jpg")
    drawn = drawing.sample(8)
    apart = [[np.linalg.norm(s.ab - t.ab, axis=0).mean() for s in drawn] for t in drawn]
    seed = int(np.argmin(np.sum(apart, axis=1)))
    assert name == f"colorized/gray_{seed:03d}.jpg"
    assert typical(drawn, 1)[0].seed == seed
    # It is a plain sample of its seed, also from stdin, in the library and with hints.
    run("gray.jpg", "-n", 8, "-o", "eight")
    plain = read_recipe(Path("eight", Path(name).name))
    assert read_recipe(name) == plain | {"picked": "1 of seeds 0 to 7, typical"}
    with Image.open(name) as picked, Image.open(Path("eight", Path(name).name)) as sample:
        assert picked.tobytes() == sample.tobytes()
    assert run("-", input=Path("gray.jpg").read_bytes()).stdout_bytes == Path(name).read_bytes()
    assert shipped_colorizer.colorize("gray.jpg")[0].seed == seed
    assert shipped_colorizer.colorize("gray.jpg", seed=0)[0].seed == 0
    assert [c.seed for c in shipped_colorizer.colorize("gray.jpg", n=2)] == [0, 1]
    hinted = run("gray.jpg", "-o", "hinted", "--hint", "40,30,#a02832")
    assert hinted.stdout == f"hinted/gray_{seed:03d}.jpg\n"
    assert run("gray.jpg", "--seed", 0).stdout == "colorized/gray_000.jpg\n"
    # It is found again without being drawn.
    drawn.clear()
    with monkeypatch.context() as patched:
        patched.setattr(type(drawing), "sample", lambda *_, **__: drawn.append("drawn"))
        assert "nothing to do; its files are there already" in the_line(run("gray.jpg"))
    assert not drawn
    # Not whichever of the eight is there: the most typical.
    Path(name).unlink()
    assert run("gray.jpg").stdout == f"{name}\n"


def test_recreate_again_compares_only(run):
    (name,) = run("gray.jpg").stdout.splitlines()
    first = run("recreate", name, "gray.jpg")
    assert first.exit_code == 0
    again = run("recreate", name, "gray.jpg")
    assert (again.exit_code, again.stdout) == (0, "")
    again_path = Path(name).with_stem(f"{Path(name).stem}_again")
    assert again.stderr == first.stderr == f"cinn-colorize: {again_path}: the same bytes as {name}\n"


def test_recreate_looks_at_all_that_it_is_given(run):
    (name,) = run("gray.jpg").stdout.splitlines()
    result = run("recreate", name, "gray.jpg", "nosuch.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert the_line(result).startswith("cinn-colorize: nosuch.png: cannot be read (No such file")


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_recreate_fails_where_the_bytes_differ(run, quiet):
    (name,) = run("gray.jpg").stdout.splitlines()
    result = run("recreate", name, "other.jpg", "--force", "-o", "again.jpg", *quiet)
    assert (result.exit_code, result.stdout) == (1, "again.jpg\n")
    assert the_line(result) == f"cinn-colorize: again.jpg: the bytes differ from those of {name}\n"
