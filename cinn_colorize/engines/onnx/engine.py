"""Compute a model's flow in onnxruntime, without torch; samples equal torch's except for rounding."""

import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cinn_colorize.engines.interface import TOGETHER, Coarse, LoadedNetwork, chunks
from cinn_colorize.engines.onnx.files import Sessions
from cinn_colorize.errors import EngineError
from cinn_colorize.imaging.bands import threads
from cinn_colorize.latents.noise import Floats, LatentLevels, Shapes
from cinn_colorize.models import MODELS, PhotoModelInfo

Tensors = dict[str, Floats]  # by their names in the files


def onnx_network(model: str, sha256: str, sessions: Sessions, guidance: float | None = None) -> LoadedNetwork:
    """Return the network of a model's opened files; a ValueError if it cannot be guided so."""
    info = MODELS[model]
    assert isinstance(info, PhotoModelInfo)
    weight = info.guidance_of(guidance)
    return LoadedNetwork(info, sha256, "fp32", OnnxNetwork(sessions, weight), weight)


class OnnxNetwork:
    """Computes a model in onnxruntime, given its opened files: only g, because these do not hold f."""

    def __init__(self, sessions: Sessions, guidance: float = 0.0) -> None:
        self._guidance = guidance
        self.coarse_size: int | None = None
        self._condition, self._sample = sessions.condition, sessions.sample
        self._passes, self._colours = [_Pass(step) for step in sessions.steps], sessions.coarse
        self._size = tuple(self._condition.get_inputs()[0].shape[2:])
        self._shared = [output.name for output in self._condition.get_outputs()]
        required = {input.name: tuple(input.shape[1:]) for input in self._sample.get_inputs()}
        self._codes = {name: int(name[1:]) for name in required if re.fullmatch(r"z\d+", name)}
        self.latent_shapes: Shapes = {r: required[name] for name, r in self._codes.items()}
        if self._colours:
            shape: list[int] = self._colours.get_inputs()[0].shape
            self.latent_shapes[self._passes[0].level] = (shape[1], shape[2], shape[3])
            self.coarse_size = required["begun"][1]
            self._gamut = [input.name for input in self._colours.get_inputs()[1:]]
            self._scale = np.float32(sessions.facts["chroma_scale"])

    def condition(self, L: Floats) -> Tensors:
        """Return what samples under L* share, by the names in the files."""
        if L.shape != self._size:
            raise ValueError(f"L must have the shape {self._size}, not {L.shape}")
        batch = np.ascontiguousarray(L, np.float32)[None, None]
        values = self._condition.run(self._shared, {"L": batch})
        return dict(zip(self._shared, values, strict=True))

    def coarse(self, latents: LatentLevels, conditions: Sequence[Tensors]) -> Coarse:
        assert self._colours
        z, parts = latents[self._passes[0].level], []
        outputs = ["begun", "begun_log_det"]
        for chunk in chunks(len(z), TOGETHER):
            codes, under, log_det = z[chunk], [conditions[i] for i in chunk], np.zeros(TOGETHER, np.float32)
            for step in self._passes:
                codes, change = step(codes, under, self._guidance)
                log_det += change
            for k in range(min(TOGETHER, len(z) - chunk[0])):
                gamut = {name: under[k][name] for name in self._gamut}
                x, change = self._colours.run(outputs, {"values": codes[k : k + 1], **gamut})
                parts.append((x, log_det[k : k + 1] + change))
        x, log_det = (np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
        return Coarse(self._scale * x, _log_normal(z) - log_det.astype(np.float64))

    def decode(
        self, latents: LatentLevels, condition: Tensors, coarse: Coarse | None = None
    ) -> tuple[Floats, NDArray[np.float64]]:
        """See :meth:`Network.decode`; the files decode one code at a time."""
        number = len(next(iter(latents.values())))
        of_coarse, begun = np.zeros(number), dict[str, Floats]()
        if self.coarse_size:
            coarse_ab, of_coarse = coarse or self.coarse(latents, [condition] * number)
            begun = {"begun": coarse_ab / self._scale, "begun_log_det": np.zeros(number, np.float32)}

        def decode_one(k: int) -> tuple[Floats, float]:
            codes = {name: latents[r][k : k + 1] for name, r in self._codes.items()}
            known = {name: values[k : k + 1] for name, values in begun.items()}
            ab, log_det = self._sample.run(["ab", "log_det"], {**codes, **known, **condition})
            return ab, sum(float(_log_normal(z)[0]) for z in codes.values()) - float(log_det[0])

        with ThreadPoolExecutor(threads()) as pool:  # a thread each, so that their number changes nothing
            decoded = list(pool.map(decode_one, range(number)))
        ab, log_prob = zip(*decoded, strict=True)
        return np.concatenate(ab), np.array(log_prob) + of_coarse

    def encode(self, ab: Floats, condition: Tensors) -> NoReturn:
        raise EngineError("onnxruntime cannot encode colours; use --engine torch")

    def log_prob(self, ab: Floats, condition: Tensors) -> NoReturn:
        self.encode(ab, condition)


def _log_normal(z: Floats) -> NDArray[np.float64]:
    """Return log N(z; 0, 1) of codes (N, ...), in nats."""
    rows = z.reshape(len(z), -1).astype(np.float64)
    return np.asarray(-0.5 * (np.square(rows).sum(1) + rows.shape[1] * math.log(2 * math.pi)))


class _Pass:
    """A pass of an autoregressive level, of eight codes at a time, given the session of its step."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        facts = session.get_modelmeta().custom_metadata_map
        self.level, self._order = int(facts["level"]), int(facts["order"])
        self._features, self._without = facts["features"], facts.get("without")
        shapes = {i.name: i.shape for i in session.get_inputs()}
        known = [name for name in shapes if re.fullmatch(r"(keys|values)\d+", name)]
        self._new = {name: name.replace("s", "", 1) for name in known}  # what a step adds to it
        _, self._heads, self._places, self._head = shapes["keys0"]

    def __call__(self, z: Floats, conditions: Sequence[Tensors], guidance: float) -> tuple[Floats, Floats]:
        """Decode z (8, C, r, r), each under its condition, place by place: return values and log-det (8,)."""
        names = [self._features, self._without] if guidance and self._without else [self._features]
        grids = z, np.concatenate([of_one[name] for name in names for of_one in conditions])
        # (N, C, r, r) to (N, T, C), in the order of the pass.
        tokens, features = (g.reshape(*g.shape[:2], -1).transpose(0, 2, 1)[:, :: self._order] for g in grids)
        rows = len(features)
        x, log_det = np.empty_like(tokens), np.zeros(TOGETHER, np.float32)
        shape = (rows, self._heads, self._places, self._head)
        known = {name: np.zeros(shape, np.float32) for name in self._new}
        outputs = ["log_scale", "shift", *self._new.values()]
        before = np.zeros_like(tokens[:, :1])
        for t in range(self._places):
            here, given = slice(t, t + 1), np.tile(before, (len(names), 1, 1))
            inputs = {"t": np.array(t), "before": given, "features": features[:, here]}
            found = dict(zip(outputs, self._session.run(outputs, inputs | known), strict=True))
            for name, cache in known.items():
                cache[:, :, here] = found[self._new[name]]
            s, m = found["log_scale"], found["shift"]
            if len(names) > 1:  # scale what the condition changes, see :class:`cinn_colorize.flow.Guidance`
                pairs, weight = (np.split(s, 2), np.split(m, 2)), np.float32(guidance)
                s, m = (under + weight * (under - without) for under, without in pairs)
            x[:, here] = before = tokens[:, here] * np.exp(s) + m
            log_det += s.sum((1, 2))
        grid = x[:, :: self._order].transpose(0, 2, 1).reshape(z.shape)
        return np.ascontiguousarray(grid), log_det
