"""What the command line writes, recorded, so that two versions of the code can be compared to the byte.

    python scripts/measure/outputs.py record BEFORE --source OLD
    python scripts/measure/outputs.py record AFTER
    python scripts/measure/outputs.py compare BEFORE/outputs.json AFTER/outputs.json

For changes that must not change what the program does. ``record`` makes small photos of the examples and
runs the calls of output_calls.py on them, with many ways of drawing and wrong input. ``outputs.json`` gets
the exit code, stdout and stderr of each call, and of each file that it wrote or removed:

- tables, manifests among them, line by line;
- pictures: the SHA-256 of the file and of its decoded pixels, their layout, its metadata and its recipe;
- ONNX files: the SHA-256 without what tells where in the source a node comes from;
- other files: their SHA-256.

Names of folders, times and speeds are replaced or left out, and nothing else: both records have to be made on
the same machine, with the same packages. Lines that come in any order, as those of several workers do, are
sorted. ``compare`` prints what differs, recipes key by key, and exits with 1 if anything does.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyvips
from output_calls import CALLS, Call, make_inputs

ROOT = Path(__file__).parents[2]
RECIPE = "{https://cinn-colorize.readthedocs.io/ns/recipe/1.0/}"
PICTURES = (".jpg", ".png", ".tif", ".tiff", ".webp", ".avif")
METADATA = ("exif-data", "iptc-data", "icc-profile-data", "orientation")
TIMES = ("ms", "photos_per_second")  # columns of tables
SPEEDS = re.compile(r"\d+ s(, [\d.]+ photos/s)?$|[\d.]+ photos/s|\d+:\d\d:\d\d", re.MULTILINE)
FOREIGN = {"tensorboard", "Microsoft"}  # folders of what torch and onnxruntime note for themselves
SOURCES = ("namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.stack_trace")  # of ONNX nodes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="run the calls")
    recording.add_argument("folder", type=Path, metavar="FOLDER", help="for the record; a new one")
    recording.add_argument("--python", default=sys.executable, metavar="EXE", help="that runs the code")
    recording.add_argument("--source", type=Path, default=ROOT, metavar="DIR", help="where the code lies")
    recording.add_argument("--only", default="", metavar="REGEX", help="calls whose names match")
    comparing = commands.add_parser("compare", help="print what differs")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        calls = [call for call in CALLS if re.search(arguments.only, call.name)]
        record(arguments.folder.resolve(), arguments.python, arguments.source.resolve(), calls)
        return
    before, after = (json.loads(path.read_text()) for path in (arguments.before, arguments.after))
    differences = list(compare(before, after))
    print("\n".join(differences) or f"nothing differs: {len(after)} calls")
    sys.exit(bool(differences))


def record(folder: Path, python: str, source: Path, calls: Iterable[Call]) -> None:
    """Run the calls and write ``outputs.json``."""
    work = folder / "work"
    work.mkdir(parents=True)  # fails where there is one
    make_inputs(work / "in")
    environment = {
        **os.environ,
        "PYTHONPATH": str(source),
        "XDG_CACHE_HOME": str(work / "cache"),
        "HF_HOME": str(work / "cache"),
        "HF_HUB_OFFLINE": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    found = subprocess.run(
        [python, "-c", "import cinn_colorize; print(cinn_colorize.__file__)"],
        cwd=work, env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if not Path(found.strip()).is_relative_to(source):
        sys.exit(f"{python} takes the code from {found.strip()}, not from {source}")

    def normal(text: str) -> str:
        text = text.replace(str(work), "WORK").replace(str(source), "SOURCE")
        return SPEEDS.sub("TIME", text)

    known: dict[Path, tuple[int, int]] = {}
    outputs: dict[str, Any] = {"inputs": {"files": changes(work, known, unordered=False)}}
    for call in calls:
        start, times = time.monotonic(), os.times()
        with (work / call.stdin).open("rb") as stdin:
            process = subprocess.run(
                [python, "-m", "cinn_colorize", *shlex.split(call.arguments)],
                cwd=work, env=environment, stdin=stdin, capture_output=True,
            )  # fmt: skip
        seconds = os.times().children_user - times.children_user
        print(f"{time.monotonic() - start:6.1f} s, {seconds:5.1f} s of a core: {call.name}", flush=True)
        try:
            stdout = process.stdout.decode()
        except UnicodeDecodeError:  # a picture
            stdout = "see stdout.png"
            (work / "stdout.png").write_bytes(process.stdout)
        arrange = sorted if call.unordered else list
        outputs[call.name] = {
            "arguments": call.arguments,
            "exit": process.returncode,
            "stdout": arrange(normal(stdout).splitlines()),
            "stderr": arrange(normal(process.stderr.decode()).splitlines()),
            "files": changes(work, known, call.unordered),
        }
    (folder / "outputs.json").write_text(json.dumps(outputs, indent=1))


def changes(work: Path, known: dict[Path, tuple[int, int]], unordered: bool) -> dict[str, Any]:
    """Files written or removed since ``known``, which is brought up to date."""
    files: dict[str, Any] = {}
    present = {path: path.stat() for path in sorted(work.rglob("*")) if path.is_file()}
    for path in known.keys() - present.keys():
        files[str(path.relative_to(work))] = {"removed": True}
        del known[path]
    for path, status in present.items():
        state = status.st_mtime_ns, status.st_ino
        if known.get(path) != state and not FOREIGN.intersection(path.parts):
            files[str(path.relative_to(work))] = describe(path, unordered)
        known[path] = state
    return files


def describe(path: Path, unordered: bool) -> dict[str, Any]:
    """What is recorded of a file."""
    if path.suffix == ".jsonl":
        objects = [json.loads(line) for line in path.read_text().splitlines()]
    elif path.suffix == ".csv":
        objects = list(csv.DictReader(path.open(newline="")))
    else:
        content = path.read_bytes()
        if path.suffix == ".onnx":
            return {"sha256 without sources": digest(without_sources(content))}
        facts: dict[str, Any] = {"sha256": digest(content)}
        if path.suffix in PICTURES and "damaged" not in path.name:
            facts |= describe_picture(path)
        return facts
    lines = [json.dumps({k: v for k, v in row.items() if k not in TIMES}) for row in objects]
    return {"lines": sorted(lines) if unordered else lines}


def describe_picture(path: Path) -> dict[str, Any]:
    """Layout, pixels, metadata and recipe."""
    image = pyvips.Image.new_from_file(str(path))
    fields = set(image.get_fields())
    metadata = {name: image.get(name) for name in METADATA if name in fields}
    recipe, rest = split_packet(image.get("xmp-data") if "xmp-data" in fields else b"")
    return {
        "layout": f"{image.width} x {image.height} x {image.bands} {image.format} {image.interpretation}",
        "resolution": f"{image.xres:.4f} {image.yres:.4f}",
        "pixels": digest(image.write_to_memory()),
        "metadata": {
            name: digest(value) if isinstance(value, bytes) else value for name, value in metadata.items()
        },
        "other xmp": digest(rest) if rest else None,
        "recipe": recipe,
    }


def split_packet(packet: bytes) -> tuple[dict[str, str], bytes]:
    """The recipe in an XMP packet, and the packet without it."""
    if not packet:
        return {}, b""
    root = ElementTree.fromstring(packet.strip(b"\0 \r\n"))
    recipe = {}
    for element in root.iter():
        for name in [name for name in element.attrib if name.startswith(RECIPE)]:
            recipe[name.removeprefix(RECIPE)] = element.attrib.pop(name)
    return recipe, ElementTree.tostring(root)


def without_sources(content: bytes) -> bytes:
    """An ONNX model without the names of modules, and of lines in them, that its nodes come from."""
    import onnx

    model = onnx.load_model_from_string(content)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key not in SOURCES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model.SerializeToString(deterministic=True)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """A line or more for each difference."""
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in after or name not in before:
            yield f"{name}: only {'before' if name in before else 'after'}"
            continue
        one, other = before[name], after[name]
        for key in ("arguments", "exit"):
            if one.get(key) != other.get(key):
                yield f"{name}: {key} was {one[key]}, is {other[key]}"
        for key in ("stdout", "stderr"):
            yield from compare_lines(f"{name}: {key}", one.get(key, []), other.get(key, []))
        for file in sorted(one["files"].keys() | other["files"].keys()):
            yield from compare_files(f"{name}: {file}", one["files"].get(file), other["files"].get(file))


def compare_files(name: str, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Iterator[str]:
    if one is None or other is None:
        yield f"{name}: only {'before' if one else 'after'}"
        return
    yield from compare_lines(name, one.get("lines", []), other.get("lines", []))
    yield from compare_keys(f"{name}: recipe", one.get("recipe", {}), other.get("recipe", {}))
    facts = [key for key in dict.fromkeys([*one, *other]) if key not in ("lines", "recipe")]
    if differing := [key for key in facts if one.get(key) != other.get(key)]:
        yield f"{name}: {', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"


def compare_lines(name: str, one: list[str], other: list[str]) -> Iterator[str]:
    if one != other:
        yield f"{name} differs"
        lines = difflib.unified_diff(one, other, n=0, lineterm="")
        yield from (f"    {line}" for line in list(lines)[2:] if not line.startswith("@@"))


def compare_keys(name: str, one: dict[str, str], other: dict[str, str]) -> Iterator[str]:
    """Differences of recipes; a new key with the value of one that is gone is that one renamed."""
    gone = {key: value for key, value in one.items() if key not in other}
    new = {key: value for key, value in other.items() if key not in one}
    for key in [key for key in one if key in other]:
        if one[key] != other[key]:
            yield f"{name}: {key} was {one[key]!r}, is {other[key]!r}"
    for key, value in gone.items():
        renamed = next((name for name, same in new.items() if same == value), None)
        if renamed is None:
            yield f"{name}: {key} {value!r} is gone"
        else:
            yield f"{name}: {key} is called {renamed}"
            del new[renamed]
    yield from (f"{name}: {key} {value!r} is new" for key, value in new.items())


if __name__ == "__main__":
    main()
