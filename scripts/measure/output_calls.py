"""The calls that ``outputs.py`` records, and the files that they read."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips

EXAMPLES = Path(__file__).parents[2] / "examples"


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
    "train", "evaluate", "models", "download", "export", "studio",
)  # fmt: skip
CALLS = (
    Call("version", "--version"),
    Call("help", "--help"),
    *(Call(f"help: {command}", f"{command} --help") for command in COMMANDS),
    Call("models", "models"),
    Call("models: json", "models --json"),
    Call("download", "download natural bedrooms mnist"),
    # One photo.
    Call("colorize: like", "in/photo.jpg --like 3 -n 2 -o like"),
    Call(
        "colorize: guided",
        "in/photo.jpg --seed 0 --guidance 1 --saturation 1.2 --frame none -o own",
    ),
    Call("colorize", "in/photo.jpg --seed 0 -o one"),
    Call("colorize: first", "in/photo.jpg -t 0.9 -o typical"),
    Call("colorize: three", "colorize in/photo.jpg -n 3 -t 0.9 --seed 4 --device cpu -o three"),
    Call("colorize: rank", "in/photo.jpg -n 4 -t 0.8,8:1.1,16:0.9 --rank log-prob --json -o ranked"),
    Call("colorize: pick", "in/photo.jpg -n 6 --pick 2 -t 1 -o picked --output '{stem}-{seed}.png'"),
    Call("colorize: hints", "in/photo.jpg --hints in/strokes.png --hint 200,150,#a02832 --seed 0 -o hints"),
    Call("colorize: exact", "in/photo.jpg --upsampling exact -o exact"),
    Call("colorize: bicubic", "in/photo.jpg --upsampling bicubic --precision bf16 -q -o bicubic"),
    Call("colorize: wide", "in/wide.jpg -n 2 --no-sheet -o wide"),
    Call("colorize: bedrooms", "in/photo.jpg --model bedrooms -n 2 -o bedrooms"),
    Call("colorize: stream", "- --format png", stdin="in/photo.jpg"),
    Call("colorize: skip", "in/photo.jpg -n 4 -t 0.9 --seed 4 --skip-existing -o three"),
    Call("colorize: replace", "in/photo.jpg --seed 1 --output {stem}_000{ext} --overwrite -o one"),
    Call("colorize: onnx", "in/photo.jpg in/wide.jpg -n 2 --engine onnx --workers 1 -o onnx"),
    # What is kept of a file.
    Call("formats", "in/turned.jpg in/deep.png in/deep.tif in/alpha.png --seed 0 --workers 1 -o auto"),
    Call(
        "formats: tiff", "in/turned.jpg in/deep.png in/alpha.png --seed 0 --format tiff --workers 1 -o tiff"
    ),
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
    Call("transfer: levels", "transfer in/sunset.jpg in/photo.jpg -n 2 --levels 8:0.5,16:0 --json -o like-2"),
    Call("transfer: strength", "transfer in/sunset.jpg in/wide.jpg --strength 0.6 -t 0.8 -o like-3"),
    Call("transfer: digits", "transfer --model mnist in/seven.png --digit 7 -o digits"),
    Call("mix", "mix in/photo.jpg --seeds 17,22 --mask in/mask.png -t 0.9 -o mixed"),
    Call("temperature", "temperature in/photo.jpg --temperatures 0,0.5,1 --files -o strip"),
    Call("temperature: only", "temperature in/photo.jpg --only 8 --temperatures 0:1.2:0.6 -o strip-2"),
    Call("sample", "sample in/photo.jpg -n 4 -t 0.9 --save-z z.safetensors -o grid"),
    Call("sample: load", "sample in/photo.jpg --load-z z.safetensors -o grid-2"),
    Call("sample: between two", "sample in/photo.jpg --interpolate z.safetensors,7 -n 3 -o grid-3"),
    Call("sample: between four", "sample in/photo.jpg --interpolate 6,17,11,22 -n 3 -o grid-4"),
    Call("sample: vary", "sample in/photo.jpg -n 3 --vary-level 8 --save-z vary.safetensors -o grid-5"),
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
        "evaluate in/photos.zip --samples 2 -t 1 -t 0.7,8:0.9 --metrics top5_lite0"
        " --labels in/labels.tsv --json",
    ),
    Call("export", "export --model bedrooms -o exported"),
    Call("train: mnist", "train --dataset mnist --data in/mnist --photos 32 --batch 32 --precision fp32"),
    Call("train: photos", "train --data in/photos.zip --photos 2 --batch 2 --precision fp32 --workers 0"),
    # Wrong input.
    Call("wrong: file", "in/nothing.jpg"),
    Call("wrong: photo", "in/scans/damaged.jpg -o wrong"),
    Call("wrong: exists", "in/photo.jpg --seed 0 -t 1 -o one"),
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
