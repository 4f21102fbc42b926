"""Entry point of the library: from the L of a photo to many plausible colorizations.

Condition a photo once, then draw as often as needed: ``Colorizer().condition("photo.jpg").sample(n=8)``.
Samples have the model's size; :meth:`~BaseColorizer.compose` brings them to the photo's.
``colorizer.colorize("photo.jpg", n=8)`` does it all in one call, as the command line does.

:class:`BaseColorizer` works with any engine that computes the network; :class:`Colorizer` computes it in
torch, which is imported when one is made.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypeAlias, TypeVar

from cinn_colorize import __version__
from cinn_colorize.engines.interface import Network
from cinn_colorize.engines.interface import NetworkInput as NetworkInput
from cinn_colorize.imaging.light import shown
from cinn_colorize.imaging.options import Box, HintReach, Rendering, Upsampling
from cinn_colorize.imaging.photo import Photo, open_photo
from cinn_colorize.imaging.reading import PhotoSource
from cinn_colorize.imaging.upsampling import GUIDE_SCALE, Upsampler
from cinn_colorize.methods import mix as mix_method
from cinn_colorize.methods import sample as sample_method
from cinn_colorize.methods import transfer as transfer_method
from cinn_colorize.methods.conditioned import Conditioned
from cinn_colorize.methods.hints import HintLike
from cinn_colorize.methods.mix import Mask as Mask
from cinn_colorize.methods.mix import read_mask
from cinn_colorize.methods.samples import Colorization as Colorization
from cinn_colorize.methods.samples import Sample as Sample
from cinn_colorize.methods.samples import check_colors
from cinn_colorize.methods.samples import likeliest as likeliest
from cinn_colorize.methods.samples import typical as typical
from cinn_colorize.methods.transfer import Reference as Reference
from cinn_colorize.methods.transfer import encode_reference
from cinn_colorize.models import DEFAULT, Loaded, PhotoModelInfo
from cinn_colorize.request import Request, SampleRequest, shared_entries

if TYPE_CHECKING:
    from torch import device as TorchDevice

    from cinn_colorize.engines.pytorch import TorchNetwork
else:  # for whoever reads annotations at run time
    TorchDevice = TorchNetwork = Any

PhotoLike: TypeAlias = PhotoSource | Photo
_Choice = TypeVar("_Choice", bound=StrEnum)

DEFAULT_RENDERING = Rendering()


class ConditionedPhoto(Conditioned):
    """A photo with what all its samples share, computed once; made by :meth:`BaseColorizer.condition`.

    >>> conditioned = colorizer.condition("photo.jpg")
    >>> samples = conditioned.sample(n=4, temperature="0.7,8:0.9", seed=10)
    >>> [sample.seed for sample in samples], samples[0].ab.shape
    ([10, 11, 12, 13], (2, 64, 64))

    What an engine does not support raises :class:`~cinn_colorize.errors.EngineError`: ONNX files hold only g.
    """

    vary = sample_method.vary
    transfer = transfer_method.transfer
    mix = mix_method.mix


class BaseColorizer:
    """Draws colorizations of gray photos, with any engine that computes the network.

    Attributes:
        info: the model's entry in the registry.
        sha256: SHA-256 of the weights file.
        precision: precision of the networks.
        network: the model's flow.
        guidance: that of the network, see :class:`Colorizer`.
    """

    def __init__(
        self, info: PhotoModelInfo, sha256: str, precision: str, network: Network, guidance: float = 0.0
    ) -> None:
        self.info, self.sha256, self.precision, self.network = info, sha256, precision, network
        self.guidance = guidance

    def colorize(
        self,
        photo: PhotoLike,
        n: SupportsIndex = 1,
        temperature: SupportsFloat | Mapping[int, SupportsFloat] | str | None = None,
        seed: SupportsIndex | None = None,
        *,
        like: SupportsIndex | None = None,
        pick: SupportsIndex | None = None,
        hints: str | Iterable[HintLike] = (),
        strokes: str | os.PathLike[str] | None = None,
        hint_reach: str = "thing",
        upsampling: str = "jbu",
        saturation: SupportsFloat = 1.0,
        white_balance: SupportsFloat = 0.0,
        frame: str | Iterable[int] | Box = "auto",
    ) -> list[Colorization]:
        """Draw n colorizations of a photo at its full size, depth and profile.

        >>> [made] = colorizer.colorize("photo.jpg", seed=3, hints=[(310, 120, "#a02832")])
        >>> made.recipe["hints"]
        '310,120,#a02832'

        Args:
            photo: path, bytes, binary file, PIL image, numpy array (H, W) or (H, W, 3 or 4), or torch tensor
                (H, W) or (3 or 4, H, W); see :func:`.open_photo`. A colour photo is treated as gray.
            n: number of samples.
            temperature: 0 for the safest colours, 1 for the model's distribution; for all levels or some,
                ``{8: 0.9}``, or text, ``"0.7,8:0.9"``. By default, that in the registry.
            seed: seed of the first sample; later samples count up from it. By default 0, and if n is 1, that
                of the most typical sample of the seeds 0 to 7; with ``like``, the seed after that one.
            like: seed of a sample that all resemble; see :meth:`ConditionedPhoto.vary`.
            pick: number of the n samples to keep, typical ones that differ; see :func:`typical`.
            hints: colours wanted at pixels, (x, y, ``"#a02832"``, ``"red"`` or (160, 40, 50)) or text each.
            strokes: picture file of colours wanted, painted over the photo on a transparent layer.
            hint_reach: what hints recolour: ``thing``, those they lie on, or ``photo``, its mood too.
            upsampling: ``jbu``, ``exact`` or ``bicubic``; see :mod:`.imaging.upsampling`.
            saturation: factor on the chroma of the pictures, 0 to 2.
            white_balance: share of the tint of each sample's light that is removed, 0 to 1; not with hints.
            frame: what surrounds the picture of a scan and stays gray: ``auto``, ``none``, or left, top,
                right and bottom of the picture in pixels. A :class:`Photo` that has a frame keeps it.

        A PhotoError if a file cannot be read, or a frame or hint lies outside the photo; a TypeError or
        ValueError if an argument is of a wrong type or out of range, or excludes hints.
        """
        numbers: dict[str, Any] = {"saturation": saturation, "white_balance": white_balance}
        rendering = Rendering(_one_of(Upsampling, upsampling, "upsampling"), **numbers)
        reach = _one_of(HintReach, hint_reach, "hint_reach")
        drawn: dict[str, Any] = {"number": n, "temperature": temperature, "seed": seed, "like": like}
        drawn |= {"pick": pick, "hint": hints, "strokes": strokes, "hint_reach": reach}
        return self.draw(photo, SampleRequest(rendering=rendering, frame=frame, **drawn))

    def draw(self, photo: PhotoLike, request: Request) -> list[Colorization]:
        """Draw what a request asks for, at the photo's full size; for errors, see :meth:`colorize`."""
        method = request.method(self.info)
        photo = _as_photo(photo)
        photo = photo if photo.frame else photo.framed(request.frame)
        made = self.compose(photo, method.samples(self, photo), request.rendering)
        for colorization in made:
            colorization.picture.mode &= method.mode
        return made

    def condition(self, photo: PhotoLike | NetworkInput) -> ConditionedPhoto:
        """Compute what all samples of a photo share: features and heads.

        The photo is given as to :meth:`colorize`, or as what the network sees of it; for errors, see
        :func:`.open_photo`. No frame is looked for: give a :class:`Photo` that has one, see
        :meth:`Photo.framed`.
        """
        if not isinstance(photo, NetworkInput):
            photo = NetworkInput.of(_as_photo(photo), self.info.luminance_size)
        return ConditionedPhoto(self.network, photo, self.info.temperature)

    def compose(
        self, photo: PhotoLike, samples: Sequence[Sample], rendering: Rendering = DEFAULT_RENDERING
    ) -> list[Colorization]:
        """Bring samples of a photo to its full size in one pass over its rows; a frame stays gray.

        A PhotoError if the photo cannot be read, or a sample has no finite colours.
        """
        photo, upsamplers = _as_photo(photo), []
        for sample in samples:
            check_colors(f"{photo.name}, seed {sample.seed}", sample.ab)
            height, width = sample.ab.shape[1:]
            guide = photo.luminance(GUIDE_SCALE * height, GUIDE_SCALE * width)
            ab = shown(guide, sample.ab, rendering)
            upsamplers.append(Upsampler(ab, guide, photo.inside.size, rendering.upsampling))
        pictures = photo.compose(upsamplers)
        return [
            Colorization(picture, sample, self.recipe(sample.recipe, rendering, photo))
            for picture, sample in zip(pictures, samples, strict=True)
        ]

    def recipe(self, drawn: Mapping[str, str], rendering: Rendering, photo: Photo) -> dict[str, str]:
        """Complete :attr:`Sample.recipe` to what makes a picture of a photo again, except for the files."""
        frame = {"frame": str(photo.frame)} if photo.frame else {}
        pages = {"page": photo.page, "pages": photo.together}
        drawn = dict(drawn)
        picked = drawn.pop("picked", None)
        return {
            "version": __version__,
            **shared_entries(self.info.name, self.sha256, self.precision, self.guidance, drawn, rendering),
            **frame,
            **{name: str(number) for name, number in pages.items() if number > 1},
            "original": photo.sha256,
            **({"picked": picked} if picked else {}),
        }

    def reference(self, photo: PhotoLike) -> Reference:
        """Encode the colours of a photo, for :meth:`ConditionedPhoto.transfer`.

        A PhotoError if the photo cannot be read, or is gray; an EngineError if the engine cannot encode.
        """
        return encode_reference(self, _as_photo(photo))

    def mask(self, image: PhotoLike) -> Mask:
        """Read a mask for :meth:`ConditionedPhoto.mix`: white inside, black outside, gray between.

        The image is given like a photo, or as an array or a tensor of bool, of any size; it is stretched to
        the photo, without its frame, see :meth:`Photo.framed_as`. A PhotoError if it is damaged or plain.
        """
        return read_mask(_as_photo(image), self.info.chroma_size)


class Colorizer(BaseColorizer):
    """Draws colorizations of gray photos with the network in torch.

    Args:
        model: name in the registry, or the result of :func:`cinn_colorize.load_model`; if it has been
            trained on since, ``Loaded.of(model)``, so that recipes do not name weights that did not draw.
        weights: path or ``hf:owner/name`` of weights to use instead of the packaged ones.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or one of torch.
        precision: ``fp32``, or ``bf16`` for the networks (latents and colours stay fp32).
        guidance: how much more closely samples follow the photo than the training data do, 0 to 2: objects
            get clearer colours. 0 is the learnt distribution. By default, the one in
            the registry; see :class:`cinn_colorize.flow.autoregressive.Guidance`.
        chunk: number of samples that go through the network at a time. The default on a CPU is 1; larger
            chunks are faster there, but change the last bits of the samples.

    ``model`` is the flow, ``device`` where it is. A WeightsError if the weights cannot be found or used, or
    do not colorize photos; a TypeError or ValueError if another argument cannot be used.
    """

    network: TorchNetwork

    def __init__(
        self,
        model: str | Loaded = DEFAULT,
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str | TorchDevice = "auto",
        precision: str = "fp32",
        guidance: SupportsFloat | None = None,
        chunk: SupportsIndex | None = None,
    ) -> None:
        from cinn_colorize.engines.pytorch import torch_network

        loaded = torch_network(model, weights, device, precision, guidance, chunk)
        super().__init__(*loaded)
        self.model, self.device = self.network.model, self.network.device


def _one_of(choices: type[_Choice], text: str, name: str) -> _Choice:
    if text not in list(choices):
        raise ValueError(f"unknown {name} {text!r}; choose one of {', '.join(choices)}")
    return choices(text)


def _as_photo(photo: PhotoLike) -> Photo:
    return photo if isinstance(photo, Photo) else open_photo(photo)
