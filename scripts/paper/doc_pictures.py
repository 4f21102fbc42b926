"""Make the pictures of README, docs/latent.md, docs/hints.md and docs/film.md with the commands beside them.

python scripts/paper/doc_pictures.py
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]

TRANSFERS = """
beacon-street-sunset.jpg singaporean-cityscape.jpg
beacon-street-sunset.jpg photo.jpg
singaporean-cityscape.jpg beacon-street-sunset.jpg
tea-gardens.jpg photo.jpg
extreme-desert-hike.jpg tea-gardens.jpg
roman-colosseum.jpg canyon-wren.jpg
coffee.png chelsea.png
photo.jpg extreme-desert-hike.jpg
perched-osprey.jpg oakland-zoo-otters.jpg
rocket.jpg camera.png
"""  # reference, photo
HINTS = "--hint 110,400,#d8702a --hint 215,115,#d8a488 --hint 30,180,#b03030 --hint 330,60,#8c9098"
HOUSE = "examples/old/roof.jpg --seed 5"
MASK = "--mask examples/photo-sky.png"
COMMANDS = {  # picture: the command's result that it is, and the command
    "sheet": ("flood_sheet.jpg", "examples/old/flood.jpg -n 8"),
    "temperature-0.5": ("coffee_sheet.jpg", "examples/coffee.png -n 3 -t 0.5"),
    "temperature-1": ("coffee_sheet.jpg", "examples/coffee.png -n 3 -t 1"),
    "like": ("flood_like_003_sheet.jpg", "examples/old/flood.jpg -n 4 --like 3"),
    "roof": ("roof_005.jpg", HOUSE),
    "roof-thing": ("roof_005.jpg", f"{HOUSE} --hint 91,543,#9c3a2e"),
    "roof-photo": ("roof_005.jpg", f"{HOUSE} --hint 91,543,#9c3a2e --hint-reach photo"),
    "hints": ("astronaut_sheet.jpg", f"examples/astronaut.png -n 3 -t 0.5 {HINTS}"),
    "temperature": ("flood_temperature_000.jpg", "temperature examples/old/flood.jpg"),
    "temperature-coarse": ("flood_temperature_000.jpg", "temperature examples/old/flood.jpg --only 8"),
    "interpolation": ("photo_samples.jpg", "sample examples/photo.jpg -t 0.9 --interpolate 6,17,11,22"),
    "vary-level": ("photo_samples.jpg", "sample examples/photo.jpg -n 9 --seed 17 -t 0.9 --vary-level 8"),
    "mix": ("photo_mix_017_022_sheet.jpg", f"mix examples/photo.jpg --seeds 17,22 {MASK} -t 0.9"),
}
PAN, FRAMES, SIZE = ROOT / "examples/old/roof.jpg", 40, (288, 216)  # a film over a photo, up and to the right
FROM, TO = (20, 385, 280), (105, 40, 330)  # left, top and width of the part that a frame shows
SEEDS, STRIP = 4, (0, 7, 8, 9, 27, 39)  # versions of the film; frames that the strip shows
WIDTH, QUALITY = 1200, 85


def colorize(words: Sequence[object], folder: object) -> None:
    """Run ``cinn-colorize`` with these words and results in a folder."""
    command = [sys.executable, "-m", "cinn_colorize", *words, "--quiet", "--output-dir", folder]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def make(command: str, made: str, picture: Path, width: int) -> None:
    """Run a command and keep one of its results, reduced."""
    with tempfile.TemporaryDirectory() as folder:
        colorize(command.split(), folder)
        with Image.open(Path(folder) / made) as image:
            image.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
            image.save(picture, quality=QUALITY, optimize=True)
    print(f"{picture}: cinn-colorize {command}", flush=True)


def pan(film: Path) -> list[Image.Image]:
    """Write a film of a camera that moves over a photo, and return its frames."""
    import av

    with Image.open(PAN) as photo, av.open(film, "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "8"})
        stream.width, stream.height = SIZE
        frames = []
        for t in range(FRAMES):
            left, top, width = (a + (b - a) * t / (FRAMES - 1) for a, b in zip(FROM, TO, strict=True))
            box = left, top, left + width, top + width * SIZE[1] / SIZE[0]
            frames.append(photo.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS, box))
            container.mux(stream.encode(av.VideoFrame.from_image(frames[-1])))  # type: ignore[no-untyped-call]
        container.mux(stream.encode())
    return frames


def film(images: Path) -> None:
    """Make the pictures of docs/film.md: four versions, and frame by frame beside along motion."""
    import av

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gray = pan(folder / "roof.mp4")
        for t in STRIP:
            gray[t].save(folder / f"{t:02d}.png")
        colorize([*(folder / f"{t:02d}.png" for t in STRIP), "--seed", 0], folder)
        colorize(["film", folder / "roof.mp4", "-n", SEEDS], folder)
        versions = []
        for seed in range(SEEDS):
            with av.open(folder / f"roof_{seed:03d}.mp4") as container:
                versions.append([frame.to_image() for frame in container.decode(video=0)])  # type: ignore[no-untyped-call]
        alone = [Image.open(folder / f"{t:02d}_000.png") for t in STRIP]
        tiled([alone, [versions[0][t] for t in STRIP]]).save(images / "film-strip.jpg", quality=QUALITY)
    shown = [tiled([one[:2], one[2:]]) for one in zip(*versions, strict=True)]
    options: dict[str, Any] = {"duration": 83, "loop": 0, "quality": 42, "method": 4}
    shown[0].save(images / "film.webp", save_all=True, append_images=shown[1:], **options)


def tiled(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Put pictures of one size into a grid."""
    width, height = rows[0][0].size
    grid = Image.new("RGB", ((width + 4) * len(rows[0]) - 4, (height + 4) * len(rows) - 4), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture, (x * (width + 4), y * (height + 4)))
    return grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output-dir", type=Path, default=ROOT / "docs/images")
    images = parser.parse_args().output_dir.resolve()
    os.chdir(ROOT)
    images.mkdir(parents=True, exist_ok=True)
    for k, (reference, photo) in enumerate(map(str.split, TRANSFERS.strip().splitlines()), start=1):
        command = f"transfer examples/{reference} examples/{photo} --sheet"
        made = f"{Path(photo).stem}_like_{Path(reference).stem}_sheet.jpg"
        make(command, made, images / f"transfer-{k}.jpg", WIDTH // 2)
    for picture, (made, command) in COMMANDS.items():
        make(command, made, images / f"{picture}.jpg", WIDTH)
    film(images)


if __name__ == "__main__":
    main()
