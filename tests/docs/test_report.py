"""Tables and pictures of the docs are of the weights that they name, and of the shipped ones."""

import json
import re
import subprocess
import sys

import features
import pytest
import report
from helpers import ENVIRONMENT, ROOT

from cinn_colorize.errors import DataError
from cinn_colorize.models import MODELS

# Sections of older weights, and why they still are.
KNOWN_STALE: dict[str, str] = {}


def test_no_section_is_stale_but_those_that_are_listed():
    assert set(report.stale()) == set(KNOWN_STALE), "run python scripts/report.py, or keep the list true"


def test_the_comparison_of_methods_is_of_the_backbone_that_they_share():
    assert report.shipped("comparison") == features.SHA256


def test_every_mark_is_a_section_on_its_page():
    marked = {
        (name, path.relative_to(ROOT).as_posix())
        for folder in (ROOT, ROOT / "docs", ROOT / "weights")
        for path in folder.glob("*.md")
        for name in re.findall(r"<!-- report: (\S+) ", path.read_text())
    }
    assert marked == {(name, section.page) for name, section in report.SECTIONS.items()}


def test_readers_see_which_weights_a_section_is_of():
    for section in report.SECTIONS.values():
        for name, sha, text in report.MARKED.findall((ROOT / section.page).read_text()):
            assert f"Weights `{sha[:8]}` of `{report.SECTIONS[name].model}`" in text


def test_what_the_registry_says_is_in_the_readme():
    (table,) = (
        t for name, _, t in report.MARKED.findall((ROOT / "README.md").read_text()) if name == "readme"
    )
    numbers = re.findall(r"-?\d+\.\d+", MODELS["natural"].measured)
    assert len(numbers) == 4
    assert not [number for number in numbers if f" {number} " not in table]


def test_speed_in_the_readme_is_that_of_the_benchmarks():
    def rows(path, start):
        text = (ROOT / path).read_text().split(start)[1].split("\n\n## ")[0]
        lines = lines_of("\n".join(line for line in text.splitlines() if line.startswith("| ")))
        return {name.strip("`"): row for name, *row in lines}

    told, measured = rows("README.md", "## Speed"), rows("docs/benchmarks.md", "<!-- report: peers")
    assert len(told) == 5  # with the head
    for name, (seconds, cpu, memory) in list(told.items())[1:]:
        assert (seconds, cpu, memory) == (*measured[name][:2], f"{measured[name][4]} MiB")


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    sections = (f"<!-- report: {n} weights={64 * '0'} -->\nold\n<!-- end -->" for n in ("hints", "onnx"))
    path.write_text("before\n" + "\nbetween\n".join(sections) + "\nafter\n")
    return path


def test_a_section_is_replaced_and_nothing_else(page):
    before = page.read_text()
    report.write(page, "onnx", 64 * "1", "| a \\1 | b |")
    marked = report.MARKED.findall(page.read_text())
    assert [(name, sha) for name, sha, _ in marked] == [("hints", 64 * "0"), ("onnx", 64 * "1")]
    first, second = before.split("between")
    expected = second.replace(64 * "0", 64 * "1").replace("old", "| a \\1 | b |")
    assert page.read_text() == f"{first}between{expected}"


def test_a_page_without_its_section_is_named(tmp_path):
    for page in {section.page for section in report.SECTIONS.values()}:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text((ROOT / page).read_text())
    assert report.stale(tmp_path) == report.stale()
    (tmp_path / "docs/onnx.md").write_text("no marks")
    with pytest.raises(DataError, match=r"docs/onnx\.md: has no .*onnx"):
        report.stale(tmp_path)


@pytest.fixture
def job(tmp_path):
    """A job whose evaluation is done."""

    def measured(nll, energy, kid, **others):
        return {
            "nll": {"mean": nll, "se": 0.01},
            "energy": {"mean": energy, "se": 0.2},
            "best_of_8": {"mean": 3.486, "se": 0.1},
            "kid_lite0": {"mean": kid, "se": 0.0003},
            **others,
        }

    tints = {"best_of_8": {"mean": 3.0, "se": None, "sigma": 12.0}}
    references = {
        "tint": tints,
        "tint*": tints,
        "saturations": {"best_of_8": {"mean": 4.0, "se": 0.1}},
        "gray": measured(None, None, 0.048),
        "truth": measured(None, None, 0.0046),
    }
    first = measured(-0.8049, 8.6049, 0.0054, exploding=3, photos=600, samples=8, **references)
    own = references | {"tint*": tints | {"best_of_8": tints["best_of_8"] | {"mean": 2.5}}}
    default = measured(-0.8049, 9.0, 0.0095, exploding=0, **own)
    (tmp_path / "evaluation.json").write_text(json.dumps([first, default]))
    return report.Job(tmp_path, tmp_path, tmp_path, None, None)


def lines_of(table):
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]


def cells(table):
    return {name: row for name, *row in lines_of(table)}


def test_the_readme_has_a_row_for_each_model_and_reference(job):
    rows = cells(report.readme(job))
    columns = dict(zip(rows[""], range(9), strict=False))
    first = rows["temperature 1"]
    assert first[columns["energy"]] == "8.60 ± 0.20"
    assert first[columns["best_of_8"]] == "3.49 ± 0.10"
    assert first[columns["kid_lite0 x 1000"]] == "5.4 ± 0.3"
    assert first[columns["exploding"]] == "3 of 4800"
    assert rows[f"the default, `{report.SETTING}`"][columns["kid_lite0 x 1000"]] == "9.5 ± 0.3"
    assert rows["gray photo"][columns["energy"]] == "-"


def test_each_setting_is_followed_by_its_own_controls(job):
    lines = lines_of(report.readme(job))
    column = lines[0].index("best_of_8")
    best, saturations = report.CONTROLS["tint*"], report.CONTROLS["saturations"]
    assert [(line[0], line[column]) for line in lines[2:8]] == [
        ("temperature 1", "3.49 ± 0.10"),
        (best, "3.00 (12)"),
        (saturations, "4.00 ± 0.10"),
        (f"the default, `{report.SETTING}`", "3.49 ± 0.10"),
        (best, "2.50 (12)"),
        (saturations, "4.00 ± 0.10"),
    ]


def test_the_model_card_has_a_row_for_each_measure(job):
    rows = cells(report.card(job))
    assert [*rows] == ["", "---", "nll", "energy", "best_of_8", "kid_lite0 x 1000", "exploding samples"]
    own, saturations = "3.49 ± 0.10", "4.00 ± 0.10"
    of_first, of_default = ["3.00 (12)", "3.00 (12)", saturations], ["3.00 (12)", "2.50 (12)", saturations]
    assert rows["best_of_8"] == [own, *of_first, own, *of_default, own, own]
    assert rows["exploding samples"] == ["3", "-", "-", "-", "0", *["-"] * 5]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "scripts/report.py", *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


@pytest.mark.ci
def test_a_trial_prints_keeps_what_it_made_and_changes_no_page(tmp_path):
    page = (ROOT / "docs/gallery.md").read_bytes()
    picture = (ROOT / "docs/images/samples-1.jpg").read_bytes()
    done = run("peers", "samples", "--photos", 1, "--run", tmp_path)
    assert done.returncode == 1  # of peers, whose clones are missing; samples are made all the same
    assert "peers requires --clones" in done.stderr
    assert done.stderr.splitlines()[-1] == "report.py: not made: peers; run the command again"
    assert done.stdout.startswith("## samples\n\nPhotos: 1.")
    (made,) = tmp_path.rglob("samples-1.jpg")
    assert (ROOT / "docs/gallery.md").read_bytes() == page
    assert (ROOT / "docs/images/samples-1.jpg").read_bytes() == picture
    made.unlink()
    again = run("samples", "--photos", 1, "--run", tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")
    assert not made.exists()


def test_what_there_is_is_listed_and_nothing_else_is_accepted():
    lines = run("--list").stdout.splitlines()
    assert {line.split()[0] for line in lines} == set(report.SECTIONS)
    assert {line.split()[0] for line in lines if "stale" in line} == set(report.stale())
    wrong = run("hint")
    assert wrong.returncode == 2
    assert wrong.stderr.splitlines()[-1].startswith("report.py: error: 'hint' is not one of readme, ")
