"""Draw the paper's figures from our models: python scripts/paper/figures.py 1 14 15.

Writes figure-1.jpg and so on; docs/paper.md shows and explains them. Without --data, the figures use photos
in examples/ or, for 7, MNIST; without --weights, the packaged models. The same seed gives the same bytes.
"""

import argparse
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ablations import curve, plot
from PIL import Image, ImageOps

from cinn_colorize import Colorizer
from cinn_colorize.colorizer import Sample
from cinn_colorize.data.sources import SUFFIXES, Reader, Source, evenly_spaced, find_photos
from cinn_colorize.errors import DataError, ending_in_a_line
from cinn_colorize.evaluation.evaluator import with_noise
from cinn_colorize.files import tensorfile
from cinn_colorize.imaging.photo import Photo, open_photo
from cinn_colorize.methods.charts import Strip
from cinn_colorize.methods.contact_sheet import Tile, contact_sheet, gray_tile, original_tile, save_sheet
from cinn_colorize.methods.digits import Digits, picture, samples_picture, walks_picture
from cinn_colorize.models import weights
from cinn_colorize.models.mnist import DIGITS
from cinn_colorize.training.mnist import read_mnist

ROOT = Path(__file__).parents[2]
TILE, SQUARE, QUALITY = 200, 256, 80
MOST = 25  # samples; each, and the truth, has a letter
ROWS, FAILURES = 6, 3  # maximal numbers of photos
TEMPERATURES = (0.0, 0.3, 0.6, 0.8, 1.0, 1.2)


class Request(NamedTuple):
    """The inputs of a figure."""

    data: Sequence[Path]  # photos (files, folders, zips), or a folder with MNIST
    weights: Sequence[Path]  # instead of the packaged ones
    number: int  # of samples of a photo, of codes or of digits
    seed: int  # of the first sample

    def colorizer(self, guidance: float | None = None) -> Colorizer:
        return next(iter(colorizers(self.weights, guidance=guidance).values()))

    def digits(self) -> Digits:
        return Digits(weights=self.weights[0] if self.weights else None)

    def photos(self, number: int | None = ROWS) -> list[Photo]:
        return [photo for _, photo in photos(self.data, number)]


def colorizers(
    files: Sequence[Path], default: str = "natural", guidance: float | None = None
) -> dict[str, Colorizer]:
    """Load the models in weights files, by file or folder name, or the packaged one."""
    differ = len({file.stem for file in files}) == len(files)
    loaded = {}
    for file in files:
        model = str(tensorfile.load(weights.find(file))[0].get("model"))
        name = file.stem if differ else file.parent.name
        loaded[name] = Colorizer(model, weights=file, guidance=guidance)
    return loaded or {default: Colorizer(default, guidance=guidance)}


def photos(paths: Sequence[Path], number: int | None = None) -> Iterator[tuple[str, Photo]]:
    """Yield photos with their names, all or ``number`` of them evenly spaced."""
    sources: list[Source] = []
    for path in paths:
        sources += [Source(path)] if path.suffix.lower() in SUFFIXES else find_photos(path, None)
    read = Reader()
    for source in evenly_spaced(sources, number or len(sources)):
        yield Path(source.entry or str(source.path)).stem, open_photo(read.file(source), name=str(source))


def square(photo: Photo) -> Photo:
    """Crop the middle of a photo, at the size of ``evaluate``."""
    return open_photo(ImageOps.fit(photo.thumbnail(4 * SQUARE), (SQUARE, SQUARE)))


def shown(
    colorizer: Colorizer, photo: Photo, samples: Sequence[Sample], labels: Sequence[str], size: int = TILE
) -> list[Tile]:
    made = colorizer.compose(open_photo(photo.thumbnail(size)), samples)
    return [(one.picture.thumbnail(size), label) for one, label in zip(made, labels, strict=True)]


def own_colours(colorizer: Colorizer, photo: Photo) -> Sample:
    """Encode and decode the photo's own colours, as the model would draw them."""
    return colorizer.condition(photo).transfer(colorizer.reference(photo), noise=0.0)[0]


def truth_among_samples(request: Request) -> Image.Image:
    """Fig. 1: samples and the photo's own colours at the same resolution, shuffled."""
    colorizer, size = request.colorizer(), 3 * TILE // 2
    (photo,) = request.photos(1)
    samples = colorizer.condition(photo).sample(request.number, seed=request.seed)
    samples.append(own_colours(colorizer, photo))
    order = np.random.default_rng(request.seed).permutation(len(samples))
    letters = string.ascii_uppercase[: len(samples)]
    print(f"figure 1: the photo's own colours are {letters[int(order.argmax())]}", file=sys.stderr)
    return contact_sheet(shown(colorizer, photo, [samples[k] for k in order], letters, size))


def digits_in_styles(request: Request) -> Image.Image:
    """Fig. 7: test images on the left, all digits in the style of each."""
    images, labels = read_mnist(request.data[0], "t10k")
    chosen = np.random.default_rng(request.seed).choice(len(images), request.number, replace=False)
    rows = request.digits().transfer(images[chosen], labels[chosen].tolist())
    columns = ["image", *map(str, range(DIGITS))]
    return picture(np.concatenate([images[chosen, None], rows], axis=1), columns=columns)


def without_conditioning(request: Request) -> Image.Image:
    """Fig. 16: models with and without conditioning network."""
    if len(request.weights) != 2:
        raise DataError("give --weights of the models with and without conditioning network; see --help")
    return diverse(request, guidance=0.0)  # what was learnt, little as it is


def diverse(request: Request, model: str = "natural", guidance: float | None = None) -> Image.Image:
    """Figs. 9 and 11: samples of each photo, in a row."""
    models = colorizers(request.weights, model, guidance)
    number, tiles = max(1, request.number // len(models)), list[Tile]()
    for photo in request.photos():
        photo = square(photo) if model == "bedrooms" else photo
        tiles.append(original_tile(photo, TILE))
        for name, colorizer in models.items():
            samples = colorizer.condition(photo).sample(number, seed=request.seed)
            labels = [name if len(models) > 1 else f"seed {sample.seed}" for sample in samples]
            tiles += shown(colorizer, photo, samples, labels)
    return contact_sheet(tiles, 1 + number * len(models))


def ablation_curves(request: Request) -> Image.Image:
    """Fig. 10: curves of the runs of scripts/paper/ablations.py, one plot per data set."""
    plots = []
    for folder in sorted(request.data[0].glob("*/")):
        curves = {run.parent.name: curve(run.parent) for run in sorted(folder.glob("*/evaluation.csv"))}
        if any(name.startswith("full") for name in curves):
            plots.append((plot(curves), folder.name))
    if not plots:
        raise DataError(f"{request.data[0]}: no runs in it; make them with scripts/paper/ablations.py")
    return contact_sheet(plots, 1)


def failures(request: Request) -> Image.Image:
    """Fig. 12: the least likely samples above, photos with the least likely colours below.

    They are told by how much likelier they are than the median sample, in nats per dimension.
    """
    colorizer = request.colorizer(guidance=0.0)  # densities are those without guidance
    worst, medians = list[tuple[float, Photo, Sample]](), list[tuple[float, Photo, Sample]]()
    for photo in request.photos(None):
        if photo.is_color:
            conditioned = colorizer.condition(photo).whole
            drawn = [*conditioned.sample(request.number, 1.0, request.seed), own_colours(colorizer, photo)]
            # With the same noise in all: the finest details decide about a density.
            *found, truth = (conditioned.log_prob(with_noise(s.ab, seed=0)) / s.ab.size for s in drawn)
            ranked = sorted(range(len(found)), key=found.__getitem__)
            least, median = ranked[0], ranked[len(found) // 2]
            worst.append((found[least] - found[median], photo, drawn[least]))
            medians.append((truth - found[median], photo, drawn[median]))
    if not worst:
        raise DataError(f"{request.data[0]}: no photos in colour")
    tiles = []
    for of_sample, photo, sample in sorted(worst, key=itemgetter(0))[:FAILURES]:
        label = f"seed {sample.seed}: log-likelihood {of_sample:+.2f}"
        tiles += [original_tile(photo, TILE), *shown(colorizer, photo, [sample], [label])]
    for of_truth, photo, sample in sorted(medians, key=itemgetter(0))[:FAILURES]:
        tiles.append((photo.thumbnail(TILE), f"original: log-likelihood {of_truth:+.2f}"))
        tiles += shown(colorizer, photo, [sample], ["median sample"])
    return contact_sheet(tiles, len(tiles) // 2)


def temperatures(request: Request) -> Image.Image:
    """Fig. 14: one code of each photo, scaled."""
    colorizer, tiles, labels = request.colorizer(), [], [f"T = {t:g}" for t in TEMPERATURES]
    for photo in request.photos():
        samples = Strip(TEMPERATURES, seed=request.seed).samples(colorizer, photo)
        tiles += shown(colorizer, photo, samples, labels)
    return contact_sheet(tiles, len(TEMPERATURES))


def colour_transfer(request: Request) -> Image.Image:
    """Fig. 15: the first photo in gray in the colours of each of the others."""
    colorizer = request.colorizer()
    target, *references = request.photos()
    conditioned = colorizer.condition(target)
    above = [gray_tile(target, TILE), *((photo.thumbnail(TILE), "reference") for photo in references)]
    below = [original_tile(target, TILE)]
    for photo in references:
        samples = conditioned.transfer(colorizer.reference(photo), seed=request.seed)
        below += shown(colorizer, target, samples, ["transferred"])
    return contact_sheet(above + below, len(above))


class Figure(NamedTuple):
    """A figure and its default inputs."""

    draw: Callable[[Request], Image.Image]
    data: tuple[str, ...] = ()  # relative to the root
    number: int = 8


def examples(names: str) -> tuple[str, ...]:
    return tuple(f"examples/{name}" for name in names.split())


DIVERSE = examples("singaporean-cityscape.jpg photo.jpg chelsea.png coffee.png roman-colosseum.jpg")
REFERENCES = "beacon-street-sunset.jpg tea-gardens.jpg extreme-desert-hike.jpg blue-periwinkle.jpg rocket.jpg"
FIGURES = {
    1: Figure(truth_among_samples, examples("canyon-wren.jpg")),
    4: Figure(lambda asked: walks_picture(asked.digits())),
    6: Figure(lambda asked: samples_picture(asked.digits(), asked.number, seed=asked.seed)),
    7: Figure(digits_in_styles, ("../shared/data/MNIST",)),
    9: Figure(partial(diverse, model="bedrooms"), ("../shared/data/interiors-val.zip",), 6),
    10: Figure(ablation_curves, ("runs/ablations",)),
    11: Figure(diverse, DIVERSE, 5),
    12: Figure(failures, ("examples",), 16),
    14: Figure(temperatures, examples("photo.jpg tea-gardens.jpg coffee.png")),
    15: Figure(colour_transfer, examples(f"photo.jpg {REFERENCES}")),
    16: Figure(without_conditioning, examples("photo.jpg chelsea.png coffee.png"), 6),
}

DATA = "photos: files, folders, zips; 7: MNIST's folder; 10: the run folder of scripts/paper/ablations.py"
WEIGHTS = "weights files; 9 and 11 accept several models, 16 one with and one without conditioning network"


@ending_in_a_line
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("figures", type=int, nargs="+", choices=FIGURES, metavar="N", help=f"of {[*FIGURES]}")
    parser.add_argument("--data", type=Path, nargs="+", help=DATA)
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help=WEIGHTS)
    parser.add_argument("--number", type=int, help="samples per photo, or rows of digits")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first sample")
    parser.add_argument("--output-dir", type=Path, default=Path("colorized"))
    arguments = parser.parse_args()
    if arguments.seed < 0 or (arguments.number is not None and not 1 <= arguments.number <= MOST):
        parser.error(f"--seed must be 0 or more and --number from 1 to {MOST}")
    for n in arguments.figures:
        figure = FIGURES[n]
        data = arguments.data or [ROOT / name for name in figure.data]
        request = Request(data, arguments.weights, arguments.number or figure.number, arguments.seed)
        path = arguments.output_dir / f"figure-{n}.jpg"
        image = figure.draw(request)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sheet(image, path, quality=QUALITY)
        print(path)


if __name__ == "__main__":
    main()
