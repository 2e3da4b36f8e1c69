"""From a waveform to the frames that a speech transformer reads: strided convolutions."""

from collections.abc import Sequence

import keras
from keras import ops

from mmer_tf.audio.layer import before

NORMALISATION_EPSILON = 1e-7
NORM_EPSILON = 1e-5
FEATURE_NORMS = ("group", "layer")


def normalise_waveform(waveform, mask):
    """Zero mean and unit variance over the real samples of each clip, as the models were trained.

    Args:
        waveform: (batch, samples) float32, zero where masked.
        mask: (batch, samples) bool, True where a sample is real.

    Returns:
        (batch, samples) float32, zero where masked.
    """
    real = ops.cast(mask, waveform.dtype)
    count = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
    centred = (waveform - ops.sum(waveform, axis=1, keepdims=True) / count) * real
    variance = ops.sum(ops.square(centred), axis=1, keepdims=True) / count
    return centred * ops.rsqrt(variance + NORMALISATION_EPSILON)


@keras.saving.register_keras_serializable("mmer_tf")
class MaskedGroupNormalization(keras.layers.Layer):
    """Normalise every channel over the real frames of its clip.

    Group normalisation (Wu and He 2018, arXiv 1803.08494) with one channel a group. The usual one
    counts padding as frames, so that a clip's answer depends on how long its neighbours are.

    Call: sequence (batch, frames, channels), mask (batch, frames) bool
        -> (batch, frames, channels); what is under a False mask means nothing
    """

    def build(self, sequence_shape):
        """Create a scale and an offset for each channel."""
        channels = (sequence_shape[-1],)
        # In half precision the sum over ten thousands of frames would stop growing.
        kept = {"shape": channels, "autocast": False}
        self.gamma = self.add_weight(initializer="ones", name="gamma", **kept)
        self.beta = self.add_weight(initializer="zeros", name="beta", **kept)

    def call(self, sequence, mask):
        """Normalise; see the class."""
        wide = ops.cast(sequence, "float32")
        real = ops.cast(mask, "float32")[:, :, None]
        count = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
        mean = ops.sum(wide * real, axis=1, keepdims=True) / count  # (batch, 1, channels)
        squares = ops.square(wide - mean) * real
        variance = ops.sum(squares, axis=1, keepdims=True) / count
        scale = self.gamma * ops.rsqrt(variance + NORM_EPSILON)
        return ops.cast(wide * scale + (self.beta - mean * scale), self.compute_dtype)


@keras.saving.register_keras_serializable("mmer_tf")
class WaveFeatures(keras.layers.Layer):
    """Turn samples into frames with convolutions over time (wav2vec 2.0, arXiv 2006.11477).

    Each convolution is followed by a normalisation and GELU. Frames that reach past the end of a
    clip are set to zero after each of them. A clip too short for one frame gives one, as if
    zeros followed it.

    Args:
        dims: channels of each convolution.
        kernels: taps of each.
        strides: step of each.
        bias: whether the convolutions have one.
        norm: "group" normalises each channel over time, after the first convolution alone;
            "layer" normalises each frame, after every convolution.

    Call: waveform (batch, samples), zero from num_samples on; num_samples (batch,) int32
        -> (batch, steps, dims[-1]), zero where masked, and the mask (batch, steps) bool

    Raises:
        ValueError: lists of different lengths, numbers below 1, or an unknown `norm`.
    """

    def __init__(
        self,
        dims: Sequence[int],
        kernels: Sequence[int],
        strides: Sequence[int],
        bias: bool = False,
        norm: str = "group",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not dims or not len(dims) == len(kernels) == len(strides):
            raise ValueError(
                "`conv_dims`, `conv_kernels` and `conv_strides` must be equally long, and not "
                f"empty. Received: conv_dims={list(dims)}, conv_kernels={list(kernels)}, "
                f"conv_strides={list(strides)}."
            )
        if min(*dims, *kernels, *strides) < 1:
            raise ValueError(
                "`conv_dims`, `conv_kernels` and `conv_strides` must be >= 1. Received: "
                f"conv_dims={list(dims)}, conv_kernels={list(kernels)}, "
                f"conv_strides={list(strides)}."
            )
        if norm not in FEATURE_NORMS:
            raise ValueError(
                f"`feature_norm` must be one of {', '.join(FEATURE_NORMS)}. "
                f"Received: feature_norm={norm}."
            )
        self.dims, self.kernels, self.strides = tuple(dims), tuple(kernels), tuple(strides)
        self.bias = bias
        self.norm = norm
        self.convolutions = [
            keras.layers.Conv1D(
                dim,
                kernel,
                strides=stride,
                use_bias=bias,
                data_format="channels_last",
                kernel_initializer="he_normal",
                dtype=self.dtype_policy,
                name=f"convolution_{index}",
            )
            for index, (dim, kernel, stride) in enumerate(zip(dims, kernels, strides, strict=True))
        ]
        if norm == "group":
            self.norms = [MaskedGroupNormalization(dtype=self.dtype_policy, name="norm_0")]
        else:
            self.norms = [
                keras.layers.LayerNormalization(
                    epsilon=NORM_EPSILON, dtype=self.dtype_policy, name=f"norm_{index}"
                )
                for index in range(len(dims))
            ]

    @property
    def samples_per_step(self) -> int:
        """Samples from the start of one frame to the start of the next."""
        samples = 1
        for stride in self.strides:
            samples *= stride
        return samples

    @property
    def samples_seen(self) -> int:
        """Samples that one frame is computed from."""
        samples = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    def count_frames(self, num_samples, convolutions: int | None = None):
        """Frames of as many samples, at least one; after so many convolutions, or after all.

        Takes a number, or int32 of any shape.
        """
        count = num_samples
        pairs = list(zip(self.kernels, self.strides, strict=True))
        for kernel, stride in pairs[:convolutions]:
            count = (count - kernel) // stride + 1
            # A number stays one: shapes are numbers on some backends.
            count = max(count, 1) if isinstance(count, int) else ops.maximum(count, 1)
        return count

    def build(self, waveform_shape):
        """Create the weights; nothing depends on the shape."""
        shape = (*waveform_shape[:1], None, 1)
        for index, convolution in enumerate(self.convolutions):
            convolution.build(shape)
            shape = (*shape[:2], self.dims[index])
            if index < len(self.norms):
                self.norms[index].build(shape)

    def call(self, waveform, num_samples):
        """Compute the frames; see the class."""
        steps = self.count_frames(ops.shape(waveform)[1])
        # Room for one frame, however short the clip; the frames that it adds are cut off below.
        sequence = ops.pad(waveform, [[0, 0], [0, self.samples_seen - 1]])[:, :, None]
        for index, convolution in enumerate(self.convolutions):
            sequence = convolution(sequence)  # (batch, frames, dims[index])
            counts = ops.where(num_samples > 0, self.count_frames(num_samples, index + 1), 0)
            mask = before(counts, ops.shape(sequence)[1])
            if self.norm == "layer":
                sequence = self.norms[index](sequence)
            elif index == 0:
                sequence = self.norms[0](sequence, mask)
            sequence = ops.where(mask[:, :, None], ops.gelu(sequence, approximate=False), 0)
        return sequence[:, :steps], mask[:, :steps]  # (batch, steps, dims[-1])

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "dims": self.dims,
            "kernels": self.kernels,
            "strides": self.strides,
            "bias": self.bias,
            "norm": self.norm,
        }
