"""Training: data, objective, loop, checkpoints, and the run that ties them together."""
