"""What the command line writes, recorded, so that two versions of the code can be compared to the byte.

    python scripts/measure/outputs.py record BEFORE --source OLD
    python scripts/measure/outputs.py record AFTER
    python scripts/measure/outputs.py compare BEFORE/outputs.json AFTER/outputs.json

For changes that must not change what the program does. ``record`` makes small photos of the examples and
runs every command on them, each in all its ways of drawing, and with wrong input. ``outputs.json`` gets the
exit code, stdout and stderr of each call, and of each file that it wrote or removed:

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
import gzip
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pyvips

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECIPE = "{https://cinn-colorize.readthedocs.io/ns/recipe/1.0/}"
PICTURES = (".jpg", ".png", ".tif", ".tiff", ".webp", ".avif")
METADATA = ("exif-data", "iptc-data", "icc-profile-data", "orientation")
TIMES = ("ms", "photos_per_second")  # columns of tables
SPEEDS = re.compile(r"\d+ s(, [\d.]+ photos/s)?$|[\d.]+ photos/s|\d+:\d\d:\d\d", re.MULTILINE)
FOREIGN = {"tensorboard", "Microsoft"}  # folders of what torch and onnxruntime note for themselves
SOURCES = ("namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.stack_trace")  # of ONNX nodes


class Call(NamedTuple):
    """A call of the command line.

    Attributes:
        name: of the call.
        arguments: as one types them, in the folder of the run.
        stdin: the file that stdin is.
        unordered: whether the lines that it writes come in any order.
    """

    name: str
    arguments: str
    stdin: str = os.devnull
    unordered: bool = False


COMMANDS = (
    "colorize", "transfer", "temperature", "mix", "sample", "recreate",
    "train", "evaluate", "models", "download", "export",
)  # fmt: skip
CALLS = (
    Call("version", "--version"),
    Call("help", "--help"),
    *(Call(f"help: {command}", f"{command} --help") for command in COMMANDS),
    Call("models", "models"),
    Call("models: json", "models --json"),
    Call("download", "download natural bedrooms mnist"),
    # One photo.
    Call("colorize", "in/photo.jpg -o one"),
    Call("colorize: three", "colorize in/photo.jpg -n 3 -t 0.9 --seed 4 --device cpu -o three"),
    Call("colorize: rank", "in/photo.jpg -n 4 -t 0.8,1:1.1,0:1.1 --rank --json -o ranked"),
    Call("colorize: pick", "in/photo.jpg -n 6 --pick 2 -t 1 -o picked --output '{stem}-{seed}.png'"),
    Call("colorize: hints", "in/photo.jpg --hints in/strokes.png --hint 200,150,#a02832 -o hints"),
    Call("colorize: exact", "in/photo.jpg --upsampling exact -o exact"),
    Call("colorize: bicubic", "in/photo.jpg --upsampling bicubic --precision bf16 -q -o bicubic"),
    Call("colorize: wide", "in/wide.jpg -n 2 --no-sheet -o wide"),
    Call("colorize: bedrooms", "in/photo.jpg --model bedrooms -n 2 -o bedrooms"),
    Call("colorize: stream", "- --format png", stdin="in/photo.jpg"),
    Call("colorize: skip", "in/photo.jpg -n 4 -t 0.9 --seed 4 --skip-existing -o three"),
    Call("colorize: replace", "in/photo.jpg --seed 1 --output {stem}_000{ext} --overwrite -o one"),
    Call("colorize: onnx", "in/photo.jpg in/wide.jpg -n 2 --engine onnx --workers 1 -o onnx"),
    # What is kept of a file.
    Call("formats", "in/turned.jpg in/deep.png in/deep.tif in/alpha.png --workers 1 -o auto"),
    Call("formats: tiff", "in/turned.jpg in/deep.png in/alpha.png --format tiff --workers 1 -o tiff"),
    Call("formats: jpg", "in/alpha.png tiff/turned_000.tiff --format jpg --quality 80 --workers 1 -o jpg"),
    Call("formats: webp", "in/turned.jpg in/alpha.png --strip --format webp --workers 1 -o webp"),
    Call("formats: avif", "in/deep.png in/alpha.png --format avif --workers 1 -o avif"),
    # Many photos, of which one is in colour: only of the first that is, a line says so.
    Call("batch", "in/scans -r -n 2 --manifest batch.jsonl --workers 2 -o batch", unordered=True),
    Call("batch: again", "in/scans -r -n 2 --manifest batch.jsonl --workers 2 -o batch", unordered=True),
    Call("batch: skip", "in/scans -r --seed 1 -n 2 --no-sheet --skip-existing -o batch", unordered=True),
    *(
        Call(f"batch: share {i}", f"in/scans -r --shard {i}/3 --manifest {i}.jsonl -o shares", unordered=True)
        for i in (1, 2, 3)
    ),
    Call("batch: list", "--files-from - -0 in/scans/*.png -o listed", stdin="in/list", unordered=True),
    Call("batch: own", "one three -o twice", unordered=True),
    # The latent space.
    Call("transfer", "transfer in/sunset.jpg in/photo.jpg in/deep.tif --sheet -o like", unordered=True),
    Call("transfer: levels", "transfer in/sunset.jpg in/photo.jpg -n 2 --levels 8:0.5,4:0 --json -o like-2"),
    Call("transfer: strength", "transfer in/sunset.jpg in/wide.jpg --strength 0.6 -t 0.8 -o like-3"),
    Call("transfer: digits", "transfer --model mnist in/seven.png --digit 7 -o digits"),
    Call("mix", "mix in/photo.jpg --seeds 17,22 --mask in/mask.png -t 0.9 -o mixed"),
    Call("temperature", "temperature in/photo.jpg --temperatures 0,0.5,1 --files -o strip"),
    Call("temperature: only", "temperature in/photo.jpg --only 2,1,0 --temperatures 0:1.2:0.6 -o strip-2"),
    Call("sample", "sample in/photo.jpg -n 4 -t 0.9 --save-z z.safetensors -o grid"),
    Call("sample: load", "sample in/photo.jpg --load-z z.safetensors -o grid-2"),
    Call("sample: between two", "sample in/photo.jpg --interpolate z.safetensors,7 -n 3 -o grid-3"),
    Call("sample: between four", "sample in/photo.jpg --interpolate 6,17,11,22 -n 3 -o grid-4"),
    Call("sample: vary", "sample in/photo.jpg -n 3 --vary-level 1 --save-z vary.safetensors -o grid-5"),
    Call("sample: digits", "sample --model mnist -n 3 -o digits"),
    Call("sample: one digit", "sample --model mnist -n 3 -t 1 --seed 3 --digit 3 -o digits"),
    Call("sample: digits' axes", "sample --model mnist --pca -o digits"),
    # Pictures made again, one of each method.
    Call("recreate", "recreate three/photo_005.jpg in/photo.jpg"),
    Call("recreate: tiff", "recreate tiff/turned_000.tiff in/turned.jpg -q"),
    Call("recreate: hints", "recreate hints/photo_000.jpg in/photo.jpg in/strokes.png"),
    Call("recreate: transfer", "recreate like-2/photo_like_sunset_001.jpg in/photo.jpg in/sunset.jpg"),
    Call("recreate: mix", "recreate mixed/photo_mix_017_022.jpg in/photo.jpg in/mask.png"),
    Call("recreate: strip", "recreate strip-2/photo_temperature_000.jpg in/photo.jpg"),
    Call("recreate: grid", "recreate grid-2/photo_samples.jpg in/photo.jpg z.safetensors"),
    Call("recreate: between", "recreate grid-3/photo_samples.jpg in/photo.jpg z.safetensors -o again.jpg"),
    Call("recreate: vary", "recreate grid-5/photo_samples.jpg in/photo.jpg"),
    # Measuring, exporting, training (one step: how often a run reports is a matter of time).
    Call("evaluate", "evaluate in/photos.zip --model bedrooms --samples 4 --every 2 --plot plot.png"),
    Call(
        "evaluate: json",
        "evaluate in/photos.zip --samples 2 -t 1 -t 0.6,1:0.75,0:0.75 --metrics top5_lite0"
        " --labels in/labels.tsv --json",
    ),
    Call("export", "export --model bedrooms -o exported"),
    Call("train: mnist", "train --dataset mnist --data in/mnist --photos 32 --batch 32 --precision fp32"),
    Call("train: photos", "train --data in/photos.zip --photos 2 --batch 2 --precision fp32 --workers 0"),
    # Wrong input.
    Call("wrong: file", "in/nothing.jpg"),
    Call("wrong: photo", "in/scans/damaged.jpg -o wrong"),
    Call("wrong: exists", "in/photo.jpg -o one"),
    Call("wrong: option", "in/photo.jpg --nothing"),
    Call("wrong: value", "in/photo.jpg -t 8:0.5,7:1"),
    Call("wrong: address", "in/photo.jpg --engine ray --address ray://head:1"),
    Call("wrong: pick", "in/photo.jpg -n 2 --pick 3"),
    Call("wrong: hint", "in/photo.jpg --hint 900,30,#6f9fd0 -o wrong"),
    Call("wrong: size", "in/photo.jpg --max-pixels 0.01 -o wrong"),
    Call("wrong: weights", "in/photo.jpg --weights in/photo.jpg -o wrong"),
    Call("wrong: gray reference", "transfer in/deep.tif in/photo.jpg -o wrong"),
    Call("wrong: mask", "mix in/wide.jpg --seeds 1,2 --mask in/mask.png -o wrong"),
    Call("wrong: codes", "sample in/photo.jpg --load-z in/photo.jpg -o wrong"),
    Call("wrong: original", "recreate one/photo_000.jpg in/wide.jpg -o wrong.jpg"),
    Call("wrong: no recipe", "recreate in/photo.jpg in/photo.jpg"),
    Call("wrong: model", "download imagenet-vgg"),
    Call("wrong: data", "train --dataset mnist --data in"),
    Call("wrong: folder", "evaluate in/mnist"),
)


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


def make_inputs(folder: Path) -> None:
    """Small photos of the examples, in several formats, and all else that the calls take."""
    (folder / "scans" / "box").mkdir(parents=True)
    (folder / "mnist").mkdir()

    def small(example: str, width: int, space: str = "srgb") -> Any:
        image = pyvips.Image.new_from_file(str(EXAMPLES / example)).colourspace(space)
        return image.resize(width / image.width)

    photo = small("photo.jpg", 400)
    photo.write_to_file(str(folder / "photo.jpg"), Q=92)
    photo.crop(0, 40, 400, 130).write_to_file(str(folder / "wide.jpg"), Q=92)
    small("beacon-street-sunset.jpg", 360).write_to_file(str(folder / "sunset.jpg"), Q=92)
    small("photo-sky.png", 200)[0].write_to_file(str(folder / "mask.png"))
    dot = pyvips.Image.black(photo.width, photo.height).draw_circle(255, 60, 30, 12, fill=True)
    strokes = dot.new_from_image([111, 159, 208]).bandjoin(dot).copy(interpretation="srgb")
    strokes.write_to_file(str(folder / "strokes.png"))

    turned = small("rocket.jpg", 320).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    for field, value in {
        "ifd0-Artist": "A. Nonymous",
        "ifd2-DateTimeOriginal": "1969:07:16 13:32:00",
    }.items():
        turned.set_type(pyvips.GValue.gstr_type, f"exif-{field}", f"{value} (, ASCII, 1 components, 1 bytes)")
    turned.write_to_file(str(folder / "turned.jpg"), Q=92, profile="p3")
    small("coffee.png", 300, "rgb16").write_to_file(str(folder / "deep.png"))
    small("camera.png", 300, "grey16").write_to_file(
        str(folder / "deep.tif"), compression="lzw", xres=11.8, yres=11.8
    )
    chelsea = small("chelsea.png", 300)  # which has XMP
    alpha = pyvips.Image.xyz(chelsea.width, chelsea.height)[0].linear(0.9, 0).cast("uchar")
    chelsea.bandjoin(alpha).write_to_file(str(folder / "alpha.png"))

    scans = folder / "scans"
    small("tea-gardens.jpg", 300).colourspace("b-w").write_to_file(str(scans / "tea.jpg"), Q=90)
    small("camera.png", 256).write_to_file(str(scans / "tea.png"))
    small("canyon-wren.jpg", 320, "b-w").write_to_file(str(scans / "box" / "wren.webp"), Q=90)
    small("roman-colosseum.jpg", 320).write_to_file(str(scans / "box" / "colosseum.tif"))
    (scans / "damaged.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:3000])
    (scans / "notes.txt").write_text("no photo\n")
    (folder / "list").write_bytes(b"in/scans/box/wren.webp\0in/scans/box/nothing.tif\0in/photo.jpg\0")

    names = ["blue-periwinkle.jpg", "oakland-zoo-otters.jpg", "perched-osprey.jpg", "tea-gardens.jpg"]
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name in names:
            content = small(name, 400).write_to_buffer(".jpg", Q=90)
            archive.writestr(zipfile.ZipInfo(f"photos/{name}"), content)
    rows = ["entry\tclass", *(f"photos/{name}\t{137 + i}" for i, name in enumerate(names))]
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    make_digits(folder)
    for path in folder.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))  # manifests note it


def make_digits(folder: Path) -> None:
    """Something like MNIST, just large enough, and an image of a digit."""
    random = np.random.default_rng(0)
    for part, number in {"train": 5100, "t10k": 200}.items():
        labels = random.integers(0, 10, number, np.uint8)
        images = np.zeros((number, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 : 6 + 2 * label, 8 + label : 12 + label] = random.integers(128, 256)
        for kind, values in {"images": images, "labels": labels}.items():
            header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
            path = folder / "mnist" / f"{part}-{kind}-idx{values.ndim}-ubyte.gz"
            path.write_bytes(gzip.compress(header + values.tobytes(), 1, mtime=0))
    seven = np.full((60, 50), 255, np.uint8)
    seven[8:13, 10:40] = 20
    for y in range(13, 52):
        seven[y, 48 - y // 2 - 12 : 52 - y // 2 - 12] = 20
    pyvips.Image.new_from_array(seven).write_to_file(str(folder / "seven.png"))


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
