"""The mel-spectrogram as a picture, for encoders that were pretrained on photographs."""

import keras
import numpy as np
from keras import ops
from matplotlib import colormaps

from mmer_tf.audio.layer import Float32Layer, before
from mmer_tf.audio.spectrum import (
    DFT,
    PowerSpectrum,
    frame,
    mel_filters,
    num_frames,
    silence_after,
)


@keras.saving.register_keras_serializable("mmer_tf")
class MelImage(Float32Layer):
    """128 mel bands in dB below the clip's maximum, as a colour picture with low notes below.

    `librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=16000), ref=np.max)` (2048-point
    Hann window every 512 samples, centred, 80 dB deep) in the colours of matplotlib's viridis from
    -80 to 0 dB, of which the valid frames are resized to the whole width: bilinear between pixel
    centres, with the filter widened where the picture shrinks (as Pillow does).

    Colours are interpolated between the 256 entries of the table, so that rounding errors never
    become jumps; this is within 1.5 of 255 levels of matplotlib's nearest entry.

    Args:
        size: height and width in pixels.
        dft: "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        mel_image (batch, 224, 224, 3) uint8

    Raises:
        ValueError: `size` < 1.
    """

    WINDOW_LENGTH = 2048
    HOP = 512
    NUM_MELS = 128
    FLOOR = 1e-10
    DEPTH = 80.0
    """dB"""

    def __init__(self, size: int = 224, dft: DFT = "fft", **kwargs):
        super().__init__(**kwargs)
        if size < 1:
            raise ValueError(f"`size` must be >= 1. Received: size={size}.")
        self.size = size
        self.dft = dft
        self.power_spectrum = PowerSpectrum(self.WINDOW_LENGTH, self.WINDOW_LENGTH, dft)
        self.filters = mel_filters(self.NUM_MELS, self.WINDOW_LENGTH)
        colours = colormaps["viridis"](np.arange(256), bytes=True)[:, :3].astype(np.float32)
        steps = np.diff(colours, axis=0, append=colours[-1:])
        self.colours_and_steps = np.concatenate([colours, steps], axis=1)  # (256, 6)
        rows = _resize_weights(np.float32(self.NUM_MELS), self.NUM_MELS, size)
        self.rows = ops.convert_to_numpy(rows)[::-1].copy()  # the first row of a picture is on top

    def call(self, waveform, num_samples):
        """Draw the picture; see the class."""
        num_samples = ops.cast(num_samples, "int32")
        decibels, valid_frames = self._decibels(waveform, num_samples)
        # (batch, frames, mels, 3)
        picture = self._colours(decibels)
        columns = _resize_weights(
            ops.cast(valid_frames, "float32")[:, None, None], ops.shape(picture)[1], self.size
        )
        # (batch, width, mels, 3), then (batch, height, width, 3)
        picture = ops.einsum("bwt,btmc->bwmc", columns, picture)
        picture = ops.einsum("hm,bwmc->bhwc", self.rows, picture)
        return ops.cast(ops.clip(ops.round(picture), 0.0, 255.0), "uint8")

    def _decibels(self, waveform, num_samples):
        """dB from -80 to 0 below each row's maximum (batch, frames, mels), frames (batch,)."""
        margin = self.WINDOW_LENGTH // 2
        centred = ops.pad(silence_after(waveform, num_samples), ((0, 0), (margin, margin)))
        power = self.power_spectrum(frame(centred, self.WINDOW_LENGTH, self.HOP))
        mel = ops.maximum(ops.matmul(power, self.filters), self.FLOOR)
        valid_frames = num_frames(num_samples + 2 * margin, self.WINDOW_LENGTH, self.HOP)
        valid = before(valid_frames, ops.shape(mel)[1])[..., None]
        loudest = ops.max(ops.where(valid, mel, self.FLOOR), axis=(1, 2), keepdims=True)
        decibels = 10 / np.log(10) * (ops.log(mel) - ops.log(loudest))
        return ops.clip(decibels, -self.DEPTH, 0.0), valid_frames

    def _colours(self, decibels):
        position = ops.clip(256 * (decibels / self.DEPTH + 1.0) - 0.5, 0.0, 255.0)
        entry = ops.floor(position)
        looked_up = ops.take(self.colours_and_steps, ops.cast(entry, "int32"), axis=0)
        return looked_up[..., :3] + (position - entry)[..., None] * looked_up[..., 3:]

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "size": self.size, "dft": self.dft}


def _resize_weights(valid, length: int, size: int):
    """Weights of `length` inputs, of which the first `valid` count, in `size` outputs.

    Args:
        valid: float, or float tensor (batch, 1, 1).

    Returns:
        float32 (size, length), or (batch, size, length); every row sums to 1.
    """
    scale = valid / size
    centres = (np.arange(size, dtype=np.float32)[:, None] + 0.5) * scale - 0.5
    inputs = ops.arange(length, dtype="float32")
    distances = ops.abs(centres - inputs) / ops.maximum(scale, 1.0)
    weights = ops.where(inputs < valid, ops.relu(1.0 - distances), 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)
