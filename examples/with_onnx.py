"""Colorize a photo with the ONNX files alone; this requires neither torch nor this package.

cinn-colorize export -o onnx
python examples/with_onnx.py photo.jpg onnx colorized.png
"""

import sys
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from skimage.color import lab2rgb, rgb2lab

Floats = NDArray[np.float32]

if len(sys.argv) != 4:
    sys.exit(__doc__)
photo, folder, output = sys.argv[1:]
seed, guidance = 0, 0.3
temperatures = {"z32": 0.7, "z16": 0.7}  # of details; the coarse colours have another one
coarse_temperature = 0.8


def in_order(grid: Floats, order: int) -> Floats:
    """Turn (1, C, r, r) into (1, T, C), in the order in which a pass takes its places."""
    return grid.reshape(*grid.shape[:2], -1).transpose(0, 2, 1)[:, ::order]


def decode_pass(step: InferenceSession, z: Floats, shared: Mapping[str, Floats]) -> Floats:
    """Decode coarse colours place by place: each x = z exp(s) + m, with s and m from the places before."""
    facts = step.get_modelmeta().custom_metadata_map
    order = int(facts["order"])
    # A pass that is guided has two rows, with the photo and without it; others only the first.
    rows = [shared[facts[name]] for name in ("features", "without") if name in facts]
    features = np.concatenate([in_order(row, order) for row in rows])
    z, x = in_order(z, order), []
    # What each transformer block knows of the places before, (rows, heads, places, channels).
    caches = [i for i in step.get_inputs() if i.name.startswith(("keys", "values"))]
    known = {i.name: np.zeros((len(rows), *i.shape[1:]), np.float32) for i in caches}
    new = [name.replace("s", "", 1) for name in known]  # key0 for keys0
    before = np.zeros_like(z[:, :1])
    for t in range(z.shape[1]):
        inputs = {"t": np.array(t), "before": np.repeat(before, len(rows), axis=0), **known}
        inputs["features"] = np.ascontiguousarray(features[:, t : t + 1])
        s, m, *found = step.run(["log_scale", "shift", *new], inputs)
        for cache, place in zip(known.values(), found, strict=True):
            cache[:, :, t : t + 1] = place
        # Guidance scales up what the photo changes.
        s, m = (v[:1] + guidance * (v[:1] - v[-1:]) for v in (s, m))
        before = z[:, t : t + 1] * np.exp(s) + m
        x.append(before)
    side = int(z.shape[1] ** 0.5)
    return np.concatenate(x, axis=1)[:, ::order].transpose(0, 2, 1).reshape(1, -1, side, side)


rgb = cv2.imread(photo, cv2.IMREAD_COLOR)[..., ::-1]
L = rgb2lab(rgb)[..., 0].astype(np.float32)

# Once per photo: the network sees all of it, squeezed to a square.
network = InferenceSession(f"{folder}/condition.onnx")
names = [output.name for output in network.get_outputs()]
square = cv2.resize(L, (256, 256), interpolation=cv2.INTER_AREA)
shared = dict(zip(names, network.run(names, {"L": square[None, None]}), strict=True))

# Once per sample: noise in, ab out. First the coarse colours, through the passes of their level.
flow = InferenceSession(f"{folder}/sample.onnx")
noise = np.random.default_rng(seed)
shapes = {i.name: i.shape for i in flow.get_inputs() if i.name not in shared}
to_colours = InferenceSession(f"{folder}/coarse.onnx")
values, *gamut = to_colours.get_inputs()
coarse = coarse_temperature * noise.standard_normal(values.shape, np.float32)
for k in range(int(flow.get_modelmeta().custom_metadata_map["passes"])):
    coarse = decode_pass(InferenceSession(f"{folder}/step{k}.onnx"), coarse, shared).astype(np.float32)
inputs = {i.name: shared[i.name] for i in gamut} | {"values": np.ascontiguousarray(coarse)}
begun = dict(zip(["begun", "begun_log_det"], to_colours.run(None, inputs), strict=True))
codes = {z: t * noise.standard_normal(shapes[z], np.float32) for z, t in temperatures.items()}
ab, _ = flow.run(["ab", "log_det"], codes | begun | shared)

# Upsample plainly; the package follows the edges of L, and reduces chroma beyond sRGB.
ab = cv2.resize(ab[0].transpose(1, 2, 0), L.shape[::-1], interpolation=cv2.INTER_CUBIC)
colorized = lab2rgb(np.dstack([L, ab]))
cv2.imwrite(output, np.round(255 * colorized[..., ::-1]).astype(np.uint8))
