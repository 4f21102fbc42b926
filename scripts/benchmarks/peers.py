"""Time other colorizers on a photo beside this one, on a CPU, from clones of their repositories.

    git clone https://github.com/piddnad/DDColor clones/DDColor
    git clone https://github.com/jantic/DeOldify clones/DeOldify
    pip install --target clones/packages --no-deps -r scripts/benchmarks/deoldify.txt
    python scripts/benchmarks/peers.py clones

Fetches nothing: the clones get files of random weights, which take as long as trained ones. DDColor runs by
its own pipeline; of DeOldify the few lines around its generators are rewritten here, since its own require a
Jupyter installation. docs/benchmarks.md says what is timed. The colorizers take turns, so that other load on
the machine affects all.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from shared import finished, table

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/photo.jpg"
PEERS = {"DDColor": ("tiny", "large"), "DeOldify": ("artistic", "stable")}  # networks by clone
OURS = (1, 8)  # samples
RENDER_SIZE = 35 * 16  # of DeOldify
MEAN, DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
FIRST = "cinn-colorize -n 1"  # what ratios are to
Draw = Callable[[Path, Path], object]  # colorizes the first file, writes the second


def ddcolor(size: str, weights: Path) -> Draw:
    from ddcolor import ColorizationPipeline, DDColor, build_ddcolor_model  # type: ignore[import-not-found]

    if not weights.exists():
        encoder = {"tiny": "convnext-t", "large": "convnext-l"}[size]
        queries = {"num_queries": 100, "num_scales": 3, "dec_layers": 9}
        made = DDColor(encoder, input_size=[512, 512], num_output_channels=2, last_norm="Spectral", **queries)
        torch.save(made.state_dict(), weights)
    model = build_ddcolor_model(DDColor, model_path=str(weights), model_size=size, device=torch.device("cpu"))
    pipeline = ColorizationPipeline(model)
    return lambda photo, out: cv2.imwrite(str(out), pipeline.process(cv2.imread(str(photo))))


def deoldify(name: str, weights: Path) -> Draw:
    """Load a generator of DeOldify by its own code, and do what its filters do."""
    from deoldify.unet import DynamicUnetDeep, DynamicUnetWide  # type: ignore[import-not-found]
    from fastai.layers import NormType  # type: ignore[import-not-found]
    from fastai.vision import models  # type: ignore[import-not-found]
    from fastai.vision.learner import create_body  # type: ignore[import-not-found]
    from PIL import Image

    network, body, factor = {
        "artistic": (DynamicUnetDeep, models.resnet34, 1.5),
        "stable": (DynamicUnetWide, models.resnet101, 2),
    }[name]
    options = {"blur": True, "self_attention": True, "y_range": (-3.0, 3.0), "norm_type": NormType.Spectral}
    model = network(create_body(body, False), n_classes=3, nf_factor=factor, **options).eval()
    if not weights.exists():
        torch.save({"model": model.state_dict()}, weights)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["model"])

    def draw(photo: Path, out: Path) -> None:
        with Image.open(photo) as image:
            original = image.convert("RGB")
        small = original.resize((RENDER_SIZE, RENDER_SIZE), Image.Resampling.BILINEAR)
        x = (np.asarray(small.convert("LA").convert("RGB"), np.float32) / 255 - MEAN) / DEVIATION
        with torch.no_grad():
            y = model(torch.from_numpy(x).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        colored = Image.fromarray(np.uint8((y * DEVIATION + MEAN).clip(0, 1) * 255))
        chroma = cv2.cvtColor(np.asarray(colored.resize(original.size)), cv2.COLOR_RGB2YUV)
        final = cv2.cvtColor(np.asarray(original), cv2.COLOR_RGB2YUV)
        final[:, :, 1:] = chroma[:, :, 1:]
        Image.fromarray(cv2.cvtColor(final, cv2.COLOR_YUV2RGB)).save(out)

    return draw


def ours(samples: str, weights: Path) -> Draw:
    from cinn_colorize import Colorizer

    colorizer = Colorizer(device="cpu")

    def draw(photo: Path, out: Path) -> None:
        for made in colorizer.colorize(photo, n=int(samples)):
            made.save(out.with_stem(f"{out.stem}_{made.seed}"))

    return draw


LOADERS = {"DDColor": ddcolor, "DeOldify": deoldify, "cinn-colorize": ours}


def child(colorizer: str, network: str, photo: Path, folder: Path) -> None:
    """Colorize twice in this process and print the seconds of both; without weights, write them instead."""
    weights = folder / f"{colorizer}-{network}.pt"
    missing = colorizer in PEERS and not weights.exists()
    draw = LOADERS[colorizer](network, weights)
    if missing:
        return
    draw(photo, folder / "peer.jpg")
    cold = [time.time() - float(os.environ["PEERS_BEGAN"]), time.process_time()]
    start = time.perf_counter()
    draw(photo, folder / "peer.jpg")
    print(json.dumps([*cold, time.perf_counter() - start, time.process_time() - cold[1]]), flush=True)


def measured(colorizer: str, network: str, photo: Path, folder: Path, path: list[Path]) -> list[float]:
    """Return wall-clock and CPU seconds, cold and warm, and the peak memory in MiB; or write weights."""
    search = os.pathsep.join([*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-W", "ignore", __file__, "--child", colorizer, network, str(photo), str(folder)]
    environment.pop("OMP_NUM_THREADS", None)  # all use all cores, as the table says
    environment["PEERS_BEGAN"] = str(time.time())
    said, (*_, memory) = finished(words, environment)
    if not said:
        return []
    times: list[float] = json.loads(said[-1])
    if colorizer == "cinn-colorize":  # cold is the command itself
        command = [sys.executable, "-m", "cinn_colorize", str(photo), "-n", network, "-q", "--overwrite"]
        _, (*times[:2], memory) = finished([*command, "-o", str(folder), "--device", "cpu"])
    return [*times, memory]


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        colorizer, network, photo, folder = sys.argv[2:]
        return child(colorizer, network, Path(photo), Path(folder))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clones", type=Path, help=f"folder with clones of {' and '.join(PEERS)}")
    parser.add_argument("--repeats", type=int, default=7, help="number of rounds")
    arguments = parser.parse_args()
    for name in PEERS:
        if not (arguments.clones / name).is_dir():
            parser.error(f"{arguments.clones / name}: no such folder; clone {name} there")
    ways = [("cinn-colorize", str(n)) for n in OURS]
    ways += [(name, network) for name, networks in PEERS.items() for network in networks]
    found: dict[tuple[str, str], list[list[float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        for k in range(arguments.repeats + 1):  # the first round writes weights
            for way in ways if k else [way for way in ways if way[0] in PEERS]:
                parts = (way[0], "packages") if way[0] in PEERS else ()
                path = [(arguments.clones / part).resolve() for part in parts]
                times = measured(*way, EXAMPLE, Path(name), path)
                found[way] += [times] if k else []
                print(f"round {k}: {' '.join(way)} {np.round(times, 2)}", file=sys.stderr, flush=True)
    print(report(found))


def report(found: dict[tuple[str, str], list[list[float]]]) -> str:
    """Make the table: medians over the rounds, and medians of the ratios within rounds."""
    titles = {way: f"cinn-colorize -n {way[1]}" if way[0] not in PEERS else " ".join(way) for way in found}
    reference = next(np.array(times) for way, times in found.items() if titles[way] == FIRST)
    rows: list[list[Any]] = []
    for way, times in found.items():
        *seconds, memory = np.median(times, axis=0)
        ratios = np.median(np.array(times) / reference, axis=0)[[1, 3, 4]]
        cells = [*(f"{value:.1f}" for value in seconds), f"{memory:.0f}"]
        rows.append([titles[way], *cells, *(f"{ratio:.2f}" for ratio in ratios)])
    head = ["", "cold, s", "cold, CPU s", "warm, s", "warm, CPU s", "peak memory, MiB"]
    text = table([*head, "cold CPU", "warm CPU", "memory"], rows)
    where = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.0f}"
    said = f"Medians of {len(reference)} rounds" if len(reference) > 1 else "One round"
    return f"{text}\n\n{said}, on {where}; the last three columns are ratios to `{FIRST}`."


if __name__ == "__main__":
    main()
