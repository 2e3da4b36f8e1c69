"""Whisper's front end against transformers' own, on real clips."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from transformers import WhisperFeatureExtractor

from mmer_tf.audio.whisper_mel import WhisperMel

TOLERANCE = 1e-4
"""Largest difference from float64, in units of four decades of power."""


def published(samples: np.ndarray, num_mels: int, **options) -> np.ndarray:
    extractor = WhisperFeatureExtractor(feature_size=num_mels, **options)
    features = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features
    return features[0].T


def compute(layer: WhisperMel, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_mel, mask = layer(samples[None], np.array([len(samples)]))
    return np.asarray(log_mel[0]), np.asarray(mask[0])


@pytest.mark.parametrize(("num_mels", "dft"), [(80, "fft"), (80, "factored"), (128, "fft")])
def test_equals_transformers(real_waveforms, num_mels, dft):
    layer = WhisperMel(num_mels=num_mels, dft=dft)
    for samples in real_waveforms[:3]:
        expected = published(samples, num_mels)
        log_mel, mask = compute(layer, samples)
        assert log_mel.shape == expected.shape == (3000, num_mels)
        np.testing.assert_allclose(log_mel, expected, rtol=0, atol=TOLERANCE)
        assert mask.sum() == -(-len(samples) // 160) and mask[: mask.sum()].all()


@pytest.mark.parametrize("samples", [1, 15_700, 16_000, 20_000])
def test_clips_around_a_shorter_window(samples):
    """Short and long clips, and one whose reflected end is not silent."""
    waveform = np.random.default_rng(samples).uniform(-0.5, 0.5, samples).astype(np.float32)
    log_mel, mask = compute(WhisperMel(window_seconds=1.0), waveform)
    expected = published(waveform, 80, chunk_length=1)
    np.testing.assert_allclose(log_mel, expected, rtol=0, atol=TOLERANCE)
    assert mask.sum() == -(-min(samples, 16_000) // 160)


def test_silence():
    log_mel, mask = compute(WhisperMel(window_seconds=0.1), np.zeros(0, np.float32))
    np.testing.assert_allclose(log_mel, -1.5)  # (log10(1e-10) + 4) / 4
    assert not mask.any()


def test_a_row_alone_equals_the_row_in_a_padded_batch(uneven_waveforms, padded_batch):
    layer = WhisperMel(window_seconds=0.5)
    waveform, num_samples = padded_batch
    waveform[np.arange(waveform.shape[1]) >= num_samples[:, None]] = np.nan
    for samples, *together in zip(uneven_waveforms, *layer(waveform, num_samples), strict=True):
        for alone, batch in zip(compute(layer, samples), together, strict=True):
            np.testing.assert_allclose(alone, batch, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_graph_and_xla_equal_eager(dft, padded_batch):
    layer = WhisperMel(window_seconds=0.5, dft=dft)
    unknown = [tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)]
    expected, expected_mask = layer(*padded_batch)
    for function in (
        tf.function(layer, input_signature=unknown),
        tf.function(layer, jit_compile=True),
    ):
        log_mel, mask = function(*map(tf.convert_to_tensor, padded_batch))
        np.testing.assert_array_equal(mask, expected_mask)
        np.testing.assert_allclose(log_mel, expected, rtol=0, atol=TOLERANCE)


def test_saved_model_computes_float32_under_every_policy(tmp_path, padded_batch, every_policy):
    waveform = keras.Input((None,), dtype="float32")
    num_samples = keras.Input((), dtype="int32")
    layer = WhisperMel(num_mels=20, window_seconds=0.5, dft="factored")
    log_mel, mask = layer(waveform, num_samples)
    assert (log_mel.dtype, mask.dtype) == ("float32", "bool")
    assert log_mel.shape[1:] == (50, 20)
    model = keras.Model([waveform, num_samples], [log_mel, mask])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(layer(*padded_batch), loaded(list(padded_batch)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_mels": 0}, "`num_mels` must be >= 1. Received: num_mels=0."),
        ({"window_seconds": 0.01}, "positive multiple of 0.02. Received: window_seconds=0.01."),
        ({"window_seconds": 0.05}, "positive multiple of 0.02. Received: window_seconds=0.05."),
        ({"window_seconds": 0}, "positive multiple of 0.02. Received: window_seconds=0."),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        WhisperMel(**arguments)
