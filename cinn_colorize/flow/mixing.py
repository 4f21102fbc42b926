"""Fixed orthogonal mixing of channels, the paper's soft permutation (paper 3.4)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.flow import Transform

MAX_CHANNELS = 2048  # of a mixing, whose matrix is not stored, so that a small file could ask for a huge one


def orthogonal(channels: int, seed: int) -> Tensor:
    """Make a random orthogonal matrix (channels, channels), in float64, that depends only on the seed."""
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(channels, channels, generator=generator, dtype=torch.float64, device="cpu")
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()  # so that R's diagonal is positive, in any LAPACK


class OrthogonalMixing(Transform[None]):
    """Mix channels by a fixed orthogonal matrix: the inverse is the transpose, the log-det zero.

    The matrix is made anew from its seed whenever the module changes its type or device, and never stored:
    rounding a stored one to half precision would break the round trip. The first ``unmixed`` channels stay as
    they are. More than :data:`MAX_CHANNELS` are a ValueError.
    """

    matrix: Tensor

    def __init__(self, channels: int, seed: int, unmixed: int = 0) -> None:
        super().__init__()
        if channels > MAX_CHANNELS:
            raise ValueError(f"at most {MAX_CHANNELS} channels can be mixed, not {channels}")
        self.channels, self.seed, self.unmixed = channels, seed, unmixed
        matrix = self._made().to(torch.get_default_device(), torch.get_default_dtype())
        self.register_buffer("matrix", matrix, persistent=False)

    def _made(self) -> Tensor:
        # Only the shape counts there, and what follows would import torch._dynamo, which takes seconds.
        if torch.get_default_device().type == "meta":
            return torch.empty(self.channels, self.channels, dtype=torch.float64)
        mixed = orthogonal(self.channels - self.unmixed, self.seed)
        return torch.block_diag(torch.eye(self.unmixed, dtype=mixed.dtype, device="cpu"), mixed)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OrthogonalMixing":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.matrix = self._made().to(self.matrix)
        return self

    def _mix(self, x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        # Without autocast, which would round latents to half precision; and on CUDA as a product of matrices,
        # since convolutions there round to TF32 by default, which is no better.
        with torch.autocast(x.device.type, enabled=False):
            image = x.dim() == 4 and not x.is_cuda
            mixed = F.conv2d(x, matrix[:, :, None, None]) if image else _product(x, matrix)
            return mixed, x.new_zeros(len(x))

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return self._mix(x, self.matrix)

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return self._mix(z, self.matrix.t())


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    return (matrix @ x[..., None].flatten(2)).reshape(x.shape)


class Permutation(Transform[None]):
    """Permute channels in a fixed order, made from its seed: for vectors too long for a matrix."""

    order: Tensor
    inverse_order: Tensor

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        order = torch.randperm(channels, generator=torch.Generator().manual_seed(seed), device="cpu")
        device = torch.get_default_device()
        self.register_buffer("order", order.to(device), persistent=False)
        self.register_buffer("inverse_order", order.argsort().to(device), persistent=False)

    def forward(self, x: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), x.new_zeros(len(x))

    def inverse(self, z: Tensor, condition: None = None) -> tuple[Tensor, Tensor]:
        return z.index_select(1, self.inverse_order), z.new_zeros(len(z))
