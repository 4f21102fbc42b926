"""The models, and what is known of each before it is loaded. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import SupportsFloat

MAX_GUIDANCE = 2.0


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Facts about a model."""

    name: str  # its value of ``--model``
    summary: str  # a description in one line
    data: str  # what the weights were trained on
    measured: str  # how good they are, and on what
    levels: tuple[int, ...]  # of its latent code, finest first
    licence: str  # of code and weights
    file: str  # name of the packaged weights
    sha256: str | None  # of that file; None if no weights are published
    hub: str | None = None  # ``hf:owner/name`` where the weights can be downloaded
    temperature: float | Mapping[int, float] = 0.8  # default of samples; by level: see latents.levels
    guidance: float | None = None  # default of samples; None for a model that cannot be guided

    def guidance_of(self, value: SupportsFloat | None) -> float:
        """Return the guidance that a value asks for, None for the default; or a TypeError or ValueError."""
        if value is None:
            return self.guidance or 0.0
        kind = f"guidance must be a number from 0 to {MAX_GUIDANCE:g}"
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"{kind}, not {value!r:.80}") from None
        if not 0 <= value <= MAX_GUIDANCE:
            raise ValueError(f"{kind}, not {value:g}")
        if value and self.guidance is None:
            raise ValueError(f"these weights of {self.name} cannot be guided; guidance must be 0")
        return value


@dataclass(frozen=True, kw_only=True)
class PhotoModelInfo(ModelInfo):
    """Facts about a model that colorizes photos."""

    luminance_size: int  # side of the square L that conditions it, in pixels
    chroma_size: int = 64  # side of the square ab that it draws, in pixels
    chroma_scale: float = 15.0  # the flow sees x = ab / chroma_scale


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        PhotoModelInfo(
            name="natural",
            summary="natural photos; an autoregressive flow of coarse colours, coupling blocks for details",
            luminance_size=256,
            data="100,150 photos from public repositories",
            measured="energy 8.23, best_of_8 3.18 (gray: 8.92), best_of_1 9.87 on 600 photos, "
            "255 of them from ImageNet or a set like it",
            levels=(32, 16, 8),
            temperature={32: 0.7, 16: 0.7, 8: 0.8, 1: 0.4},  # docs/temperature.md, as the guidance
            guidance=0.3,
            licence="Apache-2.0; many of its photos are from sources for research only, see the model card",
            file="natural.safetensors",
            sha256="632407f97e238705a1a11388b69636d19ce24af35f671fc289e2354eab810701",
        ),
        PhotoModelInfo(
            name="bedrooms",
            summary="bedrooms at low resolution; a small cINN whose conditioning network learns with it",
            luminance_size=64,
            data="3,800 photos of rooms and 16,000 others from public repositories",
            measured="nll -1.044, best_of_8 2.61 (gray: 6.77), best_of_1 7.14 on 200 bedrooms",
            levels=(32, 16, 0),
            licence="Apache-2.0; trained on photos of mixed terms, see the model card",
            file="bedrooms.safetensors",
            sha256="a8e2d0ac91c4ae226fac81b9de912dd436757fcfd35d56b083e85580ffea7abd",
        ),
        ModelInfo(
            name="mnist",
            summary="handwritten digits given their label",
            data="MNIST, 55,000 digits",
            measured="nll -1.874 with noise 0.02 on the test set; 96.1 % of samples recognised",
            levels=(0,),
            temperature=0.88,  # of the authors' sample sheets
            licence="Apache-2.0; trained on MNIST, whose terms its makers do not state",
            file="mnist.safetensors",
            sha256="b56057e16552ed82f0442c120e0a2be9e508477ed21c4b23a8d42611ff65eaca",
        ),
        PhotoModelInfo(
            name="imagenet-vgg",
            summary="natural photos; the network of the paper as printed, to be trained on a GPU",
            luminance_size=256,
            data="none: docs/paper.md says how to train it",
            measured="not yet",
            levels=(16, 8, 4, 0),
            licence="Apache-2.0",
            file="imagenet-vgg.safetensors",
            sha256=None,
        ),
    )
}
DEFAULT = "natural"
