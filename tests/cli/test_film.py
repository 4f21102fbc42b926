"""``cinn-colorize film``."""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import call, in_this_process, longer, names, needs, spawned_by, start, the_line, wait_for

av = needs("av")

import film.filmmaking as fm  # noqa: E402

from cinn_colorize.batch import films  # noqa: E402
from cinn_colorize.film import drawing, story  # noqa: E402
from cinn_colorize.film.writing import read_recipe  # noqa: E402


class InThisProcess:
    """What takes the steps of films, in place of processes."""

    def __init__(self, workers, context, begin, given):
        films._owns(given[0], given[2])

    def submit(self, do, step, arguments, own):
        future = films.Future()
        try:
            future.set_result((do(step, arguments, own)[0], []))
        except Exception as error:
            future.set_exception(error)
        return future


def plain_colours(drawer, frames):
    """In place of the network: colours that depend on seed, temperature and frame."""
    temperature, seeds = drawer.temperature, drawer.seeds
    factor = temperature if isinstance(temperature, float) else sum(temperature.values())

    def drawn(frame):
        L = frame[::4, ::4] / np.float32(2.55)
        return np.stack([factor * np.stack([L % (5 + seed % 7), -L % (3 + seed % 5)]) for seed in seeds])

    return np.stack([drawn(frame) for frame in frames])


@pytest.fixture
def run(tmp_path, colorizer, monkeypatch):
    """Run the command in this process, in a folder with a film of two shots."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(drawing.Drawer, "draw", plain_colours)
    monkeypatch.setattr(films, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(drawing, "WINDOW", 8)
    monkeypatch.setattr(story, "WINDOW", 8)
    monkeypatch.setattr(drawing, "LAP", 4)
    monkeypatch.setattr(story, "LAP", 4)
    make("old.mp4")
    run = in_this_process(monkeypatch, colorizer)
    return lambda *arguments, **options: run("film", *arguments, **options)


def make(path, number=24, cut=12, **options):
    """A film of two shots."""
    frames = [fm.gray_frame(picture(t, t >= cut), "yuv420p") for t in range(number)]
    return fm.make(path, size=SIZE, number=number, frames=frames, **options)


SIZE = 72, 96


def picture(t, is_second):
    """Hills that move to the left; those of the second shot are others."""
    hills = np.random.default_rng(is_second).uniform(30, 220, (20, 60)).astype(np.float32)
    wide = cv2.resize(hills, (60 * 8, 20 * 8), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[: SIZE[0], t : t + SIZE[1]].clip(0, 255).astype(np.uint8))


def chroma(path):
    """Cb and Cr of all frames, one above the other, (T, h, w)."""
    with av.open(str(path)) as film:
        planes = [[np.asarray(frame.to_ndarray())[SIZE[0] :] for frame in film.decode(video=0)]]
    return np.stack(planes[0]).astype(float)


def test_versions_have_seeds_recipes_and_names(run):
    result = run("old.mp4", "-n", 2, "-s", 3, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["output"], line["seed"]) for line in lines] == [
        ("colorized/old_003.mp4", 3),
        ("colorized/old_004.mp4", 4),
    ]
    assert names(Path("colorized")) == ["old_003.mp4", "old_004.mp4"]
    recipe = read_recipe(Path("colorized/old_004.mp4"))
    wanted = {"seed": "4", "model": "natural", "method": "sample", "codec": "h264", "quality": "65"}
    assert wanted.items() <= recipe.items()
    assert np.abs(chroma(lines[0]["output"]) - chroma(lines[1]["output"])).mean() > 0.5


def test_same_seed_same_bytes_however_many_are_drawn(run):
    run("old.mp4", "-n", 3, "-s", 2, "-q")
    assert run("old.mp4", "-s", 3, "-o", "alone", "-q").exit_code == 0
    assert Path("alone/old_003.mp4").read_bytes() == Path("colorized/old_003.mp4").read_bytes()
    Path("colorized/old_003.mp4").unlink()
    before = Path("alone/old_003.mp4").read_bytes()
    assert run("old.mp4", "-n", 3, "-s", 2, "-q").stdout == "colorized/old_003.mp4\n"
    assert Path("colorized/old_003.mp4").read_bytes() == before


def test_without_a_seed_the_typical_one_of_eight_is_chosen_and_found_again(run):
    result = run("old.mp4", "-q")
    (output,) = result.stdout.split()
    recipe = read_recipe(Path(output))
    assert recipe["picked"] == "1 of seeds 0 to 7, typical"
    assert output == f"colorized/old_{int(recipe['seed']):03d}.mp4"
    again = run("old.mp4")
    assert (again.stdout, again.exit_code) == ("", 0)
    assert "there already" in the_line(again)


@pytest.mark.ci
def test_picked_versions_are_typical_differ_and_are_found_again(run):
    result = run("old.mp4", "-n", 6, "-s", 2, "--pick", 2, "-q")
    outputs = [Path(line) for line in result.stdout.split()]
    seeds = [int(read_recipe(output)["seed"]) for output in outputs]
    assert len({*seeds}) == 2
    assert {*seeds} <= {*range(2, 8)}
    assert [output.name for output in outputs] == [f"old_{seed:03d}.mp4" for seed in seeds]
    assert all(read_recipe(output)["picked"] == "2 of seeds 2 to 7, typical" for output in outputs)
    again = run("old.mp4", "-n", 6, "-s", 2, "--pick", 2)
    assert (again.stdout, again.exit_code) == ("", 0)
    outputs[1].unlink()
    assert run("old.mp4", "-n", 6, "-s", 2, "--pick", 2, "-q").stdout.split() == [str(outputs[1])]
    run("old.mp4", "-s", seeds[1], "-q", "-o", "alone")
    assert (chroma(Path("alone") / outputs[1].name) == chroma(outputs[1])).all()
    refused = run("old.mp4", "-n", 2, "--pick", 3)
    assert refused.exit_code == 2
    assert "pick must be at most n, 2, not 3" in refused.stderr


@pytest.mark.ci
def test_white_balance_is_found_once_a_shot(run, monkeypatch):
    asked, warm = [], np.array([1.5, 1, 0.5], np.float32)
    monkeypatch.setattr(drawing.Drawer, "lights", lambda *given: asked.append(given) or [warm])
    run("old.mp4", "-s", 0, "--white-balance", 1, "-q")
    run("old.mp4", "-s", 0, "-q", "-o", "plain")
    assert len(asked) == 2  # shots
    cooler, plain = (chroma(Path(folder) / "old_000.mp4") for folder in ("colorized", "plain"))
    cb, cr = np.split(cooler - plain, 2, axis=1)
    assert cb.mean() > 5
    assert cr.mean() < -5
    assert read_recipe(Path("colorized/old_000.mp4"))["white_balance"] == "1.0"


def test_dry_run_writes_nothing(run):
    result = run("old.mp4", "none.mp4", "-n", 2, "-s", 0, "--dry-run")
    assert (result.exit_code, result.stdout.split()) == (
        1,
        ["colorized/old_000.mp4", "colorized/old_001.mp4"],
    )
    told, end = result.stderr.splitlines()
    assert told.startswith("cinn-colorize: none.mp4: ")
    said = (
        r"cinn-colorize: dry run, nothing is written: 2 files of 1 film, about \S+ s with \d+ process(es)? "
    )
    said += r"and (\d+\.\d) MB \(measured: 24 of the 24 frames of old.mp4\); \S+ .B are free"
    found = re.fullmatch(said, end)
    assert not Path("colorized").exists()
    run("old.mp4", "-n", 2, "-s", 0, "-q")
    size = sum(path.stat().st_size for path in Path("colorized").iterdir())
    assert float(found[2]) == pytest.approx(size / 1e6, rel=0.5, abs=0.06)
    part = run("old.mp4", "-n", 3, "-s", 0, "--to", 0.4, "--dry-run", "-o", "other")
    assert "(measured: 10 of the 10 frames of old.mp4)" in part.stderr
    there = run("old.mp4", "-n", 2, "-s", 0, "--dry-run")
    assert the_line(there).endswith(": 0 files of 0 films; there already: 2 files\n")
    Path("shots.tsv").write_text("start\tend\n0\t12\n")
    assert "shots.tsv: ends with frame 12" in run("old.mp4", "--shots", "shots.tsv", "--dry-run").stderr


def test_what_is_there_is_not_surveyed_again(run, monkeypatch):
    run("old.mp4", "-n", 2, "-s", 0, "-q")
    monkeypatch.setattr(films, "survey", None)
    again = run("old.mp4", "-n", 2, "-s", 0)
    assert (again.exit_code, again.stdout) == (0, "")
    assert "there already" in the_line(again)


@pytest.mark.ci
def test_another_setting_is_refused_replaced_or_left(run):
    run("old.mp4", "-s", 0, "-q")
    before = Path("colorized/old_000.mp4").read_bytes()
    other = run("old.mp4", "-s", 0, "-t", 0.3)
    assert other.exit_code == 1
    assert "colorized/old_000.mp4 exists, made with temperature" in the_line(other)
    assert Path("colorized/old_000.mp4").read_bytes() == before
    left = run("old.mp4", "-s", 0, "-t", 0.3, "--skip-existing")
    assert (left.exit_code, left.stdout) == (0, "")
    assert "left as it is" in left.stderr
    assert run("old.mp4", "-s", 0, "-t", 0.3, "--overwrite", "-q").exit_code == 0
    assert Path("colorized/old_000.mp4").read_bytes() != before


def test_table_of_shots_can_be_edited(run):
    result = run("old.mp4", "--sheet", "-n", 3, "-s", 5, "-q")
    assert result.stdout.split() == ["colorized/old_shots.jpg", "colorized/old_shots.tsv"]
    assert names(Path("colorized")) == ["old_shots.jpg", "old_shots.tsv"]
    table = Path("colorized/old_shots.tsv")
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert [row[:3] for row in rows] == [["start", "end", "seed"], ["0", "12", "5"], ["12", "24", "5"]]
    again = run("old.mp4", "--sheet", "-n", 3, "-s", 5)
    assert again.exit_code == 1
    assert "exists" in the_line(again)
    run("old.mp4", "-s", 5, "-q")
    table.write_text("start\tend\tseed\tgray\n0\t12\t9\n12\t24\t\tgray\n")
    assert run("old.mp4", "-s", 5, "--shots", table, "-o", "chosen", "-q").exit_code == 0
    run("old.mp4", "-s", 9, "-q")
    chosen, five, nine = (
        chroma(f"{name}.mp4") for name in ("chosen/old_005", "colorized/old_005", "colorized/old_009")
    )
    assert np.abs(chosen[:12] - nine[:12]).max() == 0
    assert np.abs(chosen[:12] - five[:12]).mean() > 0.5
    assert np.abs(chosen[12:] - 128).max() <= 1
    assert np.abs(five[12:] - 128).mean() > 1


def test_a_sheet_of_shots_replaces_no_file_unasked(run):
    Path("colorized").mkdir()
    sheet, table = Path("colorized/old_shots.jpg"), Path("colorized/old_shots.tsv")
    sheet.write_bytes(b"mine")
    refused = run("old.mp4", "--sheet", "-n", 2)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "old_shots.jpg exists; add --overwrite or --skip-existing" in the_line(refused)
    assert run("old.mp4", "--sheet", "-n", 2, "--skip-existing", "-q").exit_code == 0
    assert sheet.read_bytes() == b"mine"
    assert not table.exists()
    assert run("old.mp4", "--sheet", "-n", 2, "--overwrite", "-q").exit_code == 0
    made = sheet.read_bytes(), table.read_bytes()
    table.unlink()  # as a call leaves it that is stopped between the two
    assert run("old.mp4", "--sheet", "-n", 2, "-q").exit_code == 0
    assert (sheet.read_bytes(), table.read_bytes()) == made
    Path("y").mkdir()
    make("y/old.mp4", cut=6)
    result = run("old.mp4", "y/old.mp4", "--sheet", "-n", 2, "--overwrite", "-q")
    assert result.exit_code == 1
    assert "y/old.mp4: its results would have the same names as those of old.mp4" in the_line(result)
    assert (sheet.read_bytes(), table.read_bytes()) == made


@pytest.mark.skipif(os.name == "nt", reason="no permission bits")
def test_a_sheet_of_shots_can_be_read_by_whom_the_film_can(run):
    Path("old.mp4").chmod(0o600)
    assert run("old.mp4", "--sheet", "-n", 2, "-q").exit_code == 0
    assert Path("colorized/old_shots.jpg").stat().st_mode & 0o777 == 0o600
    assert Path("colorized/old_shots.tsv").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "told"), [("none.tsv", "No such file"), (".", "not a file")])
def test_a_table_that_cannot_be_read_is_named(run, name, told):
    result = run("old.mp4", "--shots", name)
    assert result.exit_code == 1
    assert re.match(f"cinn-colorize: {re.escape(name)}: cannot be read .{told}", the_line(result))


@pytest.mark.parametrize("more", [(), ("--sheet",)])
def test_a_name_that_is_too_long_is_refused_before_any_work(run, more, monkeypatch):
    monkeypatch.setattr(films.Films, "_surveyed", None)
    shutil.copy("old.mp4", name := f"{'a' * 248}.mp4")
    result = run(name, *more)
    assert result.exit_code == 1
    assert "cannot be written: File name too long; choose a shorter --output" in the_line(result)


def test_all_errors_of_a_table_are_told_at_once(run):
    Path("shots.tsv").write_text("start\tend\tseed\n0\t12\tred\n13\t24\t1\n")
    result = run("old.mp4", "--shots", "shots.tsv")
    assert result.exit_code == 1
    told = "cinn-colorize: shots.tsv: line 2: 'red' is not a seed .*; line 3: the shot starts with frame 13,"
    assert re.match(told, the_line(result))
    Path("shots.tsv").write_text("start\tend\n0\t12\n")
    assert "ends with frame 12, but old.mp4 has 24" in the_line(run("old.mp4", "--shots", "shots.tsv"))
    Path("shots.tsv").write_text("start\tend\tframe\thints\n0\t24\t3\t9,9,#f00 96,9,#f00\n")
    told = the_line(run("old.mp4", "--shots", "shots.tsv"))
    assert "old.mp4: the hint 96,9,#ff0000 lies outside its picture, 0,0,96,72" in told
    Path("shots.tsv").write_text("start\tend\tframe\thints\n0\t24\t3\t9,9,#f00\n")
    told = the_line(run("old.mp4", "--shots", "shots.tsv", "--white-balance", 1))
    assert "shots.tsv: hints exclude white balance" in told
    assert not Path("colorized").exists() or not names(Path("colorized"))


def test_hints_colour_a_shot_along_its_motion_and_no_other(run):
    Path("shots.tsv").write_text("start\tend\tframe\thints\n0\t12\t6\t48,36,#c00000\n12\t24\t\t\n")
    drawn = ("old.mp4", "-n", 2, "-s", 0, "-t", "0.7,8:0.8", "-q")
    assert run(*drawn, "--shots", "shots.tsv", "-o", "hinted").exit_code == 0
    run(*drawn)
    for name in ("old_000.mp4", "old_001.mp4"):
        redder = (chroma(f"hinted/{name}") - chroma(f"colorized/{name}")).reshape(24, 2, 36, 48)[:, 1]
        assert all(redder[t, 18, 24 + (6 - t) // 2] > 20 for t in range(12))
        assert np.abs(redder[12:]).max() == 0


@pytest.mark.ci
def test_hints_on_a_frame_that_is_left_out_are_told(run):
    Path("shots.tsv").write_text("start\tend\tframe\thints\n0\t12\t2\t48,36,#c00000\n12\t24\t14\t9,9,#00f\n")
    told = "old.mp4: the hints on frame 2 lie outside --from and --to, and have no effect"
    part = run("old.mp4", "-s", 0, "--shots", "shots.tsv", "--from", 0.25, "--to", 0.4)
    assert (part.exit_code, part.stderr.count(told), part.stderr.count("no effect")) == (0, 1, 1)
    assert "no effect" not in run("old.mp4", "-s", 0, "--shots", "shots.tsv", "--overwrite").stderr


def test_part_of_a_film_has_its_sound(run):
    make("sound.mkv", audio="libopus")
    assert run("sound.mkv", "-s", 0, "--from", 0.2, "--to", "0:00.6", "-q").exit_code == 0
    output = "colorized/sound_000.mkv"
    times = [float(at) for at in fm.frame_times(output)]
    assert times == pytest.approx([k / 25 for k in range(10)], abs=0.0011)
    (whole,), (part,) = fm.packets("sound.mkv", "audio"), fm.packets(output, "audio")
    inside = [(at, content) for at, content in whole if Fraction(1, 5) <= at < Fraction(3, 5)]
    assert [content for _, content in part] == [content for _, content in inside]
    assert [float(time) for time, _ in part] == pytest.approx(
        [float(time) - 0.2 for time, _ in inside], abs=0.0011
    )
    beyond = run("sound.mkv", "--from", "1:00")
    assert beyond.exit_code == 1
    assert "sound.mkv: has no frames there; it lasts 1.0 seconds" in the_line(beyond)


@pytest.mark.parametrize("name", [*list(fm.FILMS)[:3], *longer(*list(fm.FILMS)[3:])])
def test_frames_times_and_sound_stay(run, name):
    fm.make(name, **{"number": 10, **fm.FILMS[name]})
    result = run(name, "-s", 0, "-q")
    assert result.exit_code == 0, result.stderr
    (output,) = result.stdout.split()
    before, after = ([float(at) for at in fm.frame_times(path)] for path in (name, output))
    assert after == pytest.approx(before, abs=0.0011)
    for kind in ("audio", "subtitle"):
        sounds = [[content for _, content in of_stream] for of_stream in fm.packets(name, kind)]
        assert [[content for _, content in of_stream] for of_stream in fm.packets(output, kind)] == sounds


def test_errors_do_not_stop_the_others(run):
    Path("text.mp4").write_text("no film")
    result = run("text.mp4", "missing.mp4", "old.mp4", "-s", 0, "-q")
    assert (result.exit_code, result.stdout) == (1, "colorized/old_000.mp4\n")
    first, second = result.stderr.splitlines()
    assert first.startswith("cinn-colorize: text.mp4: is no film")
    assert second.startswith("cinn-colorize: missing.mp4: no such file")


def test_two_films_of_one_name_are_told(run):
    Path("other").mkdir()
    shutil.copy("old.mp4", "other/old.mp4")
    result = run("old.mp4", "other/old.mp4", "-s", 0, "-q")
    assert (result.exit_code, result.stdout) == (1, "colorized/old_000.mp4\n")
    assert "other/old.mp4: its results would have the same names as those of old.mp4" in the_line(result)


def test_a_film_is_never_replaced(run):
    before = Path("old.mp4").read_bytes()
    result = run("old.mp4", "-s", 0, "-o", ".", "--output", "old{ext}", "--overwrite")
    assert result.exit_code == 1
    assert "would replace old.mp4" in the_line(result)
    assert Path("old.mp4").read_bytes() == before


def test_commands_name_each_other(run, examples, colorizer, monkeypatch):
    shutil.copy(examples / "camera.png", "photo.png")
    shutil.copy(examples / "coffee.png", "coffee.png")
    shutil.copy("old.mp4", "nameless")
    assert the_line(run("photo.png")) == "cinn-colorize: photo.png: is a photo; use cinn-colorize colorize\n"
    photos = in_this_process(monkeypatch, colorizer)
    for arguments in (["old.mp4"], ["nameless"], ["transfer", "coffee.png", "old.mp4"]):
        told = the_line(photos(*arguments))
        assert told == f"cinn-colorize: {arguments[-1]}: is a film; use cinn-colorize film\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--from 5 --to 4", "must be later than --from"),
        ("--from yesterday", "'yesterday' is not a time; write seconds, M:S or H:M:S"),
        ("--codec vhs", "is not one of h264, h265, av1, ffv1, prores"),
        ("--output same{ext} -n 2", "gives 2 versions 1 name; add {seed}"),
        ("--output {x}{ext}", "--output accepts {stem}, {seed}"),
        ("--output {seed}.txt", "must end in {ext}"),
        ("--output ../{seed}{ext}", "leaves the folder of -o"),
        ("--sheet --shots old.mp4", "--sheet excludes --shots and --dry-run"),
        ("--sheet --dry-run", "--sheet excludes --shots and --dry-run"),
        ("--json --dry-run", "--json prints results, and --dry-run makes none"),
        ("--overwrite --skip-existing", "exclude each other"),
    ],
)
def test_wrong_usage_is_told(run, arguments, told):
    result = run("old.mp4", *arguments.split())
    assert result.exit_code == 2
    assert told in the_line(result)


def test_without_pyav_the_extra_is_named(run, monkeypatch):
    monkeypatch.setattr("cinn_colorize.cli.film.find_spec", lambda _: None)
    result = run("old.mp4")
    assert result.exit_code == 1
    assert the_line(result) == "cinn-colorize: films require PyAV; pip install 'cinn-colorize[film]'\n"


def test_a_call_that_was_stopped_is_continued(run, monkeypatch):
    run("old.mp4", "-n", 2, "-s", 0, "-o", "whole", "-q")
    rendered = []

    def counted(self, *planes):
        rendered.append(1)
        if len(rendered) in stops:
            raise KeyboardInterrupt
        return render(self, *planes)

    render = story.Renderer.render
    monkeypatch.setattr(story.Renderer, "render", counted)
    stops = {7, 41, 60}
    codes = [run("old.mp4", "-n", 2, "-s", 0, "-q").exit_code for _ in range(4)]
    assert codes == [130, 130, 130, 0]
    assert len(rendered) < 48 + 3 * 16 + 3
    assert names(Path("colorized")) == names(Path("whole"))
    for name in names(Path("whole")):
        assert (Path("colorized") / name).read_bytes() == (Path("whole") / name).read_bytes()


def kill_soon(folder, chance):
    """Kill a command with all its processes some time after it has finished another segment."""
    running = start(folder, "film", "old.mp4", "-n", "2", "-s", "0", start_new_session=True)
    parts = folder / "colorized" / ".old_000.mp4.parts"
    before = len([*parts.glob("*.segment")])
    wait_for(lambda: running.poll() is not None or len([*parts.glob("*.segment")]) > before)
    time.sleep(chance.uniform(0, 2))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 10])
def test_killed_processes_leave_what_the_same_command_continues(tmp_path, kills):
    make(tmp_path / "old.mp4", number=12 * (kills + 2), cut=12)
    drawn = "film", "old.mp4", "-n", 2, "-s", 0
    whole, lines, imported = call(tmp_path, *drawn, "-o", "whole", "--workers", 1)
    assert (whole.returncode, imported) == (0, False), lines
    for k in range(kills):
        kill_soon(tmp_path, np.random.default_rng(k))
        assert k or not (tmp_path / "colorized" / "old_000.mp4").exists()
    done, lines, _ = call(tmp_path, *drawn, "--workers", 2)
    assert done.returncode == 0, lines
    assert names(tmp_path / "colorized") == ["old_000.mp4", "old_001.mp4"]
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "colorized" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_killed_worker_is_told_and_leaves_nothing_half_written(tmp_path):
    make(tmp_path / "old.mp4", number=40)
    with start(tmp_path, "film", "old.mp4", "-s", "0", "--workers", "1") as running:
        (worker,) = wait_for(lambda: spawned_by(running.pid))
        wait_for(lambda: [*tmp_path.glob("colorized/.old_000.mp4.parts")])
        os.kill(worker, signal.SIGKILL)
        _, told = running.communicate()
    assert running.returncode == 1
    assert b"a process was killed" in told
    assert not (tmp_path / "colorized" / "old_000.mp4").exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_continue(tmp_path):
    make(tmp_path / "old.mp4", number=40)
    with start(tmp_path, "film", "old.mp4", "-s", "0") as running:
        wait_for(lambda: [*tmp_path.glob("colorized/.old_000.mp4.parts")])
        running.send_signal(signal.SIGINT)
        _, told = running.communicate()
    assert running.returncode == 130
    assert re.search(rb"stopped: .*; the same command continues\n$", told)
