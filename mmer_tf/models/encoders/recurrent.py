"""Recurrent layers over padded sequences: joined frames, and steps that are read or skipped."""

import keras
import tensorflow as tf
from keras import ops

from mmer_tf.models.encoders.encoder import require_positive
from mmer_tf.models.encoders.lstm import run_both_ways


@keras.saving.register_keras_serializable("mmer_tf")
class PackedBLSTM(keras.layers.Layer):
    """Bidirectional LSTMs on top of each other that read the real steps alone.

    The backward direction starts at the last real step, as over PyTorch's packed sequences.

    Args:
        units: width of each direction, at least 1.
        num_layers: bidirectional layers on top of each other, at least 1.
        dropout: share of each layer's outputs dropped in training.

    Call: sequence (batch, steps, dim), finite where the mask is False, mask (batch, steps) bool
        with the real steps first -> (batch, steps, 2 * units), zero where the mask is False

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, units: int, num_layers: int = 1, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        require_positive(units=units, num_layers=num_layers)
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        self.units = units
        self.num_layers = num_layers
        self.dropout = dropout
        self.recurrent_layers = [
            keras.layers.Bidirectional(
                keras.layers.LSTM(
                    units, return_sequences=True, dtype=self.dtype_policy, name="lstm"
                ),
                dtype=self.dtype_policy,
                name=f"bidirectional_{index}",
            )
            for index in range(num_layers)
        ]
        self.dropout_layers = [
            keras.layers.Dropout(dropout, dtype=self.dtype_policy, name=f"dropout_{index}")
            for index in range(num_layers)
        ]

    def build(self, sequence_shape):
        """Create the weights for steps of the last dimension's width."""
        for layer in self.recurrent_layers:
            layer.build(sequence_shape)
            sequence_shape = (*sequence_shape[:-1], 2 * self.units)

    def call(self, sequence, mask, training=None):
        """Run over (batch, steps, dim); see the class."""
        for recurrent, dropout in zip(self.recurrent_layers, self.dropout_layers, strict=True):
            sequence = _run(recurrent, sequence, mask, training)
            sequence = dropout(sequence, training=training)  # (batch, steps, 2 * units)
        return ops.where(mask[:, :, None], sequence, 0)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
        }


def _run(recurrent: keras.layers.Bidirectional, sequence, mask, training):
    """One layer by what is fastest where it runs: by cuDNN on a GPU, else as `lstm` does."""
    if not tf.config.list_physical_devices("GPU"):
        return run_both_ways(
            sequence, mask, (recurrent.forward_layer.cell, recurrent.backward_layer.cell)
        )
    # cuDNN refuses a row without any step: such rows read one step of zeros.
    read = ops.logical_or(mask, ops.arange(ops.shape(mask)[1])[None] == 0)
    return recurrent(sequence, mask=read, training=training)


def group_frames(sequence, mask, size: int):
    """Put `size` neighbouring frames into one step, the last step filled up with zeros.

    Args:
        sequence: (batch, frames, dim), zero where the mask is False.
        mask: (batch, frames) bool with the real frames first.
        size: frames per step.

    Returns:
        (batch, ceil(frames / size), size, dim), and the mask of its steps: a step is real if its
        first frame is.
    """
    rows, frames, dim = ops.shape(sequence)
    sequence = ops.pad(sequence, [[0, 0], [0, -frames % size], [0, 0]])
    return ops.reshape(sequence, (rows, -1, size, dim)), mask[:, ::size]
