"""The command as users run it. Each process that imports torch takes seconds, so there are few."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from helpers import CODES, in_this_process, names, process, start, the_line, without_progress
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize import __version__
from cinn_colorize.cli.app import app
from cinn_colorize.files.formats import format_of_name
from cinn_colorize.imaging.photo import read_recipe
from cinn_colorize.models.registry import MODELS

SEEDS = range(5, 10)
BAD = {  # input: its line on stderr
    "missing.jpg": "no such file",
    "nothing": "no photos in this folder",
    "empty.jpg": "is empty",
    "truncated.jpg": "cannot be read",
    "text.jpg": "is not a photo in a known format",
}


@pytest.fixture(scope="module")
def batch(folder):
    """One call with options before and after photos, readable and not."""
    inputs = ["gray.jpg", *BAD, "folder", "coffee.webp", "./train"]
    return process(folder, "-n", len(SEEDS), *inputs, "--seed", SEEDS[0], "--temperature", "0.5")


@pytest.fixture
def run(tmp_path, folder, colorizer, monkeypatch):
    """Run the command in this process and its own folder, with a preloaded model."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("colorized"))
    monkeypatch.chdir(tmp_path)
    return in_this_process(monkeypatch, colorizer)


def test_batch_does_what_can_be_done(folder, batch):
    assert batch.returncode == 1
    expected, lines = [], batch.stdout.splitlines()
    for photo, suffix in [("gray", ".jpg"), ("deep", ".png"), ("coffee", ".webp"), ("train", ".png")]:
        of_photo = [f"colorized/{photo}_{seed:03d}{suffix}" for seed in SEEDS]
        of_photo.append(f"colorized/{photo}_sheet.jpg")
        assert [line for line in lines if photo in line] == of_photo
        expected += of_photo
    assert len(lines) == len(expected)
    # Nothing else exists, and no temporary files.
    assert names(folder / "colorized") == sorted(Path(path).name for path in expected)


def test_batch_has_one_line_for_each_bad_photo(batch):
    lines = batch.stderr.splitlines()
    for name, message in BAD.items():
        (line,) = [line for line in lines if name in line]
        assert line.startswith("cinn-colorize: ")
        assert message in line
    remark, summary, others = [line for line in lines if not any(name in line for name in BAD)]
    assert "coffee.webp is in colour" in remark
    assert summary.startswith(f"cinn-colorize: {4 + len(BAD)} photos: 4 done, {len(BAD)} failed; ")
    assert others == "cinn-colorize: not taken: 1 .txt; -v lists them"


@pytest.mark.parametrize(("name", "size", "mode"), [("gray_007.jpg", (96, 80), "RGB")])
def test_outputs_are_photos_with_their_recipe(folder, batch, name, size, mode):
    with Image.open(folder / "colorized" / name) as picture:
        assert (picture.size, picture.mode) == (size, mode)
    recipe = read_recipe(folder / "colorized" / name)
    assert len(recipe.pop("weights")) == len(recipe.pop("original")) == 64
    assert recipe == {
        "version": __version__,
        "model": "natural",
        "method": "sample",
        "seed": "7",
        "temperature": "0.5",
        "precision": "fp32",
        "guidance": "0.3",
        "upsampling": "jbu",
        "format": format_of_name(name),
        "quality": "95",
        "strip": "false",
    }


def test_samples_differ_and_the_sheet_shows_all(folder, batch):
    contents = {(folder / "colorized" / f"gray_{seed:03d}.jpg").read_bytes() for seed in SEEDS}
    assert len(contents) == len(SEEDS)
    with Image.open(folder / "colorized" / "gray_sheet.jpg") as sheet:
        assert sheet.width * sheet.height > 96 * 80 * (1 + len(SEEDS))


def test_a_seed_gives_the_same_bytes_in_any_call(folder, batch, tmp_path):
    """The fifth sample of ``-n 5 --seed 5`` is that of ``--seed 9``, also in another process."""
    arguments = ["coffee.webp", "gray.jpg", "--seed", 9, "-t", "0.5", "-q", "-o", tmp_path]
    result = process(folder, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert names(tmp_path) == ["coffee_009.webp", "gray_009.jpg"]
    for name in names(tmp_path):
        assert (tmp_path / name).read_bytes() == (folder / "colorized" / name).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("number", "code"), CODES)
def test_an_interrupted_call_leaves_whole_files_only(folder, tmp_path, number, code):
    (tmp_path / "many").mkdir()
    for i in range(300):
        os.link(folder / "gray.jpg", tmp_path / "many" / f"{i:03d}.jpg")
    started = start(tmp_path, "many", "-s", 0)
    started.stdout.readline()
    started.send_signal(number)
    _, stderr = started.communicate()
    assert started.returncode == code
    assert without_progress(stderr.decode()).count("\n") == (number == signal.SIGINT)
    written = list((tmp_path / "colorized").iterdir())
    assert 0 < len(written) < 300
    for path in written:
        assert path.suffix == ".jpg"
        assert not path.name.startswith(".")
        with Image.open(path) as picture:
            picture.load()


def test_json_has_an_object_for_each_file(run):
    result = run("--json", "gray.jpg", "-n", 2, "--seed", 3)
    *samples, sheet = map(json.loads, result.stdout.splitlines())
    assert sheet == {"input": "gray.jpg", "output": "colorized/gray_sheet.jpg"}
    for sample, seed in zip(samples, (3, 4), strict=True):
        assert isinstance(sample.pop("log_prob"), float)
        assert sample == {
            "input": "gray.jpg",
            "output": f"colorized/gray_{seed:03d}.jpg",
            "seed": seed,
            "temperature": json.loads(json.dumps(MODELS["natural"].temperature)),
        }


def test_no_sheet_and_other_names_and_formats(run):
    pattern = "{seed}/{stem}-{seed}{ext}"
    result = run("gray.jpg", "-n", 2, "--no-sheet", "-o", "out", "--output", pattern, "--format", "png")
    assert result.stdout.splitlines() == ["out/0/gray-0.png", "out/1/gray-1.png"]
    for path in result.stdout.splitlines():
        with Image.open(path) as picture:
            assert picture.format == "PNG"


def test_two_photos_never_share_a_result(run):
    shutil.copy("gray.jpg", "folder")
    result = run("gray.jpg", "folder/gray.jpg", "-s", 0, "--overwrite", "-q")
    assert result.exit_code == 1
    assert result.stdout == "colorized/gray_000.jpg\n"
    assert "would have the same names as those of gray.jpg" in the_line(result)


@pytest.mark.parametrize("blind", [True, False])
def test_names_that_differ_in_case_alone_share_a_result_where_case_is_not_seen(run, monkeypatch, blind):
    monkeypatch.setattr("cinn_colorize.batch.result_files._BLIND_TO_CASE", blind)
    shutil.copy("gray.jpg", "folder/GRAY.jpg")
    result = run("gray.jpg", "folder/GRAY.jpg", "-s", 0, "-q")
    assert ("would have the same names as those of gray.jpg" in result.stderr) == blind
    assert len(result.stdout.splitlines()) == (1 if blind else 2)


def test_the_photo_itself_is_never_replaced(run):
    before = Path("gray.jpg").read_bytes()
    result = run("gray.jpg", "--overwrite", "-o", ".", "--output", "{stem}{ext}")
    assert result.exit_code == 1
    assert "would replace the photo" in the_line(result)
    assert Path("gray.jpg").read_bytes() == before


def test_outputs_that_cannot_be_written(run):
    before = names(Path())
    below_a_file = run("gray.jpg", "-o", "text.jpg/out")
    assert below_a_file.exit_code == 1
    assert "text.jpg/out: cannot be created, a file is in its place" in the_line(below_a_file)
    in_place_of_a_file = run("gray.jpg", "-o", "text.jpg")
    assert "text.jpg: cannot be created, a file is in its place" in the_line(in_place_of_a_file)
    assert names(Path()) == before

    Path("colorized/gray_000.jpg").mkdir(parents=True)
    a_folder_of_that_name = run("gray.jpg", "coffee.webp", "-s", 0, "--overwrite", "-q")
    assert a_folder_of_that_name.exit_code == 1
    assert "gray_000.jpg: cannot be written" in the_line(a_folder_of_that_name)
    assert names(Path("colorized")) == ["coffee_000.webp", "gray_000.jpg"]


def test_a_folder_may_have_the_name_of_a_picture(run):
    Path("a.jpg").mkdir()
    assert run("gray.jpg", "-s", 0, "-o", "a.jpg").stdout == "a.jpg/gray_000.jpg\n"


def test_a_bug_in_one_photo_does_not_stop_the_others(run, colorizer, monkeypatch):
    condition = colorizer.condition

    def fail_on_deep(photo):
        if photo.bit_depth == 16:
            raise MemoryError("no room")
        return condition(photo)

    monkeypatch.setattr(colorizer, "condition", fail_on_deep)
    result = run("folder/deep.png", "gray.jpg", "-s", 0, "-q")
    assert (result.exit_code, result.stdout) == (1, "colorized/gray_000.jpg\n")
    assert "folder/deep.png: MemoryError('no room')" in the_line(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-n 0", "must be at least 1, not 0"),
        ("-n x", "'x' is not a whole number"),
        ("--seed 1.5", "'1.5' is not a whole number"),
        ("--max-pixels x", "'x' is not a number"),
        ("-t -0.1", "--temperature"),
        ("-t nan", "--temperature"),
        ("-t inf", "--temperature"),
        ("-t 5", "temperature must be a number from 0 to 2, not 5"),
        ("-t 1e308", "--temperature"),
        ("--max-pixels nan", "--max-pixels"),
        ("-t 0.5,32:2.01", "--temperature"),
        ("--seed -1", "--seed"),
        ("--seed 9223372036854775807 -n 2", "--seed"),
        ("--device tpu", "'tpu'"),
        ("--device cuda:99", "'cuda:99'"),
        ("--model gan", "'gan'"),
        ("--precision int4", "'--precision': 'int4' is not one of fp32, bf16 (see"),
        ("--format gif", "'--format': 'gif' is not one of auto, jpg, png, tiff, webp, avif (see"),
        ("--quality 101", "'--quality': must be at most 100, not 101 (see"),
        ("--overwrite --skip-existing", "exclude each other"),
        ("--pick 3 -n 2", "--pick: cannot keep 3 of 2 samples; raise -n"),
        ("--output {name}{ext}", "{stem}, {seed}, {temperature}, {n}, {method}, {model} and {ext}"),
        ("--output {stem}", "must end in"),
        ("--output {stem}{ext} -n 2", "gives 2 samples 1 name; add {seed}"),
        ("--output {seed!s:.1}{ext} -n 4 -s 8", "gives 4 samples 3 names; add {seed}"),
        ("--output {seed!s:.1}{ext} -n 4 -s 8 --pick 2", "gives 4 samples 3 names; add {seed}"),
        ("--output {seed:1000000000d}{ext}", "a field of more than 999 characters"),
        ("--output {stem:.1000}{ext}", "a field of more than 999 characters"),
        ("--output {seed:{seed}d}{ext} -s 1000000000", "a field of more than 999 characters"),
        ("--output {stem}.png --format jpg", "has a suffix of its own; leave out --format jpg"),
        ("--dry-run --json", "--json prints results, and --dry-run makes none"),
        (
            "-o out/a.JPG",
            "'out/a.JPG' is the name of a file, not of a folder; write -o out --output a.JPG for",
        ),
        ("--colour", "--colour"),
    ],
)
def test_usage_errors(run, arguments, message):
    for order in ([*arguments.split(), "gray.jpg"], ["colorize", "gray.jpg", *arguments.split()]):
        result = run(*order)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in the_line(result)
    assert not Path("colorized").exists()


def test_values_in_any_case(run):
    options = "--format PNG --frame None --precision FP32 --upsampling JBU --model Natural --device CPU"
    assert run("gray.jpg", "-s", 0, *options.split()).stdout == "colorized/gray_000.png\n"
    assert run("gray.jpg", "-s", 0, "--format", ".Tif").stdout == "colorized/gray_000.tiff\n"


def test_errors_of_photos_do_not_name_parts_of_libraries(run):
    assert "(premature end of JPEG image)" in the_line(run("truncated.jpg"))
    assert " = 0.0077 million pixels are more than 0.005 million; " in the_line(
        run("gray.jpg", "--max-pixels", 0.005)
    )


@pytest.mark.parametrize("arguments", [["gray.jpg", "-o", ""], ["gray.jpg", "--output-dir="], [""]])
def test_an_empty_argument_is_not_the_current_folder(run, arguments):
    before = sorted(Path().iterdir())
    result = run(*arguments)
    assert (result.exit_code, result.stdout, sorted(Path().iterdir())) == (2, "", before)
    assert " is empty; a variable of the shell may not be set" in the_line(result)
    assert "--x=: no such file" in the_line(run("--", "--x="))


@pytest.mark.parametrize("word", ["transfr", "Transfer", "evalute"])
def test_a_mistyped_command_is_not_a_photo(run, word):
    result = run(word, "gray.jpg", "gray.jpg")
    assert (result.exit_code, result.stdout) == (2, "")
    meant = "evaluate" if word[0] == "e" else "transfer"
    assert f"no such command or file: {word}; did you mean {meant}?" in the_line(result)
    shutil.copy("gray.jpg", word)
    assert run(word, "-s", 0).stdout == f"colorized/{word}_000.jpg\n"


def test_files_of_folders_that_are_not_taken_are_said(run):
    for name in ("a.pdf", "b.pdf", "c"):
        Path("folder", name).write_text("no photo")
    plain = run("folder", "-s", 0)
    assert "not taken: 2 .pdf, 1 without suffix, 1 .txt; -v lists them" in the_line(plain)
    assert (plain.exit_code, plain.stdout) == (0, "colorized/deep_000.png\n")
    verbose = run("folder", "-s", 0, "-v", "--overwrite").stderr.splitlines()
    assert [line for line in verbose if "folder/c: not taken" in line]
    assert len(verbose) == 5
    assert run("folder", "-q", "--overwrite").stderr == ""
    assert "exclude each other" in the_line(run("folder", "-q", "-v"))


def test_verbose_repeats_remarks(run):
    shutil.copy("coffee.webp", "folder/tea.webp")
    for option, remarks in ((), 1), (("-v",), 2):
        lines = run("coffee.webp", "folder", "-o", f"out{remarks}", "-r", *option).stderr
        assert lines.count("is in colour") == remarks


URL = "https://example.org/a.jpg"


@pytest.mark.parametrize(
    "arguments",
    [
        URL, f"{URL}?width=100", f"gray.jpg {URL}", f"transfer {URL} gray.jpg", f"transfer coffee.webp {URL}",
        f"mix gray.jpg --seeds 1,2 --mask {URL}", f"mix {URL} --seeds 1,2 --mask gray.jpg",
        f"temperature {URL}", f"sample {URL}",
    ],
)  # fmt: skip
def test_urls_are_not_read(run, arguments):
    result = run(*arguments.split())
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if "URL" in line]
    assert f"{URL.removesuffix('.jpg')}" in line
    assert "URLs are not read; download the photo and give its file" in line


@pytest.mark.parametrize("arguments", ["transfer - gray.jpg", "transfer coffee.webp -", "temperature -"])
def test_stdin_has_another_name_where_dash_is_none(run, arguments):
    result = run(*arguments.split())
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith(
        "-: no file has this name, and stdin is not read here; name it /dev/stdin"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("colorize", "no photos"),
        ("evaluate", "FOLDER|ZIP"),
        ("evaluate . -t -1", "--temperature"),
        ("evaluate . -t 3", "--temperature"),
        ("train --photos 0", "--photos"),
        ("train --data . --cache kept", "--cache: is for zips at URLs, and --data names none"),
    ],
)
def test_usage_errors_of_commands(arguments, message):
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 2
    assert message in the_line(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("evaluate missing.zip", "missing.zip: does not exist"),
        ("evaluate nothing", "nothing: no photos in it"),
        ("evaluate gray.jpg", "gray.jpg: a single photo; expected a folder of photos or a zip"),
        ("train", "data/photos: not there; put zips or folders of photos there, or pass --data FOLDER"),
        ("train --dataset mnist", "data/mnist: not there; put MNIST's four files there"),
    ],
)
def test_data_that_is_not_there(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, arguments.split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in the_line(result)


def test_no_arguments_show_the_help():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
