"""Where a frame stands, told by its neighbours: a wide grouped convolution."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class PositionalConvolution(keras.layers.Layer):
    """Convolutional position embedding of wav2vec 2.0 (Baevski et al. 2020, arXiv 2006.11477).

    A grouped convolution over time as long as its input, then GELU. Its kernel is weight
    normalised (Salimans and Kingma 2016, arXiv 1602.07868) with a length for each tap. Length and
    direction stay two weights: each published array then has its place, and fine-tuning follows
    the path it has in the original.

    Args:
        kernel_size: taps, at least 1; if even, one more lies before a frame than after it.
        groups: of channels that do not see each other, at least 1.

    Call: sequence (batch, steps, dim), zero where nothing is real -> (batch, steps, dim)

    Raises:
        ValueError: at `build`, of a width that is no multiple of `groups`.
    """

    def __init__(self, kernel_size: int, groups: int, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.groups = groups

    def build(self, sequence_shape):
        """Create the weights for the last dimension's width."""
        dim = sequence_shape[-1]
        if dim % self.groups:
            raise ValueError(
                "`hidden_dim` must be a multiple of `position_groups`. "
                f"Received: hidden_dim={dim}, position_groups={self.groups}."
            )
        variance = 4 / (self.kernel_size * dim)
        # The kernel is normalised in float32, whatever is computed with it.
        self.direction = self.add_weight(
            shape=(self.kernel_size, dim // self.groups, dim),
            initializer=keras.initializers.RandomNormal(stddev=variance**0.5),
            autocast=False,
            name="direction",
        )
        # As long as the directions are on average, so that the kernel starts as they do.
        length = (variance * dim * dim / self.groups) ** 0.5
        self.length = self.add_weight(
            shape=(self.kernel_size, 1, 1),
            initializer=keras.initializers.Constant(length),
            autocast=False,
            name="length",
        )
        self.bias = self.add_weight(shape=(dim,), initializer="zeros", name="bias")

    def call(self, sequence):
        """Embed; see the class."""
        direction = ops.convert_to_tensor(self.direction)
        norm = ops.sqrt(ops.sum(ops.square(direction), axis=(1, 2), keepdims=True))
        kernel = ops.cast(self.length * (direction / norm), self.compute_dtype)
        before = self.kernel_size // 2
        padded = ops.pad(sequence, [[0, 0], [before, self.kernel_size - 1 - before], [0, 0]])
        # One convolution a group: TensorFlow has no grouped one on the CPU outside XLA.
        parts = zip(
            ops.split(padded, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        sequence = ops.concatenate(
            [
                ops.conv(part, taps, padding="valid", data_format="channels_last")
                for part, taps in parts
            ],
            axis=-1,
        )  # (batch, steps, dim)
        return ops.gelu(sequence + self.bias, approximate=False)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"kernel_size": self.kernel_size, "groups": self.groups}
