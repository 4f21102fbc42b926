"""The files of an autoregressive level: the step of each pass, and onnxruntime compared with torch."""

import numpy as np
import pytest
import torch
from helpers import LUMINANCE, check_independence, needs, random_codes, stir
from narrow import NARROW_NATURAL

from cinn_colorize.colorizer import BaseColorizer, NetworkInput
from cinn_colorize.engines.interface import Coarse
from cinn_colorize.engines.pytorch import TorchNetwork
from cinn_colorize.errors import WeightsError
from cinn_colorize.evaluation.photos import block_means
from cinn_colorize.methods.conditioned import drawn_alike
from cinn_colorize.models import MODELS, Loaded
from cinn_colorize.models.natural import Natural

for package in ("onnx", "onnxscript", "onnxruntime"):
    needs(package)

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return stir(Natural(NARROW_NATURAL)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    from cinn_colorize.engines.onnx.export import export

    folder = tmp_path_factory.mktemp("onnx")
    export(Loaded(model, MODELS["natural"], "0" * 64), folder)
    return folder


@pytest.fixture(scope="module", params=[0.0, 0.5], ids=["plain", "guided"])
def engines(request, model, folder):
    from cinn_colorize.engines.onnx.engine import OnnxNetwork
    from cinn_colorize.engines.onnx.files import Sessions

    guidance = request.param
    torch_network = TorchNetwork(model, 256, torch.device("cpu"), guidance=guidance)
    return torch_network, OnnxNetwork(Sessions(folder), guidance)


def test_weights_are_in_the_same_order_in_every_process(model, folder):
    import onnx

    held = onnx.load(folder / "step0.onnx", load_external_data=False).graph.initializer
    names = [tensor.name for tensor in held if tensor.name in model.state_dict()]
    assert len(names) > 10
    assert names == sorted(names)  # not the order of a set


def test_onnxruntime_draws_what_torch_draws(engines):
    torch_network, onnx_network = engines
    assert onnx_network.latent_shapes == torch_network.latent_shapes
    latents = random_codes(torch_network, 3)
    ab, log_prob = torch_network.decode(latents, torch_network.condition(LUMINANCE))
    got, got_log_prob = onnx_network.decode(latents, onnx_network.condition(LUMINANCE))
    assert ab.std() > 1
    np.testing.assert_allclose(got, ab, atol=1e-3)
    np.testing.assert_allclose(got_log_prob, log_prob, rtol=1e-5)


def test_given_coarse_colours_are_kept_by_both(engines):
    size = engines[0].coarse_size
    assert size == engines[1].coarse_size == 16
    colours = np.random.default_rng(0).normal(0, 4, (3, 2, size, size)).astype(np.float32)
    decoded = []
    for engine in engines:
        coarse = Coarse(colours, np.array([0.0, 1.0, 2.0]))
        ab, log_prob = engine.decode(random_codes(engine, 3), engine.condition(LUMINANCE), coarse)
        np.testing.assert_allclose(block_means(ab, size), colours, atol=1e-3)  # details have no mean
        decoded.append((ab, log_prob))
    np.testing.assert_allclose(decoded[1][0], decoded[0][0], atol=1e-3)
    np.testing.assert_allclose(decoded[1][1], decoded[0][1], rtol=1e-5)


@pytest.mark.parametrize("engine", [0, 1], ids=["torch", "onnx"])
def test_details_refine_the_coarse_colours_and_change_nothing_else(engines, engine):
    network = engines[engine]
    latents, condition = random_codes(network, 9), network.condition(LUMINANCE)
    ab, log_prob = network.decode(latents, condition)
    coarse = network.coarse(latents, [condition] * 9)
    np.testing.assert_allclose(coarse.ab, block_means(ab, network.coarse_size), atol=1e-3)
    some = [7, 2]
    again, of_some = network.decode({r: z[some] for r, z in latents.items()}, condition, coarse.some(some))
    assert again.tobytes() == ab[some].tobytes()
    assert of_some.tobytes() == log_prob[some].tobytes()


@pytest.mark.parametrize("engine", [0, 1], ids=["torch", "onnx"])
def test_a_sample_does_not_depend_on_how_many_are_drawn(engines, engine):
    check_independence(engines[engine])


@pytest.mark.parametrize("engine", [0, 1], ids=["torch", "onnx"])
def test_photos_that_are_drawn_together_have_the_colours_that_each_has_alone(engines, engine):
    colorizer = BaseColorizer(MODELS["natural"], "0" * 64, "fp32", engines[engine])
    photos = [colorizer.condition(NetworkInput(L)) for L in (LUMINANCE, LUMINANCE[::-1], 100 - LUMINANCE)]
    together = drawn_alike(photos, range(5, 9), 0.8)
    for photo, drawn in zip(photos, together, strict=True):
        alone = [sample.ab for sample in photo.sample(4, 0.8, 5)]
        assert np.stack(alone).tobytes() == drawn.tobytes()


def test_a_missing_step_is_named(folder):
    from cinn_colorize.engines.onnx.files import Sessions

    step, kept = folder / "step1.onnx", folder / "kept"
    step.rename(kept)
    try:
        with pytest.raises(WeightsError, match=r"step1\.onnx: missing"):
            Sessions(folder)
    finally:
        kept.rename(step)
