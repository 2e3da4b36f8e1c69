"""Convolution, maximum and bidirectional LSTM, over frames or hidden states."""

import keras
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder, require_positive
from mmer_tf.models.encoders.recurrent import PackedBLSTM, group_frames


@keras.saving.register_keras_serializable("mmer_tf")
class ConvBLSTM(Encoder):
    """Encode frames, or the hidden states of a transformer, by a convolution and an LSTM.

    Convolution over time - ReLU - maximum over `pool_size` neighbours - bidirectional LSTM.
    Frames beyond a row's end count as zero in the convolution, and not at all afterwards.

    Args:
        filters: width of the convolution, at least 1.
        kernel_size: frames that it sees at once, at least 1.
        pool_size: frames whose maximum becomes one step, at least 1; the last step may have fewer.
        units: width of each direction of the LSTM, at least 1.
        dropout: share of the LSTM's outputs dropped in training.

    Call: sequence (batch, frames, dim), mask (batch, frames) bool with the real frames first
        -> (batch, ceil(frames / pool_size), 2 * units) and its mask

    Raises:
        ValueError: an argument out of range.
    """

    inputs = "frames"

    def __init__(
        self,
        filters: int = 128,
        kernel_size: int = 3,
        pool_size: int = 2,
        units: int = 64,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(filters=filters, kernel_size=kernel_size, pool_size=pool_size, units=units)
        self.filters = filters
        self.kernel_size = kernel_size
        self.pool_size = pool_size
        self.units = units
        self.dropout = dropout
        self.convolution = keras.layers.Conv1D(
            filters,
            kernel_size,
            padding="same",
            activation="relu",
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.recurrent = PackedBLSTM(
            units, dropout=dropout, dtype=self.dtype_policy, name="recurrent"
        )

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return 2 * self.units

    @property
    def frames_per_step(self) -> int:
        """Frames that one step of the answer covers."""
        return self.pool_size

    def build(self, sequence_shape):
        """Create the weights for frames of the last dimension's width."""
        self.convolution.build(sequence_shape)
        self.recurrent.build((*sequence_shape[:-1], self.filters))

    def call(self, sequence, mask, training=None):
        """Encode (batch, frames, dim); see the class."""
        sequence = ops.where(mask[:, :, None], sequence, 0)
        sequence = self.convolution(sequence)  # (batch, frames, filters)
        # The convolution has written beyond the end. No value is below zero after a ReLU, so that
        # zeros there, and in the last step, leave the maxima alone.
        sequence = ops.where(mask[:, :, None], sequence, 0)
        sequence, mask = group_frames(sequence, mask, self.pool_size)
        sequence = ops.max(sequence, axis=2)  # (batch, steps, filters)
        return self.recurrent(sequence, mask, training=training), mask

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "units": self.units,
            "dropout": self.dropout,
        }
