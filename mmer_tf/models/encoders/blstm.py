"""Bidirectional LSTM over acoustic frames."""

import keras
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder


@keras.saving.register_keras_serializable("mmer_tf")
class BLSTM(Encoder):
    """Encode frames with stacked bidirectional LSTMs.

    Neighbouring frames can be joined to one longer step first (low frame rate: Sak et al. 2015,
    "Fast and accurate recurrent neural network acoustic models for speech recognition"), which
    saves recurrent steps, hence time, in proportion.

    Args:
        units: width of each direction, at least 1.
        num_layers: bidirectional layers on top of each other, at least 1.
        frame_stack: frames joined to one step, at least 1; the last step is filled with zeros.
        dropout: share of each layer's outputs dropped in training.

    Call: sequence (batch, frames, dim), mask (batch, frames) bool with the real frames first
        -> (batch, ceil(frames / frame_stack), 2 * units) and its mask

    Raises:
        ValueError: an argument out of range.
    """

    inputs = "frames"

    def __init__(
        self,
        units: int = 64,
        num_layers: int = 1,
        frame_stack: int = 1,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for argument, value in (
            ("units", units),
            ("num_layers", num_layers),
            ("frame_stack", frame_stack),
        ):
            if value < 1:
                raise ValueError(f"`{argument}` must be >= 1. Received: {argument}={value}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        self.units = units
        self.num_layers = num_layers
        self.frame_stack = frame_stack
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

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return 2 * self.units

    @property
    def frames_per_step(self) -> int:
        """Frames that one step of the answer covers."""
        return self.frame_stack

    def build(self, sequence_shape):
        """Create the weights for frames of the last dimension's width."""
        step_shape = (*sequence_shape[:-1], sequence_shape[-1] * self.frame_stack)
        for layer in self.recurrent_layers:
            layer.build(step_shape)
            step_shape = (*step_shape[:-1], self.output_dim)

    def call(self, sequence, mask, training=None):
        """Encode (batch, frames, dim); see the class."""
        sequence = ops.where(mask[:, :, None], sequence, 0)
        if self.frame_stack > 1:
            sequence, mask = self._stack_frames(sequence, mask)
        # The backward direction skips masked steps, so it starts at the last real one. cuDNN
        # refuses a row without any step: such rows read one step of zeros.
        read = ops.logical_or(mask, ops.arange(ops.shape(mask)[1])[None] == 0)
        for recurrent, dropout in zip(self.recurrent_layers, self.dropout_layers, strict=True):
            sequence = recurrent(sequence, mask=read, training=training)
            sequence = dropout(sequence, training=training)  # (batch, steps, 2 * units)
        return ops.where(mask[:, :, None], sequence, 0), mask

    def _stack_frames(self, sequence, mask):
        frames, dim = ops.shape(sequence)[1], sequence.shape[2]
        steps = (frames + self.frame_stack - 1) // self.frame_stack
        padding = [[0, 0], [0, self.frame_stack - 1], [0, 0]]
        sequence = ops.pad(sequence, padding)[:, : steps * self.frame_stack]
        sequence = ops.reshape(sequence, (-1, steps, self.frame_stack * dim))
        return sequence, mask[:, :: self.frame_stack]  # a step is real if its first frame is

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "frame_stack": self.frame_stack,
            "dropout": self.dropout,
        }
