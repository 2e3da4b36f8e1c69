"""Frames, windows and filters against numpy, scipy and librosa."""

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal

from mmer_tf.audio.features import _cosine_transform
from mmer_tf.audio.spectrum import PowerSpectrum, frame, hann, mel_filters


@pytest.mark.parametrize(("num_mels", "fft_length"), [(64, 512), (40, 512), (128, 2048)])
def test_mel_filters_equal_librosa(num_mels, fft_length):
    expected = librosa.filters.mel(sr=16_000, n_fft=fft_length, n_mels=num_mels).T
    filters = mel_filters(num_mels, fft_length)
    np.testing.assert_allclose(filters, expected, rtol=1e-5, atol=1e-8)
    assert (filters.sum(axis=0) > 0).all(), "a band without any frequency bin"


@pytest.mark.parametrize("length", [400, 640, 2048])
def test_hann_is_scipys_periodic_window(length):
    np.testing.assert_allclose(hann(length), scipy.signal.get_window("hann", length), atol=1e-15)


def test_cosine_transform_equals_scipy():
    x = np.random.default_rng(0).normal(size=(5, 64))
    expected = scipy.fft.dct(x, type=2, norm="ortho")[:, :40]
    np.testing.assert_allclose(x @ _cosine_transform(64, 40), expected, atol=1e-12)


@pytest.mark.parametrize(("window_length", "hop"), [(640, 320), (400, 160), (2048, 512), (7, 3)])
@pytest.mark.parametrize("samples", [1, 6, 640, 1999, 2048, 5000])
def test_frames_equal_a_sliding_window(window_length, hop, samples):
    waveform = np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)
    padded = np.pad(waveform, ((0, 0), (0, max(0, window_length - samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window_length, axis=1)[:, ::hop]
    np.testing.assert_array_equal(frame(waveform, window_length, hop), windows)


@pytest.mark.parametrize("dft", ["fft", "factored"])
@pytest.mark.parametrize(("window_length", "fft_length"), [(640, 640), (400, 512), (2048, 2048)])
def test_power_spectrum_equals_numpy(window_length, fft_length, dft):
    frames = np.random.default_rng(0).normal(size=(3, 4, window_length)).astype(np.float32)
    window = scipy.signal.get_window("hann", window_length)
    expected = np.abs(np.fft.rfft(frames.astype(np.float64) * window, fft_length)) ** 2
    power = PowerSpectrum(window_length, fft_length, dft)(frames)
    np.testing.assert_allclose(power, expected, rtol=1e-3, atol=1e-6 * expected.max())
