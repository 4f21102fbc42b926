"""Make the figures of the docs again that new weights make stale.

    python scripts/report.py                       # all that are stale
    python scripts/report.py temperature hints     # these
    python scripts/report.py --list                # what there is, how long it takes, and what is stale
    python scripts/report.py hints --photos 3      # a trial on a few photos: prints, and changes no page

A section stands in its page between ``<!-- report: NAME weights=SHA -->`` and ``<!-- end -->``; it is stale
if the registry has weights of another SHA-256. Its pictures lie in docs/images. What is finished is kept
under --run, so that a stopped command continues; remove the folder to measure anew. Sentences around tables
are not written: the command ends with the pages to read.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from cinn_colorize.data.sources import find_photos
from cinn_colorize.errors import CinnError, DataError, ending_in_a_line
from cinn_colorize.files.atomic import sha256
from cinn_colorize.latents.levels import short_levels
from cinn_colorize.models.registry import MODELS

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"<!-- report: (\S+) weights=([0-9a-f]{64}) -->\n(.*?)<!-- end -->", re.DOTALL)
BACKBONE = ROOT / "weights/backbone.safetensors"  # scripts/compare accepts no other
VALIDATION, DEV, OTHERS = "photos-val.zip", "photos-dev.zip", "photos-train-0.zip"
EVALUATE: tuple[object, ...] = ("-m", "cinn_colorize", "evaluate")
LABELS = "photos-val-labels.tsv"
TEMPERATURE, GUIDANCE = short_levels(MODELS["natural"].temperature), MODELS["natural"].guidance or 0.0
SETTING = TEMPERATURE + (f"@{GUIDANCE:g}" if GUIDANCE else "")  # as settings.py accepts it
SWEPT = ("1", "0.7,8:0.8@0.3", "0.7,8:0.8,1:0.2@0.3", "0.7,8:0.8,1:0.4", "0.7,8:0.8,1:0.4@0.4")  # beside it
FIGURES = ("1", "4", "6", "7", "11", "12", "14", "15")
LIKELIEST = ("astronaut.png", "coffee.png", "perched-osprey.jpg", "rocket.jpg")
COMPARED = "beacon-street-sunset blue-periwinkle chelsea coffee oakland-zoo-otters tea-gardens"
README_COLUMNS = ("energy", "best_of_8", "best_of_8_image", "best_of_1", "calibration", "hue_8", "kid_lite0")
DIGITS = {"variance": 1, "top5_lite0": 1, "nll": 3, "structure": 3, "alignment": 3, "objects": 3}
TIMES, TITLES = {"kid_lite0": 1000}, {"kid_lite0": "kid_lite0 x 1000"}  # too small to be read otherwise
ROWS = {"gray": "gray photo", "truth": "true colours at 64 px"}  # references, by their name in JSON
CONTROLS = {  # of a setting; the README leaves out the first
    "tint": "temperature 0 in random tints",
    "tint*": "temperature 0 in the best tints",
    "saturations": "temperature 0 in saturations",
}


@dataclass(frozen=True)
class Job:
    """What sections are made with."""

    data: Path  # folder of the photos
    folder: Path  # keeps what is finished
    images: Path  # receives pictures
    photos: int | None  # of a trial; None for all
    clones: Path | None  # folder with clones of other colorizers

    def run(self, *command: object, stderr: int | None = None) -> str:
        """Run Python in the root of the repository, on files of :attr:`data`, and return what it prints."""
        words = [self.data / word if word.endswith((".zip", ".tsv")) else word for word in map(str, command)]
        options: dict[str, Any] = {"cwd": ROOT, "check": True, "text": True, "stderr": stderr}
        done = subprocess.run([sys.executable, *map(str, words)], stdout=subprocess.PIPE, **options)
        return str(done.stdout).strip()

    @property
    def compare(self) -> Path:  # where the methods of the comparison are trained
        return self.folder / "compare" if self.photos else ROOT / "runs/compare"

    def every(self, photos: str, at_most: int | None = None) -> int:
        wanted = self.photos or at_most
        return max(1, len(find_photos(self.data / photos, None)) // wanted) if wanted else 1

    def limited(self, option: str, few: int | None = None) -> list[object]:
        """Return an option that limits the number of photos or rounds in a trial."""
        return [option, few or self.photos] if self.photos else []

    @cached_property
    def evaluation(self) -> list[dict[str, Any]]:
        """What ``evaluate --json`` prints for the validation photos, of the model as learnt and as used."""
        kept = self.folder / "evaluation.json"
        if not kept.exists():
            command = [*EVALUATE, VALIDATION, "--json", "--reference", OTHERS, "--labels", LABELS]
            command += ["--metrics", "kid_lite0,top5_lite0", "--every", self.every(VALIDATION)]
            command += self.limited("--reference-limit", 16)
            settings = (["-t", 1], ["-t", TEMPERATURE, "--guidance", GUIDANCE])
            made = ", ".join(self.run(*command, *setting) for setting in settings)
            kept.write_text(f"[{made}]")
        return list(json.loads(kept.read_text()))


def rows(evaluation: list[dict[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the rows of an evaluation with titles: each setting and its controls, and the references."""
    first, other = evaluation
    other = other | {"nll": None}  # which is always that at temperature 1
    found: list[tuple[str, Mapping[str, Any]]] = []
    for of_setting, row in (("temperature 1", first), (f"the default, `{SETTING}`", other)):
        found += [(of_setting, row), *((title, row[name]) for name, title in CONTROLS.items())]
    return found + [(of_reference, first[name]) for name, of_reference in ROWS.items()]


def cell(name: str, measure: Mapping[str, Any] | None) -> str:
    """Format a measure with its standard error and, for ``tint*``, the deviation of the tints."""
    if measure is None or measure["mean"] is None:
        return "-"
    digits, times = DIGITS.get(name, 2), TIMES.get(name, 1)
    values = (times * measure[part] for part in ("mean", "se") if measure[part] is not None)
    text = " ± ".join(f"{value:.{1 if times > 1 else digits}f}" for value in values)
    return text + (f" ({measure['sigma']:g})" if "sigma" in measure else "")


def table(*lines: list[str]) -> str:
    """Format a Markdown table; the first line is its head."""
    head, *rows = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rows])


def readme(job: Job) -> str:
    """Make the table of the README: a row for each model and reference."""
    samples = job.evaluation[0]["photos"] * job.evaluation[0]["samples"]
    lines = [["", *(TITLES.get(name, name) for name in README_COLUMNS), "exploding"]]
    for row, found in (row for row in rows(job.evaluation) if row[0] != CONTROLS["tint"]):
        exploding = f"{found['exploding']} of {samples}" if "exploding" in found else "-"
        lines.append([row, *(cell(name, found.get(name)) for name in README_COLUMNS), exploding])
    return table(*lines)


def card(job: Job) -> str:
    """Make the table of the model card: a row for each measure."""
    found = rows(job.evaluation)
    parts = job.evaluation[0].items()
    measures = [name for name, part in parts if isinstance(part, dict) and {"mean", "se"} <= {*part}]
    lines = [[TITLES.get(name, name), *(cell(name, row.get(name)) for _, row in found)] for name in measures]
    lines.append(["exploding samples", *(str(row.get("exploding", "-")) for _, row in found)])
    return table(["", *(of_row for of_row, _ in found)], *lines)


def calibration(job: Job) -> str:
    every = job.every(DEV, 100)
    job.run(*EVALUATE, DEV, "--every", every, "--overwrite", "--plot", job.images / "calibration.png")
    return f"Photos: {len(find_photos(job.data / DEV, None)[::every])}, one in {every} of `{DEV}`."


def likeliest(job: Job) -> str:
    command = ["scripts/measure/likeliest.py", DEV, "--out", job.images / "likeliest.jpg", *job.limited("-n")]
    return job.run(*command, "--show", *(f"examples/{name}" for name in LIKELIEST[: job.photos]))


def samples(job: Job) -> str:
    photos = [path for kind in ("*.jpg", "[!p]*.png") for path in sorted((ROOT / "examples").glob(kind))]
    job.run("scripts/paper/contact_sheet.py", *photos[: job.photos], "--output-dir", job.images)
    return f"Photos: {len(photos[: job.photos])}."


def figures(job: Job) -> str:
    """Draw the paper's figures, and find out which tile of Fig. 1 is real."""
    said = job.run("scripts/paper/figures.py", *FIGURES, "--output-dir", job.images, stderr=subprocess.STDOUT)
    (real,) = re.findall(r"own colours are (\w)", said)
    return f"Fig. 1: {real} is real."


def pictures(job: Job) -> str:
    made = job.run("scripts/paper/doc_pictures.py", "--output-dir", job.images)
    return f"Pictures: {len(made.splitlines())}, here, in the README and in [hints.md](hints.md)."


def printed(*command: str, limit: str, few: int | None = None) -> Callable[[Job], str]:
    """Return what makes a section of what a script prints; ``limit`` is its option for trials."""
    return lambda job: job.run(*command, *job.limited(limit, few))


def compared(job: Job, name: str, every: int = 1) -> str:
    """Make a table of the comparison; its rows are kept where its methods are trained."""
    rooms = name.endswith("rooms")
    if name in ("photos", "rooms", "table-1"):  # resumes, or finds all trained
        train = ["scripts/compare/train.py", "all", "--data", job.data, "--run", job.compare]
        job.run(*train, "--rooms", "interiors-train.zip", *job.limited("--photos", 48))
    photos = "interiors-val.zip" if rooms else VALIDATION
    command = ["scripts/compare/evaluate.py", name, photos, "--run", job.compare]
    command += ["--every", job.every(photos) if job.photos else every]
    command += ["--reference", "interiors-train.zip" if rooms else OTHERS]
    return job.run(*command, *([] if rooms else ["--labels", LABELS]))


def comparison(job: Job) -> str:
    """Compare the methods on natural photos, and draw their samples."""
    text = compared(job, "photos", 2)
    command = ["scripts/compare/pictures.py", "photos", "examples", job.images / "comparison.jpg"]
    job.run(*command, "--run", job.compare, "--names", *COMPARED.split())
    return text


def peers(job: Job) -> str:
    if job.clones is None:
        raise DataError("peers requires --clones, a folder with clones of DDColor and DeOldify")
    return job.run("scripts/benchmarks/peers.py", job.clones, *job.limited("--repeats", 1))


class Section(NamedTuple):
    """A part of a page."""

    page: str  # relative to the root
    minutes: int  # about how long it takes on two idle cores
    make: Callable[[Job], str]  # its text, and its pictures
    model: str = "natural"  # whose weights it is of; the methods of the comparison share a ``backbone``


ENGINES = ("scripts/benchmarks/engines.py", "examples/tea-gardens.jpg")
SETTINGS = ("scripts/measure/settings.py", DEV, OTHERS, SETTING, *SWEPT, "--photos")
SECTIONS = {
    "readme": Section("README.md", 20, readme),
    "card": Section("weights/MODEL_CARD.md", 1, card),  # after readme, whose evaluation it shows
    "calibration": Section("docs/evaluation.md", 3, calibration),
    "temperature": Section("docs/temperature.md", 5, lambda job: job.run(*SETTINGS, job.photos or 60)),
    "hints": Section("docs/hints.md", 5, printed("scripts/measure/hints.py", DEV, limit="-n")),
    "things": Section("docs/hints.md", 10, printed("scripts/measure/hints.py", DEV, "--things", limit="-n")),
    "likeliest": Section("docs/temperature.md", 5, likeliest),
    "onnx": Section("docs/onnx.md", 3, printed(*ENGINES, limit="-r", few=1)),
    "samples": Section("docs/gallery.md", 1, samples),
    "figures": Section("docs/paper.md", 3, figures),
    "pictures": Section("docs/latent.md", 4, pictures),
    "latent": Section("docs/latent.md", 3, printed("scripts/measure/latents.py", DEV, limit="--limit")),
    "comparison": Section("docs/comparison.md", 120, comparison, "backbone"),
    # After comparison, whose rows it has.
    "table-1": Section("docs/comparison.md", 1, partial(compared, name="table-1", every=2), "backbone"),
    "shipped": Section("docs/comparison.md", 15, partial(compared, name="shipped", every=2)),
    "rooms": Section("docs/comparison.md", 10, partial(compared, name="rooms"), "bedrooms"),
    "shipped-rooms": Section("docs/comparison.md", 10, partial(compared, name="shipped-rooms")),
    "upsampling": Section("docs/comparison.md", 15, partial(compared, name="upsampling", every=8)),
    "peers": Section("docs/benchmarks.md", 15, peers),
}


def shipped(name: str) -> str:
    model = SECTIONS[name].model
    return sha256(BACKBONE) if model == "backbone" else str(MODELS[model].sha256)


def stale(root: Path = ROOT) -> list[str]:
    """Return the names of the sections that are of other weights than the shipped ones."""
    found = []
    for name, section in SECTIONS.items():
        marked = MARKED.findall((root / section.page).read_text(encoding="utf-8"))
        sha = {of_name: sha for of_name, sha, _ in marked}.get(name)
        if not sha:
            raise DataError(f"{section.page}: has no <!-- report: {name} weights=SHA -->")
        found += [name] if sha != shipped(name) else []
    return found


def write(page: Path, name: str, sha: str, text: str) -> None:
    """Replace a section of a page by Markdown, made with the weights of this SHA-256."""
    section = f"<!-- report: {name} weights={sha} -->\n{text}\n<!-- end -->"
    before = page.read_text(encoding="utf-8")
    page.write_text(MARKED.sub(lambda old: section if old[1] == name else old[0], before), encoding="utf-8")


def made(name: str, job: Job) -> str:
    """Return the text of a section, made now or earlier."""
    kept = job.folder / f"{name}.md"
    if not kept.exists():
        start = time.perf_counter()
        text = SECTIONS[name].make(job)
        kept.write_text(f"{text}\n\nWeights `{shipped(name)[:8]}` of `{SECTIONS[name].model}`.")
        print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes", file=sys.stderr, flush=True)
    return kept.read_text()


@ending_in_a_line
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
    old = stale()
    if arguments.list:
        for name, (page, minutes, *_) in SECTIONS.items():
            print(f"{name:<12} {minutes:>4} min  {'stale' if name in old else 'fresh'}  {page}")
        return
    names, failed = arguments.sections or old, []
    for name in names:
        kept = f"{shipped(name)[:12]}-{SETTING.replace(':', '-')}"  # defaults change what is made too
        folder = arguments.run.resolve() / kept / (f"trial-{arguments.photos}" if arguments.photos else "")
        images = folder / f"{name}-images"
        images.mkdir(parents=True, exist_ok=True)
        clones = arguments.clones and arguments.clones.resolve()
        try:
            text = made(name, Job(arguments.data.resolve(), folder, images, arguments.photos, clones))
        except (subprocess.CalledProcessError, CinnError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        print(f"## {name}\n\n{text}\n", flush=True)
        if not arguments.photos:
            write(ROOT / SECTIONS[name].page, name, shipped(name), text)
            shutil.copytree(images, ROOT / "docs/images", dirs_exist_ok=True)
    pages = sorted({SECTIONS[name].page for name in names if name not in failed})
    if pages and not arguments.photos:
        print(f"Read the sentences around them again: {', '.join(pages)}", file=sys.stderr)
    if failed:
        sys.exit(f"report.py: not made: {', '.join(failed)}; run the command again")


if __name__ == "__main__":
    main()
