"""Make the figures of the docs again that new weights make stale.

    python scripts/report.py                       # all that are stale
    python scripts/report.py temperature hints     # these
    python scripts/report.py --list                # what there is, how long it takes, and what is stale
    python scripts/report.py hints --photos 3      # a trial on a few photos: prints, and changes no page

A section stands in its page between ``<!-- report: NAME weights=SHA -->`` and ``<!-- end -->``, with the
SHA-256 of the weights that it is of; it is stale if the registry names other ones. Its pictures lie in
docs/images. What is finished is kept under --run, by weights, and taken from there when the command runs
again: after a stop it continues, and to measure anew, remove the folder. Tables and pictures are made, the
sentences around them are not: the command ends with the pages to read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import CinnError
from cinn_colorize.latents.levels import short_levels
from cinn_colorize.models.registry import MODELS

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- report: (\S+) weights=([0-9a-f]{64}) -->\n(.*?)<!-- end -->", re.DOTALL)
BACKBONE = ROOT / "weights/backbone.safetensors"  # scripts/compare accepts no other
VALIDATION, DEV, OTHERS = "photos-val.zip", "photos-dev.zip", "photos-train-0.zip"
FIGURES = ("1", "4", "6", "7", "11", "12", "14", "15")
SWEPT = ("1", "0.7,8:0.8", "0.7,8:0.75@0.3", "0.7,8:0.8@0.4")  # beside the default, in docs/temperature.md
README_COLUMNS = ("nll", "best_of_8", "best_of_8_image", "best_of_1", "objects", "hue_8", "kid_lite0")
DIGITS = {"variance": 1, "top5_lite0": 1, "nll": 3, "structure": 3, "alignment": 3, "objects": 3}
TIMES = {"kid_lite0": 1000}  # too small to be read otherwise
ROWS = {  # references, by their name in JSON
    "gray": "gray photo",
    "truth": "own colours at 64 px",
}
TINTS = {"tint": "its centre in random tints", "tint*": "its centre in the best tints"}  # of each setting


@dataclass(frozen=True)
class Job:
    """What sections are made with.

    Attributes:
        data: folder of the photos.
        folder: keeps what is finished.
        images: receives pictures; they are kept with what is finished.
        photos: number of photos of a trial; None for all.
        clones: folder with clones of other colorizers.
    """

    data: Path
    folder: Path
    images: Path
    photos: int | None
    clones: Path | None

    def run(self, *command: object, stderr: int | None = None) -> str:
        """Run Python in the root of the repository and return what it prints.

        Raises:
            CalledProcessError: it failed; it has said why on stderr.
        """
        words = [sys.executable, *map(str, command)]
        done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=stderr, text=True)
        return done.stdout.strip()

    def every(self, photos: Path, at_most: int | None = None) -> int:
        """Return which share of the photos to measure: every n-th."""
        wanted = self.photos or at_most
        return max(1, len(find_photos(photos, None)) // wanted) if wanted else 1

    def limited(self, option: str, few: int | None = None) -> list[object]:
        """Return an option that limits the number of photos or rounds in a trial."""
        return [option, few or self.photos] if self.photos else []

    @cached_property
    def evaluation(self) -> list[dict[str, Any]]:
        """What ``evaluate --json`` prints for the validation photos, of the model as learnt and as used."""
        kept, photos = self.folder / "evaluation.json", self.data / VALIDATION
        if not kept.exists():
            command = ["-m", "cinn_colorize", "evaluate", photos, "--json"]
            command += ["--metrics", "kid_lite0,top5_lite0", "--reference", self.data / OTHERS]
            command += ["--labels", self.data / "photos-val-labels.tsv", "--every", self.every(photos)]
            command += self.limited("--reference-limit", 16)
            settings = (["-t", 1], ["-t", default(), "--guidance", guidance()])
            made = [json.loads(self.run(*command, *setting)) for setting in settings]
            kept.write_text(json.dumps(made))
        found: list[dict[str, Any]] = json.loads(kept.read_text())
        return found


def default() -> str:
    """Return the default temperature of ``natural`` as ``-t`` accepts it."""
    return short_levels(MODELS["natural"].temperature)


def guidance() -> float:
    """Return the default guidance of ``natural``."""
    return MODELS["natural"].guidance or 0.0


def setting() -> str:
    """Return default temperature and guidance of ``natural`` as ``settings.py`` accepts them."""
    return default() + (f"@{guidance():g}" if guidance() else "")


def rows(evaluation: list[dict[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the rows of an evaluation with titles: each setting and its tints, and the references."""
    first, other = evaluation
    other = {name: value for name, value in other.items() if name != "nll"}  # always that at temperature 1
    found: list[tuple[str, Mapping[str, Any]]] = []
    for of_setting, row in (("temperature 1", first), (f"the default, `{setting()}`", other)):
        found += [(of_setting, row), *((of_tints, row[name]) for name, of_tints in TINTS.items())]
    return found + [(of_reference, first[name]) for name, of_reference in ROWS.items()]


def cell(name: str, measure: Mapping[str, Any] | None) -> str:
    """Format a measure with its standard error and, for ``tint*``, the deviation of the tints."""
    if measure is None or measure["mean"] is None:
        return "-"
    digits, times = DIGITS.get(name, 2), TIMES.get(name, 1)
    text = f"{times * measure['mean']:.{1 if times > 1 else digits}f}"
    if measure["se"] is not None:
        text += f" ± {times * measure['se']:.{1 if times > 1 else digits}f}"
    return text + (f" ({measure['sigma']:g})" if "sigma" in measure else "")


def title(name: str) -> str:
    """Return the title of a measure."""
    return f"{name} x {TIMES[name]}" if name in TIMES else name


def table(*lines: list[str]) -> str:
    """Format a Markdown table; the first line is its head."""
    head, *body = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def readme(job: Job) -> str:
    """Make the table of the README: a row for each model and reference."""
    samples = job.evaluation[0]["photos"] * job.evaluation[0]["samples"]
    lines = [["", *map(title, README_COLUMNS), "exploding"]]
    for row, found in rows(job.evaluation):
        exploding = f"{found['exploding']} of {samples}" if "exploding" in found else "-"
        lines.append([row, *(cell(name, found.get(name)) for name in README_COLUMNS), exploding])
    return table(*lines)


def card(job: Job) -> str:
    """Make the table of the model card: a row for each measure."""
    found = rows(job.evaluation)
    measures = [name for name, value in job.evaluation[0].items() if _is_measure(value)]
    return table(
        ["", *(of_row for of_row, _ in found)],
        *([title(name), *(cell(name, row.get(name)) for _, row in found)] for name in measures),
        ["exploding samples", *(str(row.get("exploding", "-")) for _, row in found)],
    )


def _is_measure(value: object) -> bool:
    return isinstance(value, dict) and set(value) >= {"mean", "se"}


def calibration(job: Job) -> str:
    """Draw the calibration plot."""
    photos = job.data / DEV
    every = job.every(photos, 100)
    command = ["-m", "cinn_colorize", "evaluate", photos, "--every", every, "--overwrite"]
    job.run(*command, "--plot", job.images / "calibration.png")
    return f"Photos: {len(find_photos(photos, None)[::every])}, one in {every} of `{DEV}`."


def temperature(job: Job) -> str:
    """Measure errors and variety by temperature."""
    command = ["scripts/measure/settings.py", job.data / DEV, job.data / OTHERS, setting(), *SWEPT]
    return job.run(*command, "--photos", job.photos or 60)


def hints(job: Job) -> str:
    """Measure what hints do."""
    return job.run("scripts/measure/hints.py", job.data / DEV, *job.limited("-n"))


def likeliest(job: Job) -> str:
    """Look for the likeliest colours."""
    shown = [
        f"examples/{name}" for name in ("astronaut.png", "coffee.png", "perched-osprey.jpg", "rocket.jpg")
    ]
    command = ["scripts/measure/likeliest.py", job.data / DEV, "--show", *shown[: job.photos]]
    return job.run(*command, "--out", job.images / "likeliest.jpg", *job.limited("-n"))


def onnx(job: Job) -> str:
    """Time both engines."""
    return job.run("scripts/measure/engines.py", "examples/tea-gardens.jpg", *job.limited("-r", 1))


def samples(job: Job) -> str:
    """Draw the contact sheets of the examples."""
    photos = sorted((ROOT / "examples").glob("*.jpg")) + sorted((ROOT / "examples").glob("[!p]*.png"))
    shown = photos[: job.photos]
    job.run("scripts/paper/contact_sheet.py", *shown, "--output-dir", job.images)
    return f"Photos: {len(shown)}."


def figures(job: Job) -> str:
    """Draw the paper's figures, and find out which tile of Fig. 1 is real."""
    command = ["scripts/paper/figures.py", *FIGURES, "--output-dir", job.images]
    said = job.run(*command, stderr=subprocess.STDOUT)
    (real,) = re.findall(r"figure 1: the photo's own colours are (\w)", said)
    return f"Fig. 1: {real} is real."


def pictures(job: Job) -> str:
    """Draw the pictures of README, docs/latent.md and docs/hints.md with the commands beside them."""
    made = job.run("scripts/paper/doc_pictures.py", "--output-dir", job.images)
    return f"Pictures: {len(made.splitlines())}, here, in the README and in [hints.md](hints.md)."


def latent(job: Job) -> str:
    """Measure how exact codes are."""
    return job.run("scripts/measure/latents.py", job.data / DEV, *job.limited("--limit"))


def compared(job: Job, name: str, photos: str, every: int, *options: object) -> str:
    """Print a table of the comparison; its rows are kept in the folder that its methods are trained in."""
    run = job.folder / "compare" if job.photos else ROOT / "runs/compare"
    if name in ("photos", "rooms"):  # resumes, or finds all trained
        train = ["scripts/compare/train.py", "all", "--data", job.data, "--run", run]
        job.run(*train, "--rooms", job.data / "interiors-train.zip", *job.limited("--photos", 48))
    zipped = job.data / photos
    command = ["scripts/compare/evaluate.py", name, zipped, "--run", run, *options]
    return job.run(*command, "--every", job.every(zipped) if job.photos else every)


def compared_photos(job: Job, name: str, every: int) -> str:
    """Print a table of natural photos; see :func:`compared`."""
    labels = job.data / "photos-val-labels.tsv"
    return compared(job, name, VALIDATION, every, "--reference", job.data / OTHERS, "--labels", labels)


def compared_rooms(job: Job, name: str) -> str:
    """Print a table of rooms; see :func:`compared`."""
    return compared(job, name, "interiors-val.zip", 1, "--reference", job.data / "interiors-train.zip")


def comparison(job: Job) -> str:
    """Compare the methods on natural photos, and draw their samples."""
    text = compared_photos(job, "photos", 2)
    run = job.folder / "compare" if job.photos else ROOT / "runs/compare"
    shown = ["beacon-street-sunset", "blue-periwinkle", "chelsea", "coffee", "oakland-zoo-otters"]
    command = ["scripts/compare/pictures.py", "photos", "examples", job.images / "comparison.jpg"]
    job.run(*command, "--run", run, "--names", *shown, "tea-gardens")
    return text


def beside(job: Job) -> str:
    """Measure the shipped weights on the photos of the comparison."""
    return compared_photos(job, "shipped", 2)


def rooms(job: Job) -> str:
    """Compare on rooms."""
    return compared_rooms(job, "rooms")


def shipped_rooms(job: Job) -> str:
    """Measure the shipped weights of ``bedrooms`` and ``natural`` on the same rooms."""
    return compared_rooms(job, "shipped-rooms")


def upsampling(job: Job) -> str:
    """Compare ways to enlarge the colours."""
    return compared_photos(job, "upsampling", 8)


def peers(job: Job) -> str:
    """Time other colorizers beside this one."""
    if job.clones is None:
        raise ValueError("peers requires --clones, a folder with clones of DDColor and DeOldify")
    return job.run("scripts/benchmarks/peers.py", job.clones, *job.limited("--repeats", 1))


class Section(NamedTuple):
    """A part of a page.

    Attributes:
        page: the file, relative to the root.
        minutes: about how long it takes on two idle cores.
        make: makes its text, and its pictures.
        model: whose weights it is of; ``backbone`` is the one that the methods of the comparison share.
    """

    page: str
    minutes: int
    make: Callable[[Job], str]
    model: str = "natural"


SECTIONS = {
    "readme": Section("README.md", 20, readme),
    "card": Section("weights/MODEL_CARD.md", 1, card),  # after readme, whose evaluation it shows
    "calibration": Section("docs/evaluation.md", 3, calibration),
    "temperature": Section("docs/temperature.md", 5, temperature),
    "hints": Section("docs/hints.md", 5, hints),
    "likeliest": Section("docs/temperature.md", 5, likeliest),
    "onnx": Section("docs/onnx.md", 3, onnx),
    "samples": Section("docs/gallery.md", 1, samples),
    "figures": Section("docs/paper.md", 3, figures),
    "pictures": Section("docs/latent.md", 4, pictures),
    "latent": Section("docs/latent.md", 3, latent),
    "comparison": Section("docs/comparison.md", 120, comparison, "backbone"),
    "shipped": Section("docs/comparison.md", 15, beside),
    "rooms": Section("docs/comparison.md", 10, rooms, "bedrooms"),
    "shipped-rooms": Section("docs/comparison.md", 10, shipped_rooms),
    "upsampling": Section("docs/comparison.md", 15, upsampling),
    "peers": Section("docs/benchmarks.md", 15, peers),
}


def shipped(name: str) -> str:
    """Return the SHA-256 of the weights that a section should be of."""
    model = SECTIONS[name].model
    if model == "backbone":
        return hashlib.sha256(BACKBONE.read_bytes()).hexdigest()
    sha = MODELS[model].sha256
    assert sha
    return sha


def sections_of(text: str) -> dict[str, str]:
    """Return the SHA-256 of the sections in a page by their names."""
    return {name: sha for name, sha, _ in MARKED.findall(text)}


def stale(root: Path = ROOT) -> list[str]:
    """Return the names of the sections that are of other weights than the shipped ones.

    Raises:
        ValueError: a page lacks one of its sections.
    """
    names = []
    for name, section in SECTIONS.items():
        found = sections_of((root / section.page).read_text(encoding="utf-8"))
        if name not in found:
            raise ValueError(f"{section.page}: has no <!-- report: {name} weights=SHA -->")
        if found[name] != shipped(name):
            names.append(name)
    return names


def write(page: Path, name: str, sha: str, text: str) -> None:
    """Replace a section of a page.

    Args:
        page: the file.
        name: name of the section.
        sha: SHA-256 of the weights.
        text: Markdown.
    """
    content = page.read_text(encoding="utf-8")

    def replaced(found: re.Match[str]) -> str:
        return (
            found[0] if found[1] != name else f"<!-- report: {name} weights={sha} -->\n{text}\n<!-- end -->"
        )

    page.write_text(MARKED.sub(replaced, content), encoding="utf-8")


def made(name: str, job: Job) -> str:
    """Return the text of a section, made now or earlier."""
    kept = job.folder / f"{name}.md"
    if not kept.exists():
        start = time.perf_counter()
        text = SECTIONS[name].make(job)
        kept.write_text(f"{text}\n\nWeights `{shipped(name)[:8]}` of `{SECTIONS[name].model}`.")
        print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes", file=sys.stderr, flush=True)
    return kept.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--list", action="store_true", help="list sections, make none")
    parser.add_argument("--photos", type=int, metavar="N", help="try on N photos; print, and write no page")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="folder of the photos")
    parser.add_argument("--clones", type=Path, help="folder with clones of DDColor and DeOldify, for peers")
    parser.add_argument("--run", type=Path, default=ROOT / "runs/report", help="keeps what is finished")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in SECTIONS]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(SECTIONS)}")
    if arguments.photos is not None and arguments.photos < 1:
        parser.error("--photos must be 1 or more")
    try:
        old = stale()
    except ValueError as error:
        sys.exit(f"report.py: {error}")
    if arguments.list:
        for name, section in SECTIONS.items():
            state = "stale" if name in old else "fresh"
            print(f"{name:<12} {section.minutes:>4} min  {state}  {section.page}")
        return
    names, failed = arguments.sections or old, []
    for name in names:
        # Defaults change what is made too, and a kept picture is of what is kept beside it.
        folder = (arguments.run / f"{shipped(name)[:12]}-{setting().replace(':', '-')}").resolve()
        if arguments.photos:
            folder = folder / f"trial-{arguments.photos}"
        images = folder / f"{name}-images"
        images.mkdir(parents=True, exist_ok=True)
        data, clones = arguments.data.resolve(), arguments.clones and arguments.clones.resolve()
        try:
            text = made(name, Job(data, folder, images, arguments.photos, clones))
        except (subprocess.CalledProcessError, CinnError, ValueError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        print(f"## {name}\n\n{text}\n", flush=True)
        if not arguments.photos:
            write(ROOT / SECTIONS[name].page, name, shipped(name), text)
            shutil.copytree(images, ROOT / "docs/images", dirs_exist_ok=True)
    pages = sorted({SECTIONS[name].page for name in names if name not in failed})
    if pages and not arguments.photos:
        print(f"Read again what is said around them: {', '.join(pages)}", file=sys.stderr)
    if failed:
        sys.exit(f"report.py: not made: {', '.join(failed)}; run the command again")


if __name__ == "__main__":
    main()
