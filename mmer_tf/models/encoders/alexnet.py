"""AlexNet over a spectrogram of any length."""

from collections.abc import Sequence

import keras
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder
from mmer_tf.models.weights.alexnet import alexnet_targets
from mmer_tf.models.weights.checkpoint import Checkpoint

FILTERS = (64, 192, 384, 256, 256)

LAYOUT = ((11, 4, True), (5, 1, True), (3, 1, False), (3, 1, False), (3, 1, True))
"""Of each convolution the window and the stride, and whether a maximum is taken after it."""

POOL, POOL_STRIDE = 3, 2
FIRST_PADDING = 2
SMALLEST = 63
"""Frames, or bins, of which one position remains."""


@keras.saving.register_keras_serializable("mmer_tf")
class AlexNet(Encoder):
    """Encode a spectrogram with the convolutions of AlexNet.

    The one-column variant (Krizhevsky 2014, "One weird trick for parallelizing convolutional
    neural networks", arXiv 1404.5997) as published for ImageNet by torchvision, without its
    classifier. Time runs along the picture's height, frequency along its width. An axis shorter
    than 63 is filled up with zeros, so that every clip with a frame has a position.

    Args:
        filters: of the five convolutions.

    Call: sequence (batch, frames, bins, channels), mask (batch, frames) bool with the real frames
        first -> (batch, positions, filters[-1]) and the mask of the positions, which are those of
        the first time step from low to high bins, then those of the second, and so on

    Raises:
        ValueError: not five `filters`, or one < 1; a `sequence` of another rank.
    """

    inputs = "frames"
    features = ("log_spectrogram",)
    """What it reads of the data contract."""

    def __init__(self, filters: Sequence[int] = FILTERS, **kwargs):
        super().__init__(**kwargs)
        if len(filters) != len(LAYOUT) or min(filters) < 1:
            raise ValueError(f"`filters` must be five numbers >= 1. Received: filters={filters}.")
        self.filters = list(filters)
        self.convolutions = [
            keras.layers.Conv2D(
                count,
                window,
                strides=stride,
                padding="valid" if index == 0 else "same",  # the first is padded by hand
                activation="relu",
                kernel_initializer=_initializer(),
                dtype=self.dtype_policy,
                name=f"convolution_{index}",
            )
            for index, (count, (window, stride, _)) in enumerate(zip(filters, LAYOUT, strict=True))
        ]
        self.pool = keras.layers.MaxPooling2D(
            POOL, strides=POOL_STRIDE, dtype=self.dtype_policy, name="pool"
        )

    @classmethod
    def from_pretrained(
        cls, weights: str, *, filters: Sequence[int] = FILTERS, frozen: bool = False, **kwargs
    ) -> "AlexNet":
        """AlexNet with published weights, for spectrograms of three channels.

        Args:
            weights: `.safetensors` file with the arrays of torchvision's AlexNet, or a folder or
                hub name that holds it as `model.safetensors`.
            filters: of the five convolutions.
            frozen: see `Encoder`.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of this AlexNet.
        """
        checkpoint = Checkpoint.find(weights, needs_config=False)
        encoder = cls(filters, frozen=frozen, **kwargs)
        encoder.build((None, None, None, 3))
        checkpoint.assign(alexnet_targets(encoder), ignored=[r"classifier\..*"])
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.filters[-1]

    def build(self, sequence_shape):
        """Create the weights for the channels of the last dimension."""
        if len(sequence_shape) != 4:
            raise ValueError(
                "`sequence` must be (batch, frames, bins, channels). "
                f"Received: shape={tuple(sequence_shape)}."
            )
        channels = sequence_shape[-1]
        for convolution in self.convolutions:
            convolution.build((None, None, None, channels))
            channels = convolution.filters

    def call(self, sequence, mask):
        """Encode (batch, frames, bins, channels); see the class."""
        sequence = ops.where(mask[:, :, None, None], sequence, 0)
        frames = ops.sum(ops.cast(mask, "int32"), axis=1)
        # Real time steps of each row, after each layer as many as without the padding.
        steps = ops.where(frames > 0, ops.maximum(frames, SMALLEST), 0)
        steps += 2 * FIRST_PADDING
        height, width = (_padded_size(size) for size in ops.shape(sequence)[1:3])
        # By a fixed number, then cut, since padding by a computed one forgets all other sizes.
        both = [FIRST_PADDING, FIRST_PADDING + SMALLEST]
        sequence = ops.pad(sequence, [[0, 0], both, both, [0, 0]])[:, :height, :width]
        for convolution, (window, stride, pools) in zip(self.convolutions, LAYOUT, strict=True):
            sequence = convolution(sequence)
            if convolution.padding == "valid":
                steps = (steps - window) // stride + 1
            if pools:
                sequence = self.pool(sequence)
                steps = (steps - POOL) // POOL_STRIDE + 1
            # The next window reaches over the end of the clip, where it must see zeros.
            valid = ops.arange(ops.shape(sequence)[1]) < steps[:, None]
            sequence = ops.where(valid[:, :, None, None], sequence, 0)
        # (batch, time steps, positions in frequency, filters[-1])
        batch, height, width = ops.shape(sequence)[:3]
        mask = ops.logical_and(valid[:, :, None], ops.ones((1, 1, width), "bool"))
        sequence = ops.reshape(sequence, (batch, height * width, self.output_dim))
        return sequence, ops.reshape(mask, (batch, height * width))

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {"filters": self.filters}


def _padded_size(size):
    """Length of an axis with the zeros around it: the convolution's, and those that it lacks."""
    largest = max if isinstance(size, int) else ops.maximum
    return largest(size, SMALLEST) + 2 * FIRST_PADDING


def _initializer() -> keras.initializers.Initializer:
    """PyTorch's own for convolutions, with which the published AlexNets start.

    He's larger one lets the sum over all positions begin with losses in the tens.
    """
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")
