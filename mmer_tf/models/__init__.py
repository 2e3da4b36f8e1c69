"""Encoders, poolings, fusions, and `api.create_model`, which joins them into one Keras model."""
