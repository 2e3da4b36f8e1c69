"""LSTMs as the one operation that LiteRT has for them, in place of a loop of small ones.

The converter knows an LSTM by the function that Keras 2 wrote for it: six arguments, five results
and a name that begins with `lstm_`. Its operation takes no mask and keeps its state from one call
to the next, so that masks become a reversal of the real steps, and the first step of all empties
the cells.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmer_tf.models.encoders.recurrent import PackedBLSTM

_SHUT = 1e3
"""What the gates are driven below zero by, far beyond where a sigmoid is 0 in float32."""


@contextlib.contextmanager
def fused_lstms(layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """Within, every `PackedBLSTM` among the layers is traced in the form that LiteRT fuses."""
    packed = [layer for layer in layers if isinstance(layer, PackedBLSTM)]
    for number, layer in enumerate(packed):
        layer.call = _FusedBLSTM.of(layer, str(number))
    try:
        yield
    finally:
        for layer in packed:
            del layer.call  # of the instance; that of the class stands behind it


@dataclass(frozen=True)
class _FusedBLSTM:
    """What stands in for the call of a `PackedBLSTM` that is not trained.

    Args:
        cells: weights of the forward and the backward direction of each layer.
        name: unique among those of a graph.
    """

    cells: tuple[tuple["_Weights", "_Weights"], ...]
    name: str

    @classmethod
    def of(cls, layer: PackedBLSTM, name: str) -> "_FusedBLSTM":
        directions = (
            (one.forward_layer.cell, one.backward_layer.cell) for one in layer.recurrent_layers
        )
        cells = ((_Weights.of(ahead), _Weights.of(back)) for ahead, back in directions)
        return cls(tuple(cells), name)

    def __call__(self, sequence: tf.Tensor, mask: tf.Tensor, training: Any = None) -> tf.Tensor:
        """(1, steps, dim), (1, steps) -> (1, steps, 2 * units), zero where the mask is False."""
        steps = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        sequence = tf.where(mask[:, :, None], sequence, 0.0)
        for number, (ahead, back) in enumerate(self.cells):
            name = f"{self.name}_{number}"
            turned = tf.reverse_sequence(sequence, steps, seq_axis=1)
            read_back = tf.reverse_sequence(back.run(turned, f"{name}_back"), steps, seq_axis=1)
            sequence = tf.concat([ahead.run(sequence, f"{name}_ahead"), read_back], axis=-1)
            sequence = tf.where(mask[:, :, None], sequence, 0.0)
        return sequence


@dataclass(frozen=True)
class _Weights:
    """Of one direction.

    Args:
        kernel: (dim, 4 * units); gates in the order input, forget, candidate, output.
        recurrent: (units, 4 * units).
        bias: (4 * units,).
    """

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, cell: keras.layers.LSTMCell) -> "_Weights":
        weights = (cell.kernel, cell.recurrent_kernel, cell.bias)
        return cls(*(keras.ops.convert_to_numpy(weight).astype("float32") for weight in weights))

    def run(self, sequence: tf.Tensor, name: str) -> tf.Tensor:
        """(1, steps, dim) -> (1, steps, units)."""
        units = len(self.recurrent)
        largest = float(np.abs(self.kernel).max())
        # One input more, which only the emptying step has: it shuts the input and forget gates
        # whatever state is left over. Its weight is no larger than the others, so that it does
        # not coarsen them in 8 bits.
        shutting = np.zeros((1, 4 * units), "float32")
        shutting[:, : 2 * units] = -largest
        most = units * np.abs(self.recurrent).max() + np.abs(self.bias).max()
        signal = (_SHUT + most) / largest
        sequence = tf.pad(sequence, [[0, 0], [0, 0], [0, 1]])
        first = np.zeros((1, 1, sequence.shape[-1]), "float32")
        first[:, :, -1] = signal
        state = tf.zeros((1, units))
        outputs = _lstm_function(name)(
            tf.concat([first, sequence], axis=1),
            state,
            state,
            tf.constant(np.concatenate([self.kernel, shutting])),
            tf.constant(self.recurrent),
            tf.constant(self.bias),
        )
        return tf.slice(outputs[1], [0, 1, 0], [-1, -1, -1])  # LiteRT copies it in one piece


def _lstm_function(name: str):
    """An LSTM over (1, steps, dim) in the form that the converter replaces as a whole."""

    def lstm(inputs, hidden, cell, kernel, recurrent, bias):
        def step(states, x):
            hidden, cell = states
            gates = tf.matmul(x, kernel) + tf.matmul(hidden, recurrent) + bias
            enter, forget, candidate, leave = tf.split(gates, 4, axis=1)
            cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(candidate)
            return tf.sigmoid(leave) * tf.tanh(cell), cell

        hiddens, cells = tf.scan(step, tf.transpose(inputs, (1, 0, 2)), (hidden, cell))
        return (
            hiddens[-1],
            tf.transpose(hiddens, (1, 0, 2)),
            hiddens[-1],
            cells[-1],
            tf.constant(0.0),
        )

    attributes = {
        "api_implements": f"lstm_{name}",
        "api_preferred_device": "CPU",
        "go_backwards": False,
        "time_major": False,
    }
    return tf.function(lstm, autograph=False, experimental_attributes=attributes)
