"""Names in the two ONNX files.

``condition.onnx``
    maps ``L``, L* (1, 1, 256, 256) in [0, 100] of the photo squeezed to that square, to what all samples of
    the photo share, under names such as ``prepared.32.features``.
``sample.onnx``
    maps all of that and the latent code of a sample, ``z32`` to ``z0``, (1, C, r, r) each, to ``ab``,
    (1, 2, 64, 64), and ``log_det`` of g, (1,): x = ab / 15 has the log density log N(z; 0, 1) - log_det.

All tensors are fp32. The metadata name the model, the weights and the version of this package.
"""

CONDITION, SAMPLE = "condition.onnx", "sample.onnx"
LUMINANCE, AB, LOG_DET = "L", "ab", "log_det"
LATENT = "z"  # followed by the level
