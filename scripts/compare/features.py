"""Compute the training photos' features once, so that every method sees the same.

All methods but the cINN and colorGAN read the same features of the same crops, those that ``cinn-colorize
train --dataset photos --seed 0`` sees, in its order; 0.4 MB per photo. The backbone is pinned by its SHA-256.
"""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cinn_colorize.data.sources import Source
from cinn_colorize.files.atomic import sha256
from cinn_colorize.models.conditioning.backbone import FEATURES, EfficientNetLite2, gray_input
from cinn_colorize.training.crops import Batch, Crops, Loading, batches
from cinn_colorize.training.task import load_network

BATCH, SEED = 48, 0
PARTS = {"L": (1, 64, 64), "ab": (2, 64, 64)} | {
    f"stride{s}": (channels, 256 // s, 256 // s) for s, channels in FEATURES.items()
}
BACKBONE = Path(__file__).parents[2] / "weights/backbone.safetensors"
SHA256 = "145a23c7abe9dc34e082c4ddc298ee50b381f435e4c46012534ee2c8307f9ebf"
_CHUNK = 4  # photos whose activations fit into a CPU's cache


def backbone() -> EfficientNetLite2:
    """Load the backbone that all methods share, and no other, in the layout that is fastest on a CPU."""
    if sha256(BACKBONE) != SHA256:
        raise SystemExit(f"{BACKBONE}: not the backbone of the comparison, whose SHA-256 is {SHA256}")
    network = EfficientNetLite2()
    load_network(network, BACKBONE, "backbone")
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.inference_mode()
def features_of(network: EfficientNetLite2, L: Tensor) -> dict[int, Tensor]:
    """Compute features of L* (N, 1, 256, 256) by stride, in bf16; return fp32."""
    with torch.autocast(L.device.type, torch.bfloat16):
        parts = [network(gray_input(part)) for part in L.split(_CHUNK)]
    return {s: torch.cat([part[s] for part in parts]).float() for s in parts[0]}


class Cache:
    """Crops with their features, in a folder: one array per part, and the number of finished rows."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self._done = folder / "done"

    def fill(self, photos: Sequence[Source]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if (start := self._rows()) >= self.count:
            return
        arrays, network = self._open("r+" if start else "w+"), backbone()
        if (begun := len(arrays["L"])) < self.count:
            raise SystemExit(f"{self.folder}: begun for {begun:,} photos; delete it, or give as many")
        for batch in batches(Crops(photos, SEED), start, self.count, BATCH, Loading(workers=1)):
            L, ab = batch.parts
            found = {f"stride{s}": f for s, f in features_of(network, L).items()}
            for name, values in ({"L": F.avg_pool2d(L, 4), "ab": ab} | found).items():
                arrays[name][start : start + len(L)] = values.numpy()
                arrays[name].flush()
            start += len(L)
            self._done.write_text(str(start))

    def batches(self, start: int, stop: int, batch: int) -> Generator[Batch]:
        """Yield L* and ab at 64 px and the features, fp32, in the order of :data:`PARTS`."""
        arrays = self._open("r")
        for i in range(start, stop, batch):
            yield Batch([torch.from_numpy(a[i : i + batch].astype(np.float32)) for a in arrays.values()])

    def colours(self, number: int = 500) -> Tensor:
        return torch.from_numpy(self._open("r")["ab"][:number].astype(np.float32))

    def _rows(self) -> int:
        return int(self._done.read_text()) if self._done.exists() else 0

    def _open(self, mode: str) -> Mapping[str, np.memmap[Any, Any]]:
        if mode == "r" and (rows := self._rows()) < self.count:
            raise SystemExit(f"{self.folder}: {rows:,} of {self.count:,} photos are done; run features first")
        opened = np.lib.format.open_memmap
        shapes = {name: (self.count, *shape) for name, shape in PARTS.items()}
        return {n: opened(self.folder / f"{n}.npy", mode, np.float16, s) for n, s in shapes.items()}
