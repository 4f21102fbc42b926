"""Names in the ONNX files of a model.

``condition.onnx``
    maps ``L``, L* (1, 1, 256, 256) in [0, 100] of the photo squeezed to that square, to what all samples of
    the photo share, under names such as ``prepared.32.features``.
``sample.onnx``
    maps all of that and the latent code of a sample, ``z32`` to ``z0``, (1, C, r, r) each, to ``ab``,
    (1, 2, 64, 64), and ``log_det`` of g, (1,): x = ab / 15 has the log density log N(z; 0, 1) - log_det.
``step0.onnx``, ``step1.onnx``, ...
    are the passes of an autoregressive level, if the model has one, in the order of g. Each gives the map at
    one place, x = z exp(s) + m: ``log_scale`` and ``shift``, (N, 1, C); and ``key_value``,
    (B, 2, N, heads, 1, 32). It requires ``t``, the number of the place; ``before``, x at the place before,
    (N, 1, C), zeros at first; ``features``, (N, 1, width), which ``condition.onnx`` gives; and
    ``keys_values``, (B, 2, N, heads, T, 32), of the places before. ``sample.onnx`` then requires what the
    last pass gave, ``begun``, (1, C, r, r), and ``begun_log_det``, (1,), in place of the level's code.

All tensors are fp32 but ``t``, int64. The metadata name the model, the weights and the version of this
package; that of ``sample.onnx`` also the number of ``passes``, and ``chroma_scale``, 15 above; those of the
passes the ``level``, the names of its ``features`` and of those ``without`` a photo, and the ``order`` in
which places are taken, 1 or -1.
"""

CONDITION, SAMPLE = "condition.onnx", "sample.onnx"
LUMINANCE, AB, LOG_DET = "L", "ab", "log_det"
LATENT = "z"  # followed by the level
BEGUN = "begun", "begun_log_det"
STEP = "step{}.onnx"
STEP_INPUTS = "t", "before", "features", "keys_values"
STEP_OUTPUTS = "log_scale", "shift", "key_value"
TOGETHER = 8  # samples in a step
