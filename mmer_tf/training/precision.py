"""Mixed precision: what a model computes in half precision while its weights stay float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import keras

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Build layers that compute in this precision; afterwards Keras' policy is as before.

    Micikevicius et al. 2018 (arXiv 1710.03740). Weights, features, logits and losses stay
    float32. The gradients of `mixed_float16` need `scale_loss`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def scale_loss(
    optimizer: keras.optimizers.Optimizer, precision: Precision
) -> keras.optimizers.Optimizer:
    """Keep small gradients of float16 from becoming zero; other precisions need nothing.

    The loss is multiplied by a factor that halves whenever a gradient overflows, in which case
    the step is left out, and that doubles after 2,000 steps without.
    """
    if precision != "mixed_float16":
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)
