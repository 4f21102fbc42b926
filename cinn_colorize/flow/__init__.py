"""Invertible maps, independent of photos and colour.

Every map is a :class:`Transform` with ``forward(x, condition) -> (z, log_det)`` and ``inverse(z, condition)
-> (x, log_det)``, where ``log_det`` is log |det d(output)/d(input)| of that direction, one number per sample,
shape (N,). :class:`MultiScaleFlow` returns latent codes and log-dets by level.
"""
