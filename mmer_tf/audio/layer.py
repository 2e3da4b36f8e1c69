"""What the audio layers have in common: their precision, and how they handle masks."""

import keras
from keras import ops


class Float32Layer(keras.layers.Layer):
    """A layer that computes in float32, whatever the global or the given policy is.

    The power of speech spans more than half precision can hold.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})


def before(lengths, steps):
    """Mask that is True before each row's end: (batch,), int -> (batch, steps) bool."""
    return ops.arange(steps, dtype="int32") < ops.expand_dims(lengths, -1)


def expand_to(mask, x):
    """Append axes to a mask of the first axes of x, so that it broadcasts over the rest."""
    return ops.reshape(mask, (*ops.shape(mask), *[1] * (len(x.shape) - len(mask.shape))))
