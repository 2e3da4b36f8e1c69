"""Layers of published transformers, and those of keras-hub."""

import math
from collections.abc import Mapping

import keras
import numpy as np

from mmer_tf.models.weights.checkpoint import Target, Transform, transposed


def transformer_targets(
    layer: keras.layers.Layer, names: Mapping[str, str], without_bias: tuple[str, ...] = ()
) -> dict[str, Target]:
    """Where the published arrays of one layer go in a built `keras_hub.layers.TransformerEncoder`.

    Args:
        layer: that they go to.
        names: a published part, as `attention.self.query` -> ours, as `self_attention_layer/query`.
        without_bias: published parts that have none; ours stays as it is, hence zero.

    Returns:
        Published name, from the layer on -> its place.
    """
    variables = {v.path.rpartition(f"{layer.name}/")[2]: v for v in layer.weights}
    targets = {}
    for theirs, ours in names.items():
        if ours.endswith("norm"):
            targets[f"{theirs}.weight"] = Target(variables[f"{ours}/gamma"])
            targets[f"{theirs}.bias"] = Target(variables[f"{ours}/beta"])
            continue
        targets[f"{theirs}.weight"] = _with_heads(variables[f"{ours}/kernel"], transposed)
        if theirs not in without_bias:
            targets[f"{theirs}.bias"] = _with_heads(variables[f"{ours}/bias"])
    return targets


def _with_heads(variable, transform: Transform = np.asarray) -> Target:
    """Attention heads stand on an axis of their own in Keras."""
    shape = tuple(variable.shape)

    def split(array: np.ndarray) -> np.ndarray:
        array = transform(array)
        return array.reshape(shape) if array.size == math.prod(shape) else array

    return Target(variable, split)
