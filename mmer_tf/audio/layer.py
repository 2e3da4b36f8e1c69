"""What the audio layers have in common: their precision, and how they handle masks."""

import keras
from keras import ops

_BLOCK = 160


class Float32Layer(keras.layers.Layer):
    """A layer that computes in float32, whatever the global or the given policy is.

    The power of speech spans more than half precision can hold.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})


def before(lengths, steps):
    """Mask that is True before each row's end: (batch,), int -> (batch, steps) bool."""
    if isinstance(steps, int) and steps > _BLOCK and steps % _BLOCK == 0:
        # In two parts, since a graph of fixed size would hold all the numbers of a waveform.
        starts = ops.arange(0, steps, _BLOCK, dtype="int32")
        remaining = ops.expand_dims(lengths, -1) - starts  # (batch, blocks)
        within = ops.arange(_BLOCK, dtype="int32")
        return ops.reshape(within < ops.expand_dims(remaining, -1), (-1, steps))
    return ops.arange(steps, dtype="int32") < ops.expand_dims(lengths, -1)


def expand_to(mask, x):
    """Append axes to a mask of the first axes of x, so that it broadcasts over the rest."""
    return ops.reshape(mask, (*ops.shape(mask), *[1] * (len(x.shape) - len(mask.shape))))
