"""Colorize a photo with the ONNX files alone; this requires neither torch nor this package.

cinn-colorize export -o onnx
python examples/with_onnx.py photo.jpg onnx colorized.png
"""

import sys

import cv2
import numpy as np
from onnxruntime import InferenceSession
from skimage.color import lab2rgb, rgb2lab

photo, folder, output = sys.argv[1:4]
seed, temperature = 0, 0.8

rgb = cv2.imread(photo, cv2.IMREAD_COLOR)[..., ::-1]
L = rgb2lab(rgb)[..., 0].astype(np.float32)

# Once per photo: the network sees all of it, squeezed to a square.
network = InferenceSession(f"{folder}/condition.onnx")
names = [output.name for output in network.get_outputs()]
square = cv2.resize(L, (256, 256), interpolation=cv2.INTER_AREA)
shared = dict(zip(names, network.run(names, {"L": square[None, None]}), strict=True))

# Once per sample: noise in, ab out.
flow = InferenceSession(f"{folder}/sample.onnx")
noise = np.random.default_rng(seed)
codes = {z.name: z.shape for z in flow.get_inputs() if z.name not in shared}
codes = {name: temperature * noise.standard_normal(shape, np.float32) for name, shape in codes.items()}
ab, _ = flow.run(["ab", "log_det"], codes | shared)

# Upsample plainly; the package follows the edges of L, and reduces chroma beyond sRGB.
ab = cv2.resize(ab[0].transpose(1, 2, 0), L.shape[::-1], interpolation=cv2.INTER_CUBIC)
colorized = lab2rgb(np.dstack([L, ab]))
cv2.imwrite(output, np.round(255 * colorized[..., ::-1]).astype(np.uint8))
