"""The two files, and what is in them.

``condition.onnx``
    takes ``L``, (1, 1, 256, 256), L* in [0, 100], the photo squeezed to that square, and gives what all
    samples of the photo share, under names such as ``prepared.32.features``.
``sample.onnx``
    takes all of that and the latent code of a sample, ``z32`` to ``z0``, (1, C, r, r); it gives ``ab``,
    (1, 2, 64, 64), and ``log_det``, (1,), that of g: x = ab / 15 has the log density
    log N(z; 0, 1) - log_det.

All is fp32. The metadata say of which model, weights and version of this package they are.
"""

CONDITION, SAMPLE = "condition.onnx", "sample.onnx"
LUMINANCE, AB, LOG_DET = "L", "ab", "log_det"
LATENT = "z"  # and the level
