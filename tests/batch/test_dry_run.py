"""A dry run: what would be written, and nothing written."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import GRAY, in_this_process, longer, names, the_line
from PIL import Image


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    """Run the command in a folder with three photos of two sizes, and other files."""
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    for name, size in (("a.jpg", 1), ("b.jpg", 2), ("c.png", 1)):
        Image.fromarray(np.tile(GRAY, (size, size))).save(f"scans/{name}")
    Path("scans/letter.pdf").touch()
    return in_this_process(monkeypatch, colorizer)


def test_it_names_what_a_real_run_writes(run):
    options = ("scans", "-n", 2, "--workers", 1)
    dry = run(*options, "--dry-run", "--manifest", "m.jsonl")
    assert dry.exit_code == 0
    assert names(Path()) == ["scans"]
    assert names(Path("scans")) == ["a.jpg", "b.jpg", "c.png", "letter.pdf"]
    summary, not_taken = dry.stderr.splitlines()
    assert "dry run, nothing is written: 9 files of 3 photos, about " in summary
    assert "with 1 process and" in summary
    assert "scans/c.png, 0.072 MP: " in summary
    assert "scans/b.jpg, 0.29 MP: " in summary
    assert "not taken: 1 .pdf" in not_taken
    real = run(*options)
    assert sorted(real.stdout.split()) == sorted(dry.stdout.split())
    said = float(re.search(r"and ([\d.]+) MB", summary)[1])
    size = sum(path.stat().st_size for path in Path("colorized").iterdir()) / 1e6
    assert said == pytest.approx(size, rel=0.3)


def test_what_is_there_is_not_counted(run):
    run("scans/a.jpg", "-s", 0)
    dry = run("scans", "-s", 0, "--dry-run")
    assert dry.stdout.split() == ["colorized/b_000.jpg", "colorized/c_000.png"]
    assert "2 files of 2 photos, about" in dry.stderr
    assert "; there already: 1 file\n" in dry.stderr
    run("scans", "-o", "scans")
    nothing = run("scans", "-o", "scans", "--dry-run")
    assert "0 files of 0 photos; there already: 3 files\n" in nothing.stderr
    assert nothing.stdout == ""


@pytest.fixture
def clock_of_pixels(colorizer, monkeypatch):
    """A clock by which drawing takes a second for 10,000 pixels, and all else takes none."""
    taken, compose = [0.0], colorizer.compose

    def timed(photo, samples, *more):
        taken[0] += len(samples) * photo.width * photo.height / 10_000
        return compose(photo, samples, *more)

    monkeypatch.setattr(colorizer, "compose", timed)
    monkeypatch.setattr("cinn_colorize.batch.dry_run.time", SimpleNamespace(perf_counter=lambda: taken[0]))


@pytest.mark.usefixtures("clock_of_pixels")
def test_the_time_is_that_of_what_there_is_to_draw(run, monkeypatch):
    """Also of photos between the sizes that are measured; and processes share it."""
    Image.fromarray(np.tile(GRAY, (2, 2))[:360]).save("scans/a.jpg")
    pixels = {path.name[0]: math.prod(Image.open(path).size) for path in Path("scans").glob("[abc].*")}
    said = []
    monkeypatch.setattr("cinn_colorize.cli.summary.duration", lambda seconds: said.append(seconds) or "")
    run("scans", "-n", 2, "--no-sheet", "--workers", 2, "--dry-run")
    run("scans/a.jpg", "-s", 0)
    run("scans", "-s", 0, "--workers", 1, "--dry-run")
    drawn = [2 * sum(pixels.values()) / 2, pixels["b"] + pixels["c"]]
    assert said == pytest.approx([number / 10_000 for number in drawn])


def test_it_says_what_a_real_run_would_do_with_what_is_there(run):
    Path("scans/b.jpg").unlink()
    options = ("scans", "-n", 2, "--manifest", "m.jsonl")
    run(*options)
    dry = run(*options, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "")
    assert "0 files of 0 photos; there already: 6 files\n" in dry.stderr
    Path("colorized/a_001.jpg").unlink()
    dry = run("scans", "-n", 2, "--dry-run", "-q")
    assert dry.stdout == run("scans", "-n", 2, "-q").stdout != ""
    run("scans/a.jpg", "-n", 8, "--no-sheet")
    for options in (["-n", 2, "-t", 0.9], ["-t", 0.9], ["-n", 4, "--pick", 2, "-t", 0.9]):
        dry = run("scans/a.jpg", *options, "--dry-run", "-q")
        real = run("scans/a.jpg", *options, "-q")
        assert "exists, made with temperature" in dry.stderr
        assert (dry.stderr, dry.stdout, dry.exit_code) == (real.stderr, real.stdout, 1)


def test_names_of_picked_samples_are_not_known_before(run):
    dry = run("scans/a.jpg", "-n", 4, "--pick", 1, "--dry-run")
    assert dry.stdout == ""
    assert "1 file of 1 photo," in the_line(dry)


def test_photos_that_cannot_be_read_are_said(run):
    Path("scans/d.jpg").write_text("text")
    dry = run("scans", "-s", 0, "--dry-run", "-q")
    assert dry.exit_code == 1
    assert "scans/d.jpg: is not a photo" in the_line(dry)
    assert len(dry.stdout.split()) == 3


@pytest.mark.parametrize("damaged", ["a.jpg", "b.jpg"], ids=["the smallest", "the largest"])
def test_damage_that_only_drawing_notices_is_said(run, damaged):
    content = Path("scans", damaged).read_bytes()
    Path("scans", damaged).write_bytes(content[: len(content) // 2])
    dry = run("scans", "-s", 0, "--dry-run", "-q")
    assert dry.exit_code == 1
    assert f"scans/{damaged}: " in the_line(dry)
    real = run("scans", "-s", 0, "-q")
    assert (sorted(dry.stdout.split()), dry.stderr) == (sorted(real.stdout.split()), real.stderr)
    assert len(dry.stdout.split()) == 2


@pytest.mark.parametrize("folder", ["dangling", "scans/a.jpg/below"])
def test_a_folder_that_cannot_be_made_is_found(run, folder):
    Path("dangling").symlink_to("nowhere")
    dry = run("scans", "-s", 0, "-o", folder, "--dry-run")
    real = run("scans", "-s", 0, "-o", folder)
    assert (dry.exit_code, real.exit_code, dry.stdout) == (1, 1, "")
    problem, summary, *_ = dry.stderr.splitlines()
    assert problem in real.stderr
    assert "0 files of 0 photos" in summary


def a_folder(*sizes, pages=()):
    """Photos of these widths and heights in a new folder, or TIFFs, of which one has further pages."""
    folder = Path("folder")
    folder.mkdir()
    for i, size in enumerate(sizes):
        image = Image.fromarray(GRAY).resize(size)
        if pages:
            more = [image.resize(other) for other in pages if i == 1]
            image.save(folder / f"{i}.tif", save_all=True, append_images=more)
        else:
            image.save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("second", "pages", "options"),
    [
        ((100, 30), [], "--frame 0,0,35,40"),
        pytest.param((50, 60), [(20, 20)], "--frame 0,0,35,40 --pages all", marks=pytest.mark.ci),
        ((50, 60), [(20, 20)], "--pages all --format png"),
        pytest.param((2400, 1), [], "--format webp", marks=pytest.mark.ci),
    ],
    ids=["frame", "frame of a page", "pages", "sides"],
)
def test_it_refuses_what_a_real_run_refuses(run, monkeypatch, second, pages, options):
    """Photos that are not measured too: those are the smallest, the one of median size and the largest."""
    monkeypatch.setattr("cinn_colorize.imaging.picture._LONGEST", {"webp": 2399})
    folder = a_folder((40, 60), second, (60, 60), (64, 64), (66, 66), pages=pages)
    dry = run(folder, "-s", 0, "-q", *options.split(), "--dry-run")
    real = run(folder, "-s", 0, "-q", *options.split())
    assert len(real.stdout.split()) == 4
    assert f"{folder}/1." in the_line(real)
    assert (dry.stdout, dry.stderr, dry.exit_code) == (real.stdout, real.stderr, 1)


@pytest.mark.ci
def test_it_refuses_names_that_are_too_long(run):
    folder = a_folder((40, 60), (50, 60), (60, 60), (64, 64), (66, 66))
    (folder / "1.png").rename(folder / f"{'n' * 246}.png")
    for number in (1, 2):
        dry = run(folder, "-n", number, "-s", 0, "-q", "--dry-run")
        real = run(folder, "-n", number, "-s", 0, "-q")
        assert sorted(dry.stdout.split()) == sorted(real.stdout.split())
        assert (dry.stderr, dry.exit_code) == (real.stderr, real.exit_code)
    assert "_sheet.jpg: cannot be written: File name too long; " in the_line(real)
    assert "a shorter name for the photo" in real.stderr  # --output does not name sheets


@pytest.mark.parametrize("format", [*longer("avif"), "png"])
def test_the_estimate_is_of_the_format_that_is_written(run, format):
    by_format = run("scans", "-s", 0, "--dry-run", "--format", format)
    by_name = run("scans", "-s", 0, "--dry-run", "--output", f"{{stem}}_{{seed}}.{format}")
    sizes = [re.search(r"and ([\d.]+ MB) \(", dry.stderr)[1] for dry in (by_format, by_name)]
    assert sizes[0] == sizes[1]
