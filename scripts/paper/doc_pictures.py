"""Make the pictures of README, docs/latent.md and docs/hints.md with the commands beside them.

python scripts/paper/doc_pictures.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

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
WIDTH, QUALITY = 1200, 85


def make(command: str, made: str, picture: Path, width: int) -> None:
    """Run a command and keep one of its results, reduced."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*command.split(), "--quiet", "--output-dir", folder]
        subprocess.run([sys.executable, "-m", "cinn_colorize", *words], check=True, stdout=subprocess.DEVNULL)
        with Image.open(Path(folder) / made) as image:
            image.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
            image.save(picture, quality=QUALITY, optimize=True)
    print(f"{picture}: cinn-colorize {command}", flush=True)


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


if __name__ == "__main__":
    main()
