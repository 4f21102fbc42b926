"""Training: data, objective, loop, checkpoints, and a run that holds them together."""
