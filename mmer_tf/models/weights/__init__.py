"""From published checkpoints to our layers; one file for each family of models."""
