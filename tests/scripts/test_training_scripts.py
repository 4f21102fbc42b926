"""The scripts that prepare what a run begins with."""

import subprocess
import sys

import grow
import pytest
import torch
from helpers import ENVIRONMENT, ROOT, stir
from narrow import NARROW_NATURAL
from PIL import Image, ImageOps

from cinn_colorize.data.sources import Reader, find_photos
from cinn_colorize.models import load_model, save_model
from cinn_colorize.models.natural import Natural


@pytest.fixture
def run(monkeypatch):
    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", ["", *map(str, arguments)])
        script.main()

    return run


def test_details_are_taken_and_the_rest_is_kept(run, tmp_path):
    for seed, name in enumerate(["coarse", "other"]):
        save_model(tmp_path / f"{name}.safetensors", stir(Natural(NARROW_NATURAL), seed=seed), {})
    files = [tmp_path / f"{name}.safetensors" for name in ("coarse", "made", "other")]
    run(grow, *files[:2], "--details", files[2])
    coarse, other, made = (
        load_model(source=tmp_path / f"{name}.safetensors").model.state_dict()
        for name in ("coarse", "other", "made")
    )
    assert made.keys() == coarse.keys()
    for name, tensor in made.items():
        details = name.startswith(("levels.32", "levels.16"))
        assert not details or torch.equal(tensor, other[name]), name
        kept = name.startswith(("levels.8", "backbone"))
        assert not kept or torch.equal(tensor, coarse[name]), name


def test_grown_weights_are_the_same_flow_with_more_to_learn(run, tmp_path):
    save_model(tmp_path / "small.safetensors", stir(Natural(NARROW_NATURAL)), {})
    files = [tmp_path / f"{name}.safetensors" for name in ("small", "grown")]
    run(grow, *files, "--attention", "8:2", "--blocks", "3")
    small, grown = (load_model(source=path).model.eval() for path in files)
    assert (grown.config.attention, grown.config.coarse.blocks) == ({8: 2}, 3)
    generator = torch.Generator().manual_seed(0)
    L, x = (
        100 * torch.rand(1, 1, 256, 256, generator=generator),
        torch.randn(1, 2, 64, 64, generator=generator),
    )
    with torch.no_grad():
        (z, log_dets), (z_grown, log_dets_grown) = (model(x, model.condition(L)) for model in (small, grown))
    torch.testing.assert_close(z_grown, z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_dets_grown, log_dets, atol=1e-2, rtol=1e-4)
    with pytest.raises(SystemExit):
        run(grow, files[1], files[0], "--blocks", "1")
    with pytest.raises(SystemExit):
        run(grow, files[0], tmp_path / "mean.safetensors", "--mean", files[1])


def test_a_mean_counts_weights_as_often_as_they_are_named(run, tmp_path):
    files = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "mean")]
    for seed, path in enumerate(files[:2]):
        save_model(path, stir(Natural(NARROW_NATURAL), seed=seed), {})
    run(grow, files[0], files[2], "--mean", files[0], files[1])
    a, b, mean = (load_model(source=path).model.state_dict() for path in files)
    for name, tensor in mean.items():
        expected = (2 * a[name] + b[name]) / 3
        torch.testing.assert_close(tensor, expected, atol=1e-4, rtol=1e-3, msg=name)  # stored in fp16
        assert tensor.dtype == a[name].dtype


def commit(repository, files):
    """Put files into a new git repository, and return its commit."""
    for path, picture in files.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        picture.save(repository / path)
    author = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "photos"], ["rev-parse", "HEAD"]):
        done = subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.ci
def test_photos_of_repositories_are_packed_but_those_that_teach_no_colours(tmp_path):
    opened = {path.stem: Image.open(path).convert("RGB") for path in (ROOT / "examples").glob("[a-t]*.*g")}
    sunset, wren, colosseum = (opened[n] for n in ("beacon-street-sunset", "canyon-wren", "roman-colosseum"))
    of_one = {f"a/{name}.png": opened[name] for name in ("coffee", "chelsea", "tea-gardens", "rocket")}
    white = colosseum.copy()
    white.paste("white", (0, 0, colosseum.width * 3 // 5, colosseum.height))
    pale = sunset.convert("L").convert("RGB")
    pale.paste(sunset.crop((0, 0, 240, 240)))
    left_out = {
        "a/gray.png": opened["perched-osprey"].convert("L"),
        "a/sepia.png": ImageOps.colorize(wren.convert("L"), "#001040", "#ffe0a0"),
        "a/pale.png": pale,
        "a/white.png": white,
        "a/small.png": opened["blue-periwinkle"].resize((150, 100)),
        "a/long.png": opened["extreme-desert-hike"].resize((1000, 250)),
        "a/again.jpg": opened["rocket"].resize((480, 320)),
        "a/held.jpg": opened["astronaut"].resize((400, 400)),
        "other/photo.png": opened["oakland-zoo-otters"],
    }
    commits = [
        commit(tmp_path / "hub/them/one", of_one | left_out),
        commit(tmp_path / "hub/them/two", {f"{name}.png": opened[name] for name in ("chelsea", "photo")}),
    ]
    held = tmp_path / "held"
    held.mkdir()
    opened["astronaut"].save(held / "astronaut.png")
    (tmp_path / "sources.tsv").write_text(
        "name\trepository\tcommit\tmatch\ttake\tper_dir\twhite\n"
        f"one\tthem/one\t{commits[0]}\t^a/\t\t\t\n"
        f"gone\tthem/gone\t{commits[0]}\t.\t\t\t\n"
        f"gray\tthem/one\t{commits[0]}\tgray|sepia\t\t\t\n"
        f"two\tthem/two\t{commits[1]}\t\\.png$\t\t\t\n"
    )
    instead = {"KEY_0": f"url.{(tmp_path / 'hub').as_uri()}/.insteadOf", "VALUE_0": "https://github.com/"}
    environment = ENVIRONMENT | {f"GIT_CONFIG_{name}": value for name, value in instead.items()}
    environment["GIT_CONFIG_COUNT"] = "1"

    def run(folder):
        words = [ROOT / "scripts/training/photos.py", folder, "--keep-out", held]
        words += ["--sources", tmp_path / "sources.tsv"]
        return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)

    done = run(tmp_path / "made")
    gone = "https://github.com/them/gone: git could not fetch it"
    gray = "https://github.com/them/one: no photos are left: {'unreadable or gray': 1, 'without colours': 1}"
    failed = f"photos.py: left out: {gone}; {gray}"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, failed)
    found = find_photos(tmp_path / "made")
    assert [source.entry for source in found] == [*(f"one/{i:05d}.webp" for i in range(4)), "two/00000.webp"]
    read = Reader()
    sizes = {name: opened[name].size for name in ("coffee", "chelsea", "tea-gardens", "rocket", "photo")}
    assert sorted(min(read(source).shape[:2]) for source in found) == sorted(
        min(256, *size) for size in sizes.values()
    )
    files = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert files.keys() == {"photos-one-0.zip", "photos-two-0.zip"}
    assert run(tmp_path / "made").stderr.splitlines()[-1] == failed  # the others are not made again
    run(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files
