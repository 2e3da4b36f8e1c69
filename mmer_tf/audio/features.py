"""Spectral features per frame, as Keras layers: the same in the shards and in exported models."""

import keras
import numpy as np
from keras import ops

from mmer_tf.audio.layer import Float32Layer, before
from mmer_tf.audio.spectrum import (
    DFT,
    PowerSpectrum,
    frame,
    hann,
    mel_filters,
    num_frames,
    silence_after,
)
from mmer_tf.types import SAMPLE_RATE, Seconds


class FrameFeature(Float32Layer):
    """A feature of the power spectrum of each frame.

    Frames start at sample 0, without centre padding, and only whole windows count; samples after
    `num_samples` are zero; a clip shorter than one window gives one frame. Frames beyond a row's
    clip are zero, so that a padded batch of single clips equals a batch of padded clips.

    Args:
        window_length: in samples.
        fft_length: in samples.
        hop: in samples.
        dft: how the spectrum is computed, "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        feature (batch, frames, …) float32, mask (batch, frames) bool
    """

    def __init__(self, window_length: int, fft_length: int, hop: int, dft: DFT, **kwargs):
        super().__init__(**kwargs)
        self.window_length = window_length
        self.hop = hop
        self.dft = dft
        self.power_spectrum = PowerSpectrum(window_length, fft_length, dft)

    @property
    def feature_dim(self) -> int:
        """Values per frame (and channel, where there are several)."""
        raise NotImplementedError

    @property
    def hop_seconds(self) -> Seconds:
        """Time from one frame to the next."""
        return self.hop / SAMPLE_RATE

    def num_frames(self, num_samples):
        """Count the frames of a clip: int -> int, or integer tensor -> integer tensor."""
        return num_frames(num_samples, self.window_length, self.hop)

    def from_power(self, power):
        """Compute the feature: (batch, frames, bins) -> (batch, frames, feature_dim)."""
        raise NotImplementedError

    def call(self, waveform, num_samples):
        """Compute feature and mask; see the class."""
        num_samples = ops.cast(num_samples, "int32")
        # What stands behind a clip reaches a frame that counts only where the clip is shorter.
        first, rest = waveform[:, : self.window_length], waveform[:, self.window_length :]
        waveform = ops.concatenate([silence_after(first, num_samples), rest], axis=1)
        frames = frame(waveform, self.window_length, self.hop)
        feature = self.from_power(self.power_spectrum(frames))
        mask = before(self.num_frames(num_samples), ops.shape(feature)[1])
        return ops.where(mask[..., None], feature, 0.0), mask

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "dft": self.dft}


@keras.saving.register_keras_serializable("mmer_tf")
class LogSpectrogram(FrameFeature):
    """Log power density in 321 bins of 25 Hz, with its first and second difference in frequency.

    40 ms Hann window every 20 ms, `log(power + 1e-10)`, where power is what
    `scipy.signal.spectrogram(x, 16000, "hann", nperseg=640, noverlap=320, detrend=False)` gives.
    Channels: base; delta, `d[k] = x[k] − x[k−1]` with `d[0] = d[1]`; the delta of the delta.

    Args:
        dft: "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        log_spectrogram (batch, frames, 321, 3) float32, mask (batch, frames) bool
    """

    WINDOW_LENGTH = 640
    HOP = 320
    FLOOR = 1e-10

    def __init__(self, dft: DFT = "fft", **kwargs):
        super().__init__(self.WINDOW_LENGTH, self.WINDOW_LENGTH, self.HOP, dft, **kwargs)
        one_sided = np.full(self.feature_dim, 2.0)
        one_sided[[0, -1]] = 1.0  # neither the mean nor the Nyquist bin has a mirror image
        density = one_sided / (SAMPLE_RATE * np.sum(hann(self.WINDOW_LENGTH) ** 2))
        self.density = density.astype(np.float32)

    @property
    def feature_dim(self) -> int:
        """Frequency bins."""
        return self.WINDOW_LENGTH // 2 + 1

    def from_power(self, power):
        """Log power, the first channel."""
        return ops.log(power * self.density + self.FLOOR)

    def call(self, waveform, num_samples):
        """Compute feature and mask; see the class."""
        base, mask = super().call(waveform, num_samples)
        # A line through the first two bins gives both differences their first values.
        first, second = base[..., :1], base[..., 1:2]
        line = [3 * first - 2 * second, 2 * first - second]
        base = ops.expand_dims(ops.concatenate([*line, base], axis=-1), -1)
        return ops.conv(base, _DIFFERENCES, padding="valid", data_format="channels_last"), mask


# As a convolution, since joining channels that lie apart copies them number by number.
_DIFFERENCES = np.array(
    [[0, 0, 1], [0, -1, -2], [1, 1, 1]],  # of bins k - 2, k - 1 and k
    np.float32,
)[None, :, None]
"""Base, delta and delta-delta as a kernel along frequency: (1, 3, 1, 3)."""


@keras.saving.register_keras_serializable("mmer_tf")
class LogMel(FrameFeature):
    """Log power in 64 mel bands, every 10 ms.

    25 ms Hann window, 512-point FFT, Slaney's mel scale and area norm from 0 to 8 kHz:
    `log(mel + 1e-6)`, where mel is what
    `librosa.feature.melspectrogram(y=np.pad(y, 56), sr=16000, n_fft=512, win_length=400,
    hop_length=160, center=False, n_mels=64)` gives (librosa centres the window in the FFT, hence
    the padding). The floor lies near -67 dB full scale of white noise: below speech and above
    the noise of 16 bits, so that digital silence and a quiet room look alike.

    Args:
        num_mels: bands.
        dft: "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        log_mel (batch, frames, 64) float32, mask (batch, frames) bool

    Raises:
        ValueError: `num_mels` < 1.
    """

    WINDOW_LENGTH = 400
    FFT_LENGTH = 512
    HOP = 160
    FLOOR = 1e-6

    def __init__(self, num_mels: int = 64, dft: DFT = "fft", **kwargs):
        super().__init__(self.WINDOW_LENGTH, self.FFT_LENGTH, self.HOP, dft, **kwargs)
        if num_mels < 1:
            raise ValueError(f"`num_mels` must be >= 1. Received: num_mels={num_mels}.")
        self.num_mels = num_mels
        self.filters = mel_filters(num_mels, self.FFT_LENGTH)

    @property
    def feature_dim(self) -> int:
        """Mel bands."""
        return self.num_mels

    def from_power(self, power):
        """Log of each band."""
        return ops.log(ops.matmul(power, self.filters) + self.FLOOR)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "num_mels": self.num_mels}


@keras.saving.register_keras_serializable("mmer_tf")
class MFCC(FrameFeature):
    """The first 40 coefficients of the cosine transform of 64 mel bands in dB, every 10 ms.

    Frames and bands are those of `LogMel`. Equals
    `librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=None), n_mfcc=40)`: orthonormal DCT of
    type 2, no limit below the maximum (it would let one loud frame change all others).

    Args:
        num_coefficients: from 1 to 64.
        dft: "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        mfcc (batch, frames, 40) float32, mask (batch, frames) bool

    Raises:
        ValueError: `num_coefficients` is out of range.
    """

    NUM_MELS = 64
    FLOOR = 1e-10

    def __init__(self, num_coefficients: int = 40, dft: DFT = "fft", **kwargs):
        super().__init__(LogMel.WINDOW_LENGTH, LogMel.FFT_LENGTH, LogMel.HOP, dft, **kwargs)
        if not 1 <= num_coefficients <= self.NUM_MELS:
            raise ValueError(
                f"`num_coefficients` must be between 1 and {self.NUM_MELS}. "
                f"Received: num_coefficients={num_coefficients}."
            )
        self.num_coefficients = num_coefficients
        self.filters = mel_filters(self.NUM_MELS, LogMel.FFT_LENGTH)
        # Decibels are 10 / ln 10 natural logarithms; the factor is folded into the transform.
        self.cosines = 10 / np.log(10) * _cosine_transform(self.NUM_MELS, num_coefficients)
        self.cosines = self.cosines.astype(np.float32)

    @property
    def feature_dim(self) -> int:
        """Coefficients."""
        return self.num_coefficients

    def from_power(self, power):
        """Cosine transform of the bands in dB."""
        log_mel = ops.log(ops.maximum(ops.matmul(power, self.filters), self.FLOOR))
        return ops.matmul(log_mel, self.cosines)

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {**super().get_config(), "num_coefficients": self.num_coefficients}


def _cosine_transform(length: int, num_coefficients: int) -> np.ndarray:
    """Orthonormal DCT of type 2, float64 (length, num_coefficients)."""
    centres = np.arange(length)[:, None] + 0.5
    transform = np.cos(np.pi / length * centres * np.arange(num_coefficients))
    transform[:, 0] /= np.sqrt(2)
    return transform * np.sqrt(2 / length)
