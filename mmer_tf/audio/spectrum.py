"""Waveform to frames, frames to power spectra, and the mel filters that summarise them."""

from math import gcd
from numbers import Integral
from typing import Literal

import numpy as np
from keras import ops

from mmer_tf.audio.layer import before
from mmer_tf.types import SAMPLE_RATE, Hertz

DFT = Literal["fft", "factored"]


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
    # Windows are made of whole blocks, which are copied at once.
    block = gcd(window_length, hop)
    behind = window_length + (-samples) % block
    blocks = ops.reshape(ops.pad(waveform, ((0, 0), (0, behind))), (batch, -1, block))
    first = ops.arange(frames, dtype="int32") * (hop // block)
    taken = ops.expand_dims(first, 1) + np.arange(window_length // block, dtype=np.int32)
    return ops.reshape(ops.take(blocks, taken, axis=1), (batch, -1, window_length))


class PowerSpectrum:
    """One-sided power of the Fourier transform under a periodic Hann window.

    Windows shorter than `fft_length` are padded with zeros at their end.

    Args:
        window_length: in samples.
        fft_length: in samples, at least `window_length`.
        dft: "fft", or "factored" for products with small matrices. LiteRT's own FFT takes powers
            of two only and is slow.

    Call: frames (..., window_length) -> power (..., fft_length // 2 + 1)

    Raises:
        ValueError: `dft` is neither.
    """

    def __init__(self, window_length: int, fft_length: int, dft: DFT):
        if dft not in ("fft", "factored"):
            raise ValueError(f'`dft` must be "fft" or "factored". Received: dft="{dft}".')
        self.fft_length = fft_length
        self.window = hann(window_length).astype(np.float32)
        self.factors = FactoredTransform(window_length, fft_length) if dft == "factored" else None

    def __call__(self, frames):
        """Transform; see the class."""
        frames = frames * self.window
        if self.factors is not None:
            return self.factors(frames)
        real, imaginary = ops.rfft(frames, self.fft_length)
        return real * real + imaginary * imaginary


class FactoredTransform:
    """One-sided power of the Fourier transform, as two steps of small products.

    The transform of length N = `outer` * `inner` over x[inner * a + b], at frequency
    c + outer * d, is a transform of length `outer` over a, a turn by b * c / N, and a transform of
    length `inner` over b (Cooley and Tukey 1965, doi 10.2307/2003354). A product with the whole
    matrix takes five times as many multiplications, and a table a hundred times as large.

    Args:
        window_length: in samples.
        fft_length: in samples, at least `window_length`; what lies between is zero.

    Call: frames (..., window_length) -> power (..., fft_length // 2 + 1)
    """

    TABLES = ("outer_waves", "turns", "inner_waves")
    """Attributes that hold constants."""

    def __init__(self, window_length: int, fft_length: int):
        both = gcd(window_length, fft_length)
        divisors = [number for number in range(1, both + 1) if both % number == 0]
        # The first step costs in proportion to window / inner, the second to inner.
        self.inner = min(divisors, key=lambda inner: window_length // inner + inner)
        self.outer = fft_length // self.inner
        self.bins = fft_length // 2 + 1
        length, outer, inner = window_length // self.inner, self.outer, self.inner
        waves = _waves(np.outer(np.arange(length), np.arange(outer)), outer)
        self.outer_waves = np.concatenate(waves, axis=1)  # (length, 2 * outer)
        turns = np.outer(np.arange(outer), np.arange(inner))
        self.turns = np.stack(_waves(turns, fft_length))[..., None]  # (2, outer, inner, 1)
        highest = -(-self.bins // outer)
        turns = np.outer(np.arange(inner), np.arange(highest))
        self.inner_waves = np.stack(_waves(turns, inner))  # (2, inner, highest)

    def __call__(self, frames):
        """Transform; see the class."""
        outer, inner = self.outer, self.inner
        rows = ops.reshape(frames, (-1, self.outer_waves.shape[0], inner))
        rows = ops.transpose(rows, (0, 2, 1))  # (rows, inner, length)
        step = ops.matmul(rows, self.outer_waves)  # (rows, inner, 2 * outer)
        step = ops.transpose(ops.reshape(step, (-1, inner, 2, outer)), (3, 0, 2, 1))
        step = ops.reshape(step, (outer, -1, 2 * inner))
        real, imaginary = ops.split(ops.matmul(step, self._second()), 2, axis=-1)
        power = real * real + imaginary * imaginary  # (outer, rows, highest)
        power = ops.reshape(ops.transpose(power, (1, 2, 0)), (-1, outer * power.shape[-1]))
        return ops.reshape(power[:, : self.bins], (*ops.shape(frames)[:-1], self.bins))

    def _second(self):
        """Matrices of the second step, one for each frequency of the first:
        (outer, 2 * inner, 2 * highest), from (real, imaginary) to (real, imaginary)."""
        turn, wave = self.turns, self.inner_waves
        real = turn[0] * wave[0] - turn[1] * wave[1]
        imaginary = turn[0] * wave[1] + turn[1] * wave[0]
        of_real = ops.concatenate([real, imaginary], axis=-1)
        of_imaginary = ops.concatenate([-imaginary, real], axis=-1)
        return ops.concatenate([of_real, of_imaginary], axis=1)


def _waves(turns: np.ndarray, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary part of exp(-2 pi i turns / period), float32."""
    # The product of indices is exact modulo the period, its cosine then is too.
    angles = 2 * np.pi / period * (turns % period)
    return np.cos(angles).astype(np.float32), -np.sin(angles).astype(np.float32)


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
    rising, falling = mel_lines(num_mels, fft_length, sample_rate)
    bins = np.arange(fft_length // 2 + 1)[:, None]
    below, above = (slope * bins + offset for slope, offset in (rising, falling))
    return np.maximum(0.0, np.minimum(below, above)).astype(np.float32)


def mel_lines(num_mels: int, fft_length: int, sample_rate: Hertz = SAMPLE_RATE) -> np.ndarray:
    """The two lines of which each triangle of `mel_filters` is the lower one, where that is above
    zero.

    Returns:
        float64 (2, 2, num_mels): of the rising and the falling line the slope for each frequency
        bin and the value at bin 0
    """
    mels = np.linspace(0.0, _hertz_to_mel(sample_rate / 2), num_mels + 2)
    edges = _mel_to_hertz(mels) * fft_length / sample_rate  # in bins
    start, centre, end = edges[:-2], edges[1:-1], edges[2:]
    height = 2 * fft_length / sample_rate / (end - start)
    rising, falling = height / (centre - start), height / (end - centre)
    return np.array([[rising, -start * rising], [-falling, end * falling]])


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
