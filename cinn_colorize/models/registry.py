"""The models there are, and what is known of each before it is loaded. Light: imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Frozen facts about a model.

    Attributes:
        name: what ``--model`` takes.
        summary: one line.
        luminance_size: pixels of the square L that conditions it.
        chroma_size: pixels of the square ab that it makes.
        chroma_scale: x = ab / chroma_scale is what the flow sees.
        levels: of its latent code, finest first.
        licence: of code and weights.
        file: name of the packaged weights.
        sha256: of that file.
        hub: ``hf:owner/name`` where the weights can be downloaded, or None.
    """

    name: str
    summary: str
    luminance_size: int
    chroma_size: int
    chroma_scale: float
    levels: tuple[int, ...]
    licence: str
    file: str
    sha256: str
    hub: str | None


MODELS = {
    info.name: info
    for info in (
        ModelInfo(
            name="natural",
            summary="natural photos; a coarse-to-fine pyramid of conditional flows",
            luminance_size=256,
            chroma_size=64,
            chroma_scale=15.0,
            levels=(32, 16, 8, 4, 2, 1, 0),
            licence="Apache-2.0; trained on photos of mixed terms, see the model card",
            file="natural.safetensors",
            sha256="e473a3ed7439e0745fb6036f6ce9675b4509c51f5414e69f70e7fec18329a597",
            hub=None,
        ),
    )
}
DEFAULT = "natural"
