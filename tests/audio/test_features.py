"""Frame features against scipy and librosa on real clips, and what every feature must keep."""

import keras
import librosa
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from mmer_tf.audio.decode import decode
from mmer_tf.audio.features import MFCC, LogMel, LogSpectrogram

LAYERS = [LogSpectrogram, LogMel, MFCC]

LOG_TOLERANCE = 1e-3
"""Largest difference from float64 references, in natural log units."""

DECIBEL_TOLERANCE = 10 / np.log(10) * LOG_TOLERANCE
"""The same in dB, the unit of the MFCC."""

DELTA_DELTA_TOLERANCE = 2e-3
"""A second difference adds up four errors."""

MATRIX_TOLERANCE = {LogSpectrogram: 2e-3, LogMel: 1e-3, MFCC: DECIBEL_TOLERANCE}
"""FFT against matrix, both float32."""


def compute(layer, samples: np.ndarray) -> np.ndarray:
    feature, mask = layer(samples[None], np.array([len(samples)]))
    assert np.all(mask)
    return np.asarray(feature[0])


def scipy_log_spectrogram(samples: np.ndarray) -> np.ndarray:
    _, _, power = scipy.signal.spectrogram(
        samples.astype(np.float64),
        16_000,
        window=scipy.signal.get_window("hann", 640),
        nperseg=640,
        noverlap=320,
        detrend=False,
        scaling="density",
    )
    return np.log(power.T + 1e-10)


def difference(x: np.ndarray) -> np.ndarray:
    result = np.zeros_like(x)
    for k in range(1, x.shape[1]):
        result[:, k] = x[:, k] - x[:, k - 1]
    result[:, 0] = result[:, 1]
    return result


def librosa_mel(samples: np.ndarray) -> np.ndarray:
    # librosa centres the 400-point window in the 512-point frame
    return librosa.feature.melspectrogram(
        y=np.pad(samples.astype(np.float64), 56),
        sr=16_000,
        n_fft=512,
        win_length=400,
        hop_length=160,
        center=False,
        n_mels=64,
        dtype=np.float64,
    )


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_log_spectrogram_equals_scipy(real_waveforms, dft):
    layer = LogSpectrogram(dft=dft)
    for samples in real_waveforms:
        base = scipy_log_spectrogram(samples)
        delta = difference(base)
        feature = compute(layer, samples)
        assert feature.shape == (*base.shape, 3) and feature.dtype == np.float32
        np.testing.assert_allclose(feature[..., 0], base, rtol=0, atol=LOG_TOLERANCE)
        np.testing.assert_allclose(feature[..., 1], delta, rtol=0, atol=LOG_TOLERANCE)
        np.testing.assert_allclose(
            feature[..., 2], difference(delta), rtol=0, atol=DELTA_DELTA_TOLERANCE
        )


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_log_mel_equals_librosa(real_waveforms, dft):
    layer = LogMel(dft=dft)
    for samples in real_waveforms:
        expected = np.log(librosa_mel(samples) + 1e-6).T
        np.testing.assert_allclose(compute(layer, samples), expected, rtol=0, atol=LOG_TOLERANCE)


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_mfcc_equals_librosa(real_waveforms, dft):
    layer = MFCC(dft=dft)
    for samples in real_waveforms:
        decibels = librosa.power_to_db(librosa_mel(samples), top_db=None)
        expected = librosa.feature.mfcc(S=decibels, n_mfcc=40).T
        np.testing.assert_allclose(
            compute(layer, samples), expected, rtol=0, atol=DECIBEL_TOLERANCE
        )


@pytest.mark.slow
@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_every_real_clip(emodb_root, ravdess_root, dft):
    clips = [*emodb_root.rglob("*.wav"), *ravdess_root.rglob("*.wav")]
    waveforms = [decode(clip) for clip in clips]
    test_log_spectrogram_equals_scipy(waveforms, dft)
    test_log_mel_equals_librosa(waveforms, dft)
    test_mfcc_equals_librosa(waveforms, dft)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_matrix_equals_fft(real_waveforms, layer_class):
    for samples in real_waveforms:
        np.testing.assert_allclose(
            compute(layer_class(dft="factored"), samples),
            compute(layer_class(dft="fft"), samples),
            rtol=0,
            atol=MATRIX_TOLERANCE[layer_class],
        )


@pytest.mark.parametrize("layer_class", LAYERS)
def test_silence_and_full_scale_stay_finite(layer_class):
    for samples in (np.zeros(2000), np.ones(2000), np.resize([1.0, -1.0], 2000)):
        assert np.isfinite(compute(layer_class(), samples.astype(np.float32))).all()


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_row_alone_equals_the_row_in_a_padded_batch(layer_class, uneven_waveforms, padded_batch):
    layer = layer_class()
    features, masks = map(np.asarray, layer(*padded_batch))
    for samples, feature, mask in zip(uneven_waveforms, features, masks, strict=True):
        frames = layer.num_frames(len(samples))
        assert mask.sum() == frames >= 1 and mask[:frames].all()
        np.testing.assert_allclose(feature[:frames], compute(layer, samples), rtol=0, atol=1e-4)
        assert (feature[frames:] == 0).all()


@pytest.mark.parametrize("layer_class", LAYERS)
def test_frames_are_whole_windows(layer_class):
    layer = layer_class()
    window, hop = layer.window_length, layer.hop
    assert layer.hop_seconds == hop / 16_000
    expected = {0: 0, 1: 1, window - 1: 1, window: 1, window + hop - 1: 1, window + hop: 2}
    for samples, frames in expected.items():
        assert layer.num_frames(samples) == frames
        assert int(layer.num_frames(keras.ops.convert_to_tensor(samples))) == frames


@pytest.mark.parametrize("layer_class", LAYERS)
def test_an_absent_clip_has_no_frames(layer_class):
    _, mask = layer_class()(np.zeros((2, 900), np.float32), np.array([0, 900]))
    assert not np.any(mask[0]) and np.any(mask[1])
    feature, mask = layer_class()(np.zeros((2, 0), np.float32), np.array([0, 0]))
    assert feature.shape[:2] == (2, 1) and not np.any(mask)


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_graph_and_xla_equal_eager(layer_class, dft, padded_batch):
    layer = layer_class(dft=dft)
    unknown = [tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)]
    expected, expected_mask = layer(*padded_batch)
    for function in (
        tf.function(layer, input_signature=unknown),
        tf.function(layer, jit_compile=True),
    ):
        feature, mask = function(*map(tf.convert_to_tensor, padded_batch))
        np.testing.assert_array_equal(mask, expected_mask)
        np.testing.assert_allclose(feature, expected, rtol=0, atol=LOG_TOLERANCE)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_saved_model_computes_float32_under_every_policy(
    tmp_path, layer_class, padded_batch, every_policy
):
    waveform = keras.Input((None,), dtype="float32")
    num_samples = keras.Input((), dtype="int32")
    layer = layer_class(dft="factored")
    feature, mask = layer(waveform, num_samples)
    assert layer.feature_dim == feature.shape[2] and feature.shape[:2] == (None, None)
    assert (feature.dtype, mask.dtype) == ("float32", "bool")
    model = keras.Model([waveform, num_samples], [feature, mask])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(layer(*padded_batch), loaded(list(padded_batch)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_config_round_trip():
    layer = MFCC(num_coefficients=13, dft="factored", name="cepstrum")
    again = MFCC.from_config(layer.get_config())
    assert (again.num_coefficients, again.dft, again.name) == (13, "factored", "cepstrum")
    assert LogMel.from_config(LogMel(num_mels=40).get_config()).num_mels == 40


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: LogSpectrogram(dft="dct"),
            '`dft` must be "fft" or "factored". Received: dft="dct"',
        ),
        (lambda: LogMel(num_mels=0), "`num_mels` must be >= 1. Received: num_mels=0."),
        (lambda: MFCC(num_coefficients=65), "Received: num_coefficients=65."),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError) as caught:
        build()
    assert message in str(caught.value)
