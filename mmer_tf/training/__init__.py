"""Finding the weights: optimizer, fit, checkpoints, progress."""
