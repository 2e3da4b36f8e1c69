"""Bidirectional LSTM over acoustic frames."""

import keras
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder, require_positive
from mmer_tf.models.encoders.recurrent import PackedBLSTM, group_frames


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
        require_positive(units=units, num_layers=num_layers, frame_stack=frame_stack)
        self.units = units
        self.num_layers = num_layers
        self.frame_stack = frame_stack
        self.dropout = dropout
        self.recurrent = PackedBLSTM(
            units, num_layers, dropout, dtype=self.dtype_policy, name="recurrent"
        )

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
        self.recurrent.build((*sequence_shape[:-1], sequence_shape[-1] * self.frame_stack))

    def call(self, sequence, mask, training=None):
        """Encode (batch, frames, dim); see the class."""
        sequence = ops.where(mask[:, :, None], sequence, 0)
        if self.frame_stack > 1:
            sequence, mask = group_frames(sequence, mask, self.frame_stack)
            rows, _, size, dim = ops.shape(sequence)
            sequence = ops.reshape(sequence, (rows, -1, size * dim))
        return self.recurrent(sequence, mask, training=training), mask

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "frame_stack": self.frame_stack,
            "dropout": self.dropout,
        }
