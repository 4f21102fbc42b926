"""Names in the ONNX files of a model.

``condition.onnx``
    maps ``L``, L* (1, 1, 256, 256) in [0, 100] of the photo squeezed to that square, to what all samples of
    the photo share, under names such as ``prepared.32.features``.
``sample.onnx``
    maps all of that and the latent code of a sample, ``z32`` to ``z0``, (1, C, r, r) each, to ``ab``,
    (1, 2, 64, 64), and ``log_det`` of g, (1,): x = ab / 15 has the log density log N(z; 0, 1) - log_det.
``step0.onnx``, ``step1.onnx``, ...
    are the passes of an autoregressive level, if the model has one, in the order of g. Each gives the map at
    one place, x = z exp(s) + m: ``log_scale`` and ``shift``, (N, 1, C); and of each transformer block what
    later places attend to, ``key0``, ``value0``, ``key1``, ..., (N, heads, 1, 32). It requires ``t``, the
    number of the place; ``before``, x at the place before, (N, 1, C), zeros at first; ``features``,
    (N, 1, width), which ``condition.onnx`` gives; and ``keys0``, ``values0``, ``keys1``, ...,
    (N, heads, T, 32): what it gave for the places before, of which there are t, and zeros for the others.
``coarse.onnx``
    maps what the last pass gave of a sample, ``values``, (1, C, r, r), and the gamut, two tensors that
    ``condition.onnx`` gives, to the coarse colours ``begun``, x (1, 2, 2r, 2r), and ``begun_log_det``, (1,).
    ``sample.onnx`` then requires both in place of the level's code.

All tensors are fp32 but ``t``, int64. The metadata name the model; those of exported files also the weights
and the version of this package; those of ``sample.onnx`` the number of ``passes``, and ``chroma_scale``, 15
above; those of the passes the ``level``, the name of its ``features``, for a pass that is guided that of
those ``without`` a photo, and the ``order`` in which places are taken, 1 or -1.

The files that this package ships are graphs without weights, which are taken from a weights file. Beside
them lies ``contents.json``: the ``architecture`` whose graphs they are, the ``defaults`` of what a weights
file may leave out of it, and for each of the ``files`` the shapes of the tensors that it lacks, by their
names in the weights file.
"""

CONDITION, COARSE, SAMPLE = "condition.onnx", "coarse.onnx", "sample.onnx"
STEP = "step{}.onnx"
CONTENTS = "contents.json"
TOGETHER = 8  # samples in a step
