"""What passes from one training to the next, and what stands still in between."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

OWN_LAYERS = ("logits",)
"""Layers that every model trains for itself, whatever their shapes."""


class StageError(ValueError):
    """A stage whose weights the next one cannot take over."""


def hand_over(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy the weights of the layers that both models have, by name.

    A layer whose weights have other shapes in the two models stays as it is, but for encoders and
    upstreams, which must fit.

    Args:
        source: a trained classifier of one modality.
        target: the model that holds the same encoder.

    Returns:
        Names of the layers that were copied.

    Raises:
        StageError: the target lacks an encoder of the source, or has it in another size.
    """
    there = {layer.name: layer for layer in target.layers}
    copied = []
    for layer in source.layers:
        if not layer.weights or layer.name in OWN_LAYERS:
            continue
        other = there.get(layer.name)
        weights = layer.get_weights()
        if other is not None and _shapes(other) == [weight.shape for weight in weights]:
            other.set_weights(weights)
            copied.append(layer.name)
        elif _is_encoder(layer):
            problem = "in another size" if other else "nowhere"
            raise StageError(f"the layer {layer.name} of a stage is {problem} in the whole model")
    if not any(_is_encoder(there[name]) for name in copied):
        names = ", ".join(layer.name for layer in source.layers)
        raise StageError(f"a stage trained no encoder that the whole model has, only {names}")
    return copied


@contextmanager
def frozen_encoders(model: keras.Model) -> Iterator[None]:
    """Freeze the layers named `*_encoder` and `*_upstream`; afterwards they are as before.

    A frozen one is not trained and runs as in inference. What is compiled inside the context is
    trained accordingly.
    """
    encoders = [layer for layer in model.layers if _is_encoder(layer)]
    declared = [layer.frozen for layer in encoders]
    for layer in encoders:
        layer.frozen = True
    try:
        yield
    finally:
        for layer, frozen in zip(encoders, declared, strict=True):
            layer.frozen = frozen


def _is_encoder(layer: keras.layers.Layer) -> bool:
    return layer.name.endswith(("_encoder", "_upstream"))


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
