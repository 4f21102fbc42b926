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
            licence="Apache-2.0; trained on photos of mixed terms, see the model card",
            file="natural.safetensors",
            sha256="567d34855372b74646f469cfe5131c6180a23bb349a4b55162e4cad9900fba5c",
            hub=None,
        ),
    )
}
DEFAULT = "natural"
