"""Laws of all invertible maps, including each model's flow."""

import importlib
import math
import pkgutil
from functools import cache, partial

import pytest
import torch
from helpers import stir
from narrow import (
    NARROW_BEDROOMS,
    NARROW_NATURAL,
    SMALL_MNIST,
    TINY_BEDROOMS,
    narrow_vgg,
    tiny_vgg,
)
from torch.utils import _pytree as pytree

from cinn_colorize import flow, models
from cinn_colorize.flow import Transform, mixing
from cinn_colorize.flow.autoregressive import AutoregressivePass, Guidance
from cinn_colorize.flow.coupling import AffineCoupling, ConvSubnet, LinearSubnet
from cinn_colorize.flow.details import (
    BoundedDetails,
    BoundedMean,
    GuidedMean,
    GuidedShift,
    Interval,
    LeakyClamp,
    SinhMap,
)
from cinn_colorize.flow.downsampling import HaarDownsampling, Squeeze
from cinn_colorize.flow.mixing import OrthogonalMixing, Permutation
from cinn_colorize.flow.sequence import Sequence
from cinn_colorize.models import MODELS, model_class
from cinn_colorize.models.base import Stage, expanded
from cinn_colorize.models.bedrooms import BedroomsStage
from cinn_colorize.models.bedrooms import StageConfig as BedroomsStageConfig
from cinn_colorize.models.imagenet_vgg import ImagenetVggStage
from cinn_colorize.models.imagenet_vgg import StageConfig as VggStageConfig
from cinn_colorize.models.mnist import MnistConfig
from cinn_colorize.training.task import without

N, WIDTH = 2, 8
TOLERANCE = {torch.float32: 5e-5, torch.float64: 1e-12}  # of values of the order of 1


def randn(*shape, seed=0):
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(size):
    """Conditions of a coupling block's subnetworks."""
    return randn(WIDTH, size, size, seed=2), randn(WIDTH, size, size, seed=3)


def bounds(*shape):
    """Intervals around zero that differ by value."""
    spread = randn(*shape, seed=9).abs()
    return Interval(-0.5 - spread, 0.7 + spread.flip(-1))


def coupling(channels, size, bound=math.inf, clamp=0.5, kernel=3, layers=3):
    subnet = partial(ConvSubnet, width=WIDTH, kernel=kernel, layers=layers)
    block = AffineCoupling(channels, subnet, clamp, bound)
    return block, randn(channels, size, size), pair(size)


def vector_coupling(size):
    block = AffineCoupling(7, partial(LinearSubnet, hidden=[WIDTH, 5]), 0.5)
    return block, randn(7), (randn(WIDTH, seed=2), randn(WIDTH, seed=3))


def sinh_map(size, **options):
    return SinhMap(1.5, **options), randn(6, size, size), randn(6 * SinhMap.PARAMETERS, size, size, seed=4)


def sequence(size):
    transform, x, condition = sinh_map(size)
    block, _, conditions = coupling(6, size)
    mixing = OrthogonalMixing(6, seed=5)
    return Sequence([transform, mixing, block]), x, [condition, None, conditions]


def bounded_details(size):
    condition = BoundedMean(randn(2, size, size, seed=1), bounds(2, 2 * size, 2 * size))
    return BoundedDetails(0.1), randn(6, size, size), condition


def guided_shift(size):
    guides = randn(1, size, size, seed=1), randn(1, 2 * size, 2 * size, seed=2)
    return (
        GuidedShift(limit=7.0),
        randn(6, size, size),
        GuidedMean(10 * randn(2, size, size, seed=4), *guides),
    )


def autoregressive(size, weight=0.0, **options):
    made = AutoregressivePass(5, size, 32, 2, bound=2.0, **options)
    condition = randn(32, size, size, seed=1)
    guided = Guidance(condition, randn(32, size, size, seed=2), weight)
    return made, randn(5, size, size), guided if weight else condition


def stage(make, shape, features):
    return lambda size: prepared(make(), randn(*shape), randn(*features, seed=1))


def prepared(made, x, features):
    with torch.no_grad():
        return made, x, stir(made).double().prepare(features)


BEDROOMS_STAGE = BedroomsStageConfig(2, 4, 0.6)
VGG_STAGE = VggStageConfig(2, 4, (3, 3))
AUTHORS_STAGE = VggStageConfig(2, 4, (3, 3), reduction="squeeze", pointwise=4)
# By name: a factory of a transform, of its input and of its condition, at a size in pixels.
TRANSFORMS = {
    "coupling": partial(coupling, 6),
    "coupling, odd channels": partial(coupling, 5),
    "coupling, bounded": partial(coupling, 6, bound=0.7),
    "coupling, not clamped": partial(coupling, 6, clamp=math.inf),
    "coupling, two layers": partial(coupling, 6, layers=2),
    "coupling, 1x1 without condition": lambda size: (*coupling(6, size, kernel=1)[:2], None),
    "coupling, fully connected": vector_coupling,
    "coupling, fully connected without condition": lambda size: (*vector_coupling(size)[:2], None),
    "mixing": lambda size: (OrthogonalMixing(6, seed=5), randn(6, size, size), None),
    "mixing of some channels": lambda size: (
        OrthogonalMixing(6, seed=5, unmixed=2),
        randn(6, size, size),
        None,
    ),
    "mixing of vectors": lambda size: (OrthogonalMixing(6, seed=5), randn(6), None),
    "mixing of as many channels as samples": lambda size: (OrthogonalMixing(N, seed=5), randn(N, size), None),
    "permutation": lambda size: (Permutation(6, seed=5), randn(6, size, size), None),
    "sinh map": sinh_map,
    "sinh map, scales limited": partial(sinh_map, limit=0.7),
    "sequence": sequence,
    "haar": lambda size: (HaarDownsampling(), randn(3, 2 * size, 2 * size), None),
    "haar, orthonormal details": lambda size: (
        HaarDownsampling(halve_details=False),
        randn(3, 2 * size, 2 * size),
        None,
    ),
    "squeeze": lambda size: (Squeeze(), randn(3, 2 * size, 2 * size), None),
    "leaky clamp": lambda size: (LeakyClamp(0.1), randn(3, size, size), bounds(3, size, size)),
    "bounded details": bounded_details,
    "guided shift": lambda size: guided_shift(2 * size),  # windows of 3 x 3 within 4 x 4
    "guided shift, windows of all": guided_shift,
    "guided shift, one pixel": lambda size: guided_shift(1),
    "autoregressive": autoregressive,
    "autoregressive, guided": partial(autoregressive, weight=0.7),
    "autoregressive, last first": partial(autoregressive, reverse=True, clamp=0.5),
    "bedrooms: stage": stage(
        lambda: BedroomsStage(16, 8, BEDROOMS_STAGE, 5, mixing=True), (8, 2, 2), (5, 2, 2)
    ),
    "bedrooms: vector": stage(lambda: BedroomsStage(0, 7, BEDROOMS_STAGE, 5, mixing=True), (7,), (5,)),
    "bedrooms: stage, not mixed": stage(
        lambda: BedroomsStage(16, 8, BEDROOMS_STAGE, 5, mixing=False), (8, 2, 2), (5, 2, 2)
    ),
    "imagenet-vgg: stage": stage(
        lambda: ImagenetVggStage(16, 4, VGG_STAGE, 5, 1.9, 2.5), (4, 2, 2), (5, 8, 8)
    ),
    "imagenet-vgg: stage of the authors": stage(
        lambda: ImagenetVggStage(16, 4, AUTHORS_STAGE, 5, 1.5, math.inf), (4, 2, 2), (5, 8, 8)
    ),
    "imagenet-vgg: vector": stage(lambda: ImagenetVggStage(0, 7, VGG_STAGE, 5, 1.9, 2.5), (7,), (5, 8, 8)),
}


class Flow(Transform):
    """The flow of a model as one transform: all latents as a vector, and the sum of the log-dets."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, condition):
        latents, log_dets = self.model(x, condition)
        return torch.cat([z.flatten(1) for z in latents.values()], dim=1), sum(log_dets.values())

    def inverse(self, z, condition):
        x, log_dets = self.model.inverse(self.latents(z), condition)
        return x, sum(log_dets.values())

    def latents(self, z):
        shapes = self.model.latent_shapes
        parts = z.split([math.prod(shape) for shape in shapes.values()], dim=1)
        return {r: part.unflatten(1, shape) for (r, shape), part in zip(shapes.items(), parts, strict=True)}


class CoarseLevel(Transform):
    """The coarse level of ``natural``, whose Jacobian can be computed."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, condition):
        latents, log_dets = self.model(x.repeat_interleave(4, -1).repeat_interleave(4, -2), condition)
        return latents[8].flatten(1), log_dets[8]

    def inverse(self, z, condition):
        latents = {8: z.unflatten(1, self.model.latent_shapes[8])}
        return self.model.begin(latents, condition)


# By name: the model, its architecture, the shapes of x and of the condition (digits have none).
PHOTO, L256, L64 = (2, 64, 64), (1, 256, 256), (1, 64, 64)
LARGE_FLOWS = {
    "natural": ("natural", NARROW_NATURAL, PHOTO, L256),
    "natural without conditioning": ("natural", without(NARROW_NATURAL, ["conditioning"]), PHOTO, L256),
    "bedrooms": ("bedrooms", NARROW_BEDROOMS, PHOTO, L64),
    **{
        f"bedrooms without {part}": ("bedrooms", without(NARROW_BEDROOMS, [part]), PHOTO, L64)
        for part in ("clamp", "haar", "mixing", "conditioning")
    },
    "imagenet-vgg": ("imagenet-vgg", narrow_vgg("paper"), PHOTO, L256),
    "imagenet-vgg of the authors": ("imagenet-vgg", narrow_vgg("authors"), PHOTO, L256),
    "mnist": ("mnist", MnistConfig(hidden=(16,)), (1, 28, 28), None),
    "mnist of two layers": ("mnist", MnistConfig(hidden=(16, 8)), (1, 28, 28), None),
}
SMALL_FLOWS = {
    "natural, coarse level": ("natural", NARROW_NATURAL, (2, 16, 16), L256),
    "bedrooms, tiny": ("bedrooms", TINY_BEDROOMS, (2, 8, 8), L64),
    "imagenet-vgg, tiny": ("imagenet-vgg", tiny_vgg("paper"), (2, 16, 16), L256),
    "imagenet-vgg of the authors, tiny": ("imagenet-vgg", tiny_vgg("authors"), (2, 16, 16), L256),
    "mnist, small": ("mnist", SMALL_MNIST, (1, 28, 28), None),
    **{
        f"mnist, small, without {part}": ("mnist", without(SMALL_MNIST, [part]), (1, 28, 28), None)
        for part in ("clamp", "mixing")
    },
}
FLOWS = LARGE_FLOWS | SMALL_FLOWS
ALL = [*TRANSFORMS, *FLOWS]
SCALES = {"near": 0.3, "typical": 1.0, "far": 30.0}
# Far colours of ``natural`` lie beyond its bounds; flows whose subnetworks see without bounds explode there.
SCALED = [
    *((name, scale) for name in TRANSFORMS for scale in SCALES),
    *((name, "typical") for name in FLOWS),
    *((name, "far") for name in FLOWS if "natural" in name),
]


@cache
def model_of(name, dtype):
    """A model of random weights."""
    kind, config, *_ = FLOWS[name]
    torch.manual_seed(0)
    return stir(model_class(kind)(config)).to(dtype).eval().requires_grad_(False)


@cache
def condition_of(name, dtype, n):
    """The condition of the first n photos or digits."""
    *_, shape = FLOWS[name]
    c = torch.tensor([3, 0])
    if shape is not None:
        coarse = 50 + 30 * randn(1, 8, 8, seed=6)
        c = torch.nn.functional.interpolate(coarse, shape[1:], mode="bicubic").clamp(0, 100).to(dtype)
    return model_of(name, dtype).condition(c[:n])


def case(name, dtype=torch.float64, n=N, scale=1.0, size=3):
    """A transform, n values of x, and its condition; a larger n starts with the same ones."""
    rows = lambda t: t[:n].to(dtype)  # noqa: E731
    if name in FLOWS:
        of, adapter = ("natural", CoarseLevel) if name == "natural, coarse level" else (name, Flow)
        x = randn(*FLOWS[name][2])
        return adapter(model_of(of, dtype)), scale * rows(x), condition_of(of, dtype, n)
    torch.manual_seed(1)
    transform, x, condition = TRANSFORMS[name](size)
    transform = stir(transform).to(dtype).eval().requires_grad_(False)
    return transform, scale * rows(x), pytree.tree_map_only(torch.Tensor, rows, condition)


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_transform_and_every_model_is_tried():
    for package in (flow, models):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    there_are = {kind for kind in subclasses(Transform) if kind.__module__.startswith("cinn_colorize.")}
    assert there_are - {Stage} == {type(case(name)[0]) for name in TRANSFORMS}
    for flows in (LARGE_FLOWS, SMALL_FLOWS):
        assert {model for model, *_ in flows.values()} == set(MODELS)


@pytest.mark.parametrize(("name", "scale"), SCALED)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["fp32", "fp64"])
def test_each_direction_undoes_the_other(name, dtype, scale):
    scale = SCALES[scale]
    transform, x, condition = case(name, dtype, scale=scale)
    z, log_det = transform(x, condition)
    back, inverse = transform.inverse(z, condition)
    assert log_det.shape == inverse.shape == (N,)
    assert log_det.dtype == inverse.dtype == dtype
    code = scale * torch.randn(z.shape, generator=torch.Generator().manual_seed(7)).to(dtype)
    drawn, of_drawn = transform.inverse(code, condition)
    again, of_again = transform(drawn, condition)
    tolerance = TOLERANCE[dtype] * max(scale, 1)
    assert (back - x).abs().max() < tolerance
    assert (again - code).abs().max() < tolerance
    for there, back_again in ((log_det, inverse), (of_again, of_drawn)):
        assert (there + back_again).abs().max() < TOLERANCE[dtype] / 100 * x[0].numel()


@pytest.mark.parametrize("name", sorted({*TRANSFORMS} - {"guided shift, one pixel"}))
def test_it_does_something(name):
    transform, x, condition = case(name)
    z, _ = transform(x, condition)
    assert z.shape != x.shape or (z - x).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "scale"), [each for each in SCALED if each[0] not in LARGE_FLOWS])
def test_log_det_is_that_of_autograd(name, scale):
    transform, x, condition = case(name, n=1, scale=SCALES[scale], size=2)
    jacobian = torch.autograd.functional.jacobian(lambda v: transform(v, condition)[0], x, vectorize=True)
    expected = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))[1]
    assert transform(x, condition)[1].item() == pytest.approx(expected.item(), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_saving_memory_changes_no_gradient(name):
    transform, x, condition = case(name)
    sequence = Sequence([transform.requires_grad_()])
    condition = pytree.tree_map_only(torch.Tensor, lambda t: t.detach().requires_grad_(), condition)
    given = [x.requires_grad_(), *filter(torch.is_tensor, pytree.tree_leaves(condition))]
    found = []
    for sequence.save_memory in (False, True):
        z, log_det = sequence(x, [condition])
        loss = z.square().sum() - log_det.sum()
        wanted = [*given, *sequence.parameters()]
        found.append(torch.autograd.grad(loss, wanted, materialize_grads=True))
    for plain, saving in zip(*found, strict=True):
        torch.testing.assert_close(saving, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_one_alone_is_what_it_is_in_a_batch(name):
    transform, x, condition = case(name)
    _, _, of_one = case(name, n=1)
    z, log_det = transform(x, condition)
    back, inverse = transform.inverse(z, condition)
    alone = *transform(x[:1], of_one), *transform.inverse(z[:1], of_one)
    for one, several in zip(alone, (z, log_det, back, inverse), strict=True):
        assert one.shape == several[:1].shape
        assert (one - several[:1]).abs().max() < 1e-12 * max(1, several.abs().max())


@pytest.mark.parametrize("name", LARGE_FLOWS)
def test_latents_and_log_dets_are_by_level(name):
    transform, x, condition = case(name)
    latents, log_dets = transform.model(x, condition)
    _, inverse = transform.model.inverse(latents, condition)
    assert {r: z.shape[1:] for r, z in latents.items()} == transform.model.latent_shapes
    assert sum(z[0].numel() for z in latents.values()) == x[0].numel()
    assert log_dets.keys() == inverse.keys() == latents.keys()
    for r, log_det in log_dets.items():
        assert (log_det + inverse[r]).abs().max() < 1e-8


@pytest.mark.parametrize("name", LARGE_FLOWS)
def test_a_condition_expands_to_samples_of_one_and_matters(name):
    transform, x, condition = case(name, n=1)
    z = torch.randn(2, x[0].numel(), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    many, _ = transform.inverse(z, expanded(condition, 2))
    one, _ = transform.inverse(z[1:], condition)
    assert (many[1:] - one).abs().max() < 1e-10
    under_each, _ = transform.inverse(z[:1].expand(2, -1), case(name)[2])
    assert (under_each[1] - under_each[0]).abs().max() > 1e-8


def test_a_mixing_is_the_same_as_a_product_of_matrices():
    """As on CUDA, where a convolution would round to TF32."""
    made, x = OrthogonalMixing(6, 0), randn(6, 4, 4).float()
    torch.testing.assert_close(mixing._product(x, made.matrix), made(x)[0], rtol=1e-6, atol=1e-6)


def test_a_mixing_is_not_larger_than_any_model_needs():
    with torch.device("meta"), pytest.raises(ValueError, match="at most 2048 channels"):
        OrthogonalMixing(4096, 0)


@pytest.mark.parametrize("leak", [0.0, -0.1, math.nan])
def test_a_clamp_without_a_leak_has_no_inverse(leak):
    with pytest.raises(ValueError, match="leak must be above 0"):
        LeakyClamp(leak)


def test_guidance_of_weight_0_is_none():
    made, x, condition = autoregressive(4)
    made = stir(made).double()
    guided = Guidance(condition, condition.flip(0), 0.0)
    for one, other in zip(made(x, guided), made(x, condition), strict=True):
        assert torch.equal(one, other)
