"""The graphs that the package ships, computed by onnxruntime and compared with torch."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import COLOR, ENVIRONMENT, GRAY, WIDE, call, longer, needs, onnx_colorizer, stir, the_line
from narrow import NARROW_NATURAL
from PIL import Image
from torch.utils._pytree import tree_leaves_with_path
from typer.testing import CliRunner

from cinn_colorize import Colorizer
from cinn_colorize.cli.app import app
from cinn_colorize.colorizer import NetworkInput
from cinn_colorize.engines.choice import Engine, ModelSpec, has_gpu
from cinn_colorize.engines.onnx.files import graphs_for
from cinn_colorize.errors import EngineError, WeightsError
from cinn_colorize.files import tensorfile
from cinn_colorize.imaging.options import HintReach
from cinn_colorize.imaging.photo import open_photo, read_recipe
from cinn_colorize.latents.latent import Latent
from cinn_colorize.methods.hints import Hint, Hinted
from cinn_colorize.methods.recipe import METHODS
from cinn_colorize.models import find_weights, save_model
from cinn_colorize.models.bedrooms import Bedrooms, BedroomsConfig
from cinn_colorize.models.natural import Natural
from cinn_colorize.models.natural_config import NaturalConfig

for package in ("onnx", "onnxscript", "onnxruntime"):
    needs(package)

ON_CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def colorizer(shipped_colorizer):
    return shipped_colorizer  # whose pictures are judged


def steps(a, b):
    """The largest difference of two pictures, in code values of 8 bits."""
    return np.abs(np.asarray(Image.open(a), int) - np.asarray(Image.open(b), int)).max()


def check_agreement(colorizer, engine):
    """Both engines agree to 1e-3: shared tensors, colours of the flow, densities."""
    from cinn_colorize.engines.onnx.export import name_of

    for photo in (GRAY, WIDE):
        expected, samples = (c.condition(photo).sample(2, 0.8, 7) for c in (colorizer, engine))
        for a, b in zip(expected, samples, strict=True):
            assert a.ab.shape == b.ab.shape
            np.testing.assert_allclose(b.ab / 15, a.ab / 15, atol=1e-3)
            assert b.log_prob_per_dimension == pytest.approx(a.log_prob_per_dimension, abs=1e-3)
            assert a.recipe == b.recipe
    L = NetworkInput.of(open_photo(GRAY), colorizer.info.luminance_size).square
    shared = engine.network.condition(L)
    with torch.no_grad():
        condition = colorizer.model.condition(torch.from_numpy(L)[None, None])
    for path, leaf in tree_leaves_with_path(condition):
        if leaf is not None:
            np.testing.assert_allclose(shared.pop(name_of(path)), leaf, rtol=1e-3, atol=1e-3)
    assert not shared


def test_the_shipped_model_is_the_same_in_both(colorizer, engine):
    check_agreement(colorizer, engine)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        pytest.param(Natural, NaturalConfig, id="natural", marks=pytest.mark.ci),
        pytest.param(Bedrooms, BedroomsConfig, id="bedrooms"),
    ],
)
def test_the_graphs_fit_all_weights_of_their_architecture(tmp_path, kind, config):
    """Nothing of the weights that they were made from is in them, and they are those of today's code."""
    torch.manual_seed(0)
    path = tmp_path / "other.safetensors"
    save_model(path, stir(kind(config.default())), {})
    check_agreement(Colorizer(kind.name, weights=path, device="cpu"), onnx_colorizer(kind.name, path))


def test_the_shipped_models_have_graphs():
    for name in ("natural", "bedrooms"):
        assert graphs_for(name, find_weights(name)[0]) is not None
    assert graphs_for("mnist", find_weights("mnist")[0]) is None
    assert graphs_for("natural", find_weights("bedrooms")[0]) is None


def test_other_architectures_and_other_tensors_have_no_graph(tmp_path):
    path = tmp_path / "own.safetensors"
    save_model(path, Natural(NARROW_NATURAL), {})
    assert graphs_for("natural", path) is None
    config, tensors = tensorfile.load(find_weights()[0])
    name = "levels.8.flow.maps.1.position"
    tensorfile.save(path, config, tensors)
    assert graphs_for("natural", path) is not None
    architecture = config["architecture"] | {"knee": 2.0}  # which no tensor shows
    tensorfile.save(path, config | {"architecture": architecture}, tensors)
    assert graphs_for("natural", path) is None
    tensorfile.save(path, config, tensors | {name: tensors[name][1:]})
    assert graphs_for("natural", path) is None
    del tensors[name]
    tensorfile.save(path, config, tensors)
    assert graphs_for("natural", path) is None


@pytest.mark.parametrize("photo", [*longer("gray.png", "wide.png"), "framed.png"])
def test_pictures_are_within_one_step_and_torch_is_not_there(folder, photo, colorizer, tmp_path):
    """Without --engine, onnxruntime computes them, if there is no GPU."""
    done, lines, torch_was_there = call(
        folder, photo, *ON_CPU, "-o", "onnx", "-s", 3, "--upsampling", "jbu", "-q"
    )
    assert (done.returncode, lines, torch_was_there) == (0, [], False), done.stderr
    picture = folder / done.stdout.strip()
    (made,) = colorizer.colorize(folder / photo, seed=3)
    made.save(tmp_path / photo)
    assert steps(picture, tmp_path / photo) <= 1
    recipe = read_recipe(picture)
    assert recipe == read_recipe(tmp_path / photo)
    assert ("frame" in recipe) == (photo == "framed.png")


NO_TORCH = [
    ["gray.png", "-n", 2, "--pick", 1],
    pytest.param(["gray.png", "-n", 2, "--rank", "log-prob"], marks=pytest.mark.ci),
    pytest.param(["gray.png", "--hint", "20,30,red"], marks=pytest.mark.ci),
    pytest.param(["temperature", "gray.png", "--temperatures", "0,1", "--files"], marks=pytest.mark.ci),
]


@pytest.mark.parametrize("arguments", NO_TORCH, ids=lambda words: " ".join(map(str, words)))
def test_what_needs_no_torch(folder, tmp_path, arguments):
    done, lines, torch_was_there = call(folder, *arguments, *ON_CPU, "-q", "-o", tmp_path)
    assert (done.returncode, lines) == (0, []), done.stderr
    assert not torch_was_there
    made = Path(done.stdout.split()[0])
    again = tmp_path / f"again_{made.name}"
    done, lines, torch_was_there = call(
        folder, "recreate", folder / made, "gray.png", *ON_CPU, "-q", "-o", again
    )
    assert (done.returncode, lines) == (0, []), done.stderr
    assert not torch_was_there
    assert again.read_bytes() == (folder / made).read_bytes()


def test_onnxruntime_reports_to_nobody(folder, tmp_path):
    """It would leave a session beside temporary files, and an identifier in the user's cache."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    done, _, torch_was_there = call(
        folder, "gray.png", "-o", "private", HOME=str(home), TMPDIR=str(temporary), XDG_CACHE_HOME=""
    )
    assert done.returncode == 0, done.stderr
    assert not torch_was_there
    assert not [*home.rglob("*"), *temporary.rglob("*")]


@pytest.mark.ci
def test_pictures_of_torch_are_made_again(colorizer, examples, tmp_path):
    photo = examples / "photo.jpg"  # so large that some pixel differs in onnxruntime
    (made,) = colorizer.colorize(photo, seed=2)
    made.save(tmp_path / "made.png")
    done, lines, _ = call(tmp_path, "recreate", "made.png", photo, *ON_CPU, "-o", "again.png")
    assert done.returncode == 0, done.stderr
    assert lines == ["cinn-colorize: again.png: the same bytes as made.png"]
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "made.png").read_bytes()
    done, lines, torch_was_there = call(
        tmp_path, "recreate", "made.png", photo, "--engine", "onnx", "-o", "other.png"
    )
    assert (done.returncode, torch_was_there) == (1, False), done.stderr
    assert lines == ["cinn-colorize: other.png: the bytes differ from those of made.png"]
    assert steps(tmp_path / "other.png", tmp_path / "made.png") <= 1


@pytest.mark.ci
def test_workers_make_the_same_files_without_torch(folder, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch')")
    path = os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])
    options = ["-n", 2, "--pick", 1, *ON_CPU, "-q", "-o"]
    both, lines, _ = call(folder, "gray.png", "wide.png", *options, "many", PYTHONPATH=path)
    assert (both.returncode, lines) == (0, []), both.stderr
    for photo in ("gray", "wide"):
        one, _, _ = call(folder, f"{photo}.png", *options, "one")
        path = Path(one.stdout.strip())
        assert (folder / path).read_bytes() == (folder / "many" / path.name).read_bytes()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Weights of an architecture that has no graph."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    save_model(path, stir(Natural(NARROW_NATURAL)), {})
    return path


def test_weights_without_a_graph_are_computed_in_torch(folder, narrow):
    done, lines, torch_was_there = call(
        folder, "gray.png", "--weights", narrow, *ON_CPU, "-q", "-s", 1, "-o", "narrow"
    )
    assert (done.returncode, done.stdout, lines) == (0, "narrow/gray_001.png\n", []), done.stderr
    assert torch_was_there
    done, (line,), torch_was_there = call(
        folder, "gray.png", "--weights", narrow, "--engine", "onnx", "-o", "none"
    )
    assert (done.returncode, done.stdout, torch_was_there) == (1, "", False)
    assert f"{narrow}: onnxruntime has no graph of this architecture; use --engine torch" in line


def test_onnxruntime_computes_what_it_can(monkeypatch):
    spec = ModelSpec("natural", *find_weights(), "auto", "fp32")
    graphs = graphs_for("natural", spec.weights)
    monkeypatch.setattr("cinn_colorize.engines.choice.has_gpu", lambda: False)
    assert spec.graphs == graphs
    assert replace(spec, device="cpu").graphs == graphs
    for change in (
        {"device": "cuda"},
        {"precision": "bf16"},
        {"encodes": True},
        {"engine": Engine.torch},
    ):
        assert replace(spec, **change).graphs is None, change
    monkeypatch.setattr("cinn_colorize.engines.choice.has_gpu", lambda: True)
    assert spec.graphs is None
    assert replace(spec, device="cpu").graphs == graphs
    assert replace(spec, engine=Engine.onnx).graphs == graphs
    monkeypatch.setattr("cinn_colorize.engines.choice.find_spec", lambda _: None)
    assert replace(spec, device="cpu").graphs is None


def test_methods_say_what_they_need():
    encode = {name for name, method in METHODS.items() if method.encodes}
    assert encode == {"transfer", "mix"}


def test_a_gpu_is_seen_without_torch(tmp_path, monkeypatch):
    monkeypatch.setattr("cinn_colorize.engines.choice._GPU_DEVICES", (tmp_path / "nvidiactl",))
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_gpu()
    (tmp_path / "nvidiactl").touch()
    assert has_gpu()
    for system, machine, expected in (
        ("darwin", "arm64", True),
        ("darwin", "x86_64", False),
        ("freebsd14", "amd64", True),  # nobody knows
    ):
        monkeypatch.setattr("sys.platform", system)
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert has_gpu() == expected


def test_samples_depend_on_their_seed_alone(engine):
    conditioned = engine.condition(GRAY)
    several, one = conditioned.sample(3, 0.8, 5), conditioned.sample(1, 0.8, 7)
    assert np.array_equal(several[2].ab, one[0].ab)
    assert several[2].log_prob == one[0].log_prob
    assert not np.array_equal(several[0].ab, several[1].ab)


def test_what_takes_more_than_g_is_one_error(engine):
    conditioned = engine.condition(GRAY)
    (sample,) = conditioned.sample()
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    asked = [
        lambda: conditioned.encode(sample.ab),
        lambda: conditioned.log_prob(sample.ab),
        lambda: conditioned.mix((1, 2), engine.mask(mask)),
        lambda: engine.reference(COLOR),
    ]
    for ask in asked:
        with pytest.raises(EngineError, match="use --engine torch"):
            ask()


@pytest.mark.parametrize("reach", longer("thing", "photo"))
def test_hints_are_followed_as_in_torch(engine, colorizer, reach):
    hinted = Hinted(
        (Hint(3, 4, (255, 0, 0)),), reach=HintReach(reach), seed=2, temperature=engine.info.temperature
    )
    (ours,), (theirs,) = (hinted.samples(each, open_photo(GRAY)) for each in (engine, colorizer))
    np.testing.assert_allclose(ours.ab, theirs.ab, atol=0.1)


@pytest.mark.ci
def test_codes_of_torch_are_decoded(engine, colorizer):
    reference = colorizer.reference(COLOR)
    for photo in (GRAY, WIDE):
        ours, theirs = (c.condition(photo).transfer(reference, 2, 0.5)[1] for c in (engine, colorizer))
        np.testing.assert_allclose(ours.ab / 15, theirs.ab / 15, atol=1e-3)
        assert ours.recipe == theirs.recipe


def test_luminance_of_another_size_is_refused(engine):
    with pytest.raises(ValueError, match="256"):
        engine.condition(NetworkInput(np.zeros((64, 64), np.float32)))


def test_the_code_of_a_sample_is_its_noise(engine, colorizer):
    (sample,) = engine.condition(GRAY).sample(1, 0.5, 4)
    expected = Latent.draw(engine.network.latent_shapes, [4], 0.5)
    assert engine.network.latent_shapes == colorizer.model.latent_shapes
    assert all(torch.equal(z, expected.levels[r]) for r, z in sample.latent.levels.items())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cuda"], "onnx requires --device auto or cpu, not cuda"),
        (["--precision", "bf16"], "onnx requires --precision fp32, not bf16"),
    ],
)
def test_what_onnxruntime_does_not_do_is_refused(folder, arguments, said, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["gray.png", "--engine", "onnx", "-o", "none", *arguments])
    assert result.exit_code == 2
    assert said in the_line(result)
    assert not Path("none").exists()


def test_without_onnxruntime_one_line_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("cinn_colorize.cli.common.find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["gray.png", "--engine", "onnx", "-o", "none"])
    assert result.exit_code == 2
    assert "pip install onnxruntime" in the_line(result)


def test_a_damaged_file_is_named(engine, tmp_path):
    from cinn_colorize.engines.onnx.files import Sessions

    weights, _ = find_weights()
    folder = tmp_path / "graphs"
    shutil.copytree(graphs_for("natural", weights), folder)
    Sessions(folder, weights)
    (folder / "sample.onnx").write_bytes((folder / "sample.onnx").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"sample\.onnx: missing, damaged .* reinstall cinn-colorize"):
        Sessions(folder, weights)
    with pytest.raises(WeightsError, match=r"sample\.onnx: missing, damaged .* export it again"):
        Sessions(folder)
