"""Waveform to frames, frames to power spectra, and the mel filters that summarise them."""

from math import gcd
from numbers import Integral
from typing import Literal

import numpy as np
from keras import ops

from mmer_tf.audio.layer import before
from mmer_tf.types import SAMPLE_RATE, Hertz

DFT = Literal["fft", "matrix"]


def num_frames(num_samples, window_length: int, hop: int):
    """Count the whole windows in a clip.

    A clip shorter than one window counts as one frame, a clip without samples as none.

    Args:
        num_samples: int, or an integer tensor of any shape.
    """
    least, most = (min, max) if isinstance(num_samples, Integral) else (ops.minimum, ops.maximum)
    return least(num_samples, 1) * (1 + most(num_samples - window_length, 0) // hop)


def silence_after(waveform, num_samples):
    """Zero what stands after the last sample: (batch, samples), (batch,) -> (batch, samples)."""
    return ops.where(before(num_samples, ops.shape(waveform)[1]), waveform, 0.0)


def frame(waveform, window_length: int, hop: int):
    """Cut into overlapping windows, at least one; no padding but for that one.

    (batch, samples) -> (batch, frames, window_length)
    """
    batch, samples = ops.shape(waveform)
    if isinstance(samples, int):
        frames = max(1, num_frames(samples, window_length, hop))
    else:
        frames = ops.maximum(1, num_frames(samples, window_length, hop))
    # Windows are made of whole blocks, so that strided slices suffice (no gather).
    block = gcd(window_length, hop)
    step = hop // block
    used = (frames - 1) * hop + window_length
    padded = ops.pad(waveform, ((0, 0), (0, window_length)))[:, :used]
    blocks = ops.reshape(padded, (batch, -1, block))
    last = (frames - 1) * step + 1
    return ops.concatenate(
        [blocks[:, at : at + last : step] for at in range(window_length // block)], axis=-1
    )


class PowerSpectrum:
    """One-sided power of the Fourier transform under a periodic Hann window.

    Windows shorter than `fft_length` are padded with zeros at their end.

    Args:
        window_length: in samples.
        fft_length: in samples, at least `window_length`.
        dft: "fft", or "matrix" for a product with a fixed matrix. LiteRT's own FFT takes powers
            of two only, so that a 640-point spectrum needs the matrix there.

    Call: frames (..., window_length) -> power (..., fft_length // 2 + 1)

    Raises:
        ValueError: `dft` is neither.
    """

    def __init__(self, window_length: int, fft_length: int, dft: DFT):
        if dft not in ("fft", "matrix"):
            raise ValueError(f'`dft` must be "fft" or "matrix". Received: dft="{dft}".')
        self.fft_length = fft_length
        window = hann(window_length)
        self.window = window.astype(np.float32)
        self.matrix = None
        if dft == "matrix":
            # The product of the indices is exact modulo the period, its cosine then is too.
            turns = np.outer(np.arange(window_length), np.arange(fft_length // 2 + 1)) % fft_length
            angles = 2 * np.pi / fft_length * turns
            waves = np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
            self.matrix = (window[:, None] * waves).astype(np.float32)

    def __call__(self, frames):
        """Transform; see the class."""
        if self.matrix is None:
            real, imaginary = ops.rfft(frames * self.window, self.fft_length)
        else:
            real, imaginary = ops.split(ops.matmul(frames, self.matrix), 2, axis=-1)
        return real * real + imaginary * imaginary


def hann(length: int) -> np.ndarray:
    """Periodic Hann window, float64 (length,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi / length * np.arange(length))


def mel_filters(num_mels: int, fft_length: int, sample_rate: Hertz = SAMPLE_RATE) -> np.ndarray:
    """Triangular filters of equal area from 0 Hz to half the sample rate.

    Slaney's mel scale, linear below 1 kHz and logarithmic above; what `librosa.filters.mel`
    gives by default, without its import time.

    Returns:
        float32 (fft_length // 2 + 1, num_mels)
    """
    mels = np.linspace(0.0, _hertz_to_mel(sample_rate / 2), num_mels + 2)
    edges = _mel_to_hertz(mels)
    bins = np.arange(fft_length // 2 + 1)[:, None] * sample_rate / fft_length
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2 / (edges[2:] - edges[:-2])).astype(np.float32)


_BREAK_HERTZ = 1_000.0
_BREAK_MEL = 15.0
_LOG_STEP = np.log(6.4) / 27


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _BREAK_HERTZ:
        return hertz * _BREAK_MEL / _BREAK_HERTZ
    return _BREAK_MEL + float(np.log(hertz / _BREAK_HERTZ)) / _LOG_STEP


def _mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    logarithmic = _BREAK_HERTZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _BREAK_HERTZ / _BREAK_MEL, logarithmic)
