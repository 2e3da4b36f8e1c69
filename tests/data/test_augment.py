"""Other takes of a waveform: each change is what numpy makes of the same draws."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mmer_tf.data.augment import WaveformAugmentation, add_noise, shift
from mmer_tf.data.words import shift_spans

SAMPLES = 4000
TAKES = 300


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    """Faint enough that no take reaches full scale."""
    return np.random.default_rng(0).normal(0, 0.01, SAMPLES).astype(np.float32)


def takes(waveform: np.ndarray, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Many takes of one waveform, and their shifts."""
    augmentation = WaveformAugmentation(**settings)
    seeds = tf.stack([tf.range(TAKES), tf.fill([TAKES], 7)], axis=1)
    signature = (tf.float32, tf.int32)
    made = tf.map_fn(lambda one: augmentation(waveform, one), seeds, fn_output_signature=signature)
    return made[0].numpy(), made[1].numpy()


def decibels(ratio_of_powers: np.ndarray) -> np.ndarray:
    return 10 * np.log10(ratio_of_powers)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    assert values.min() >= low - 1e-3 and values.max() <= high + 1e-3
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01


@pytest.mark.parametrize("samples", [0, 3, -3, 10, -10])
def test_shift_cuts_off_one_end_and_leaves_silence_at_the_other(samples):
    waveform = np.arange(1.0, 11.0)
    expected = np.zeros(10)
    if samples >= 0:
        expected[samples:] = waveform[: 10 - samples]
    else:
        expected[:samples] = waveform[-samples:]
    np.testing.assert_array_equal(shift(tf.constant(waveform), tf.constant(samples)), expected)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_noise_has_the_ratio_of_powers_that_is_asked_for(waveform, snr_db):
    noise = np.random.default_rng(1).normal(0, 3, SAMPLES).astype(np.float32)
    added = add_noise(waveform, noise, snr_db).numpy() - waveform
    measured = decibels(np.mean(np.float64(waveform) ** 2) / np.mean(np.float64(added) ** 2))
    assert measured == pytest.approx(snr_db, abs=0.01)
    assert np.corrcoef(added, noise)[0, 1] == pytest.approx(1, abs=1e-4)


def test_silence_stays_silent():
    made, _ = takes(np.zeros(100, np.float32), min_snr_db=0, max_gain_db=6, max_shift_seconds=0.01)
    assert not made.any()


def test_gains_are_uniform_in_decibels(waveform):
    made, shifts = takes(waveform, max_gain_db=6)
    assert not shifts.any()
    factors = made @ waveform / (waveform @ waveform)
    np.testing.assert_allclose(made, factors[:, None] * waveform, rtol=1e-4, atol=1e-8)
    assert_uniform(20 * np.log10(factors), -6, 6)


def test_noise_is_white_and_its_ratio_uniform_up_to_40_decibels(waveform):
    made, _ = takes(waveform, min_snr_db=10)
    noise = np.float64(made) - waveform
    assert_uniform(decibels(np.mean(np.float64(waveform) ** 2) / np.mean(noise**2, axis=1)), 10, 40)
    noise /= noise.std(axis=1, keepdims=True)
    assert stats.kstest(noise[0], stats.norm.cdf).pvalue > 0.01
    spectrum = np.mean(np.abs(np.fft.rfft(noise)) ** 2, axis=0) / SAMPLES
    eighths = [part.mean() for part in np.array_split(spectrum[1:], 8)]
    np.testing.assert_allclose(eighths, 1, atol=0.03)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.05


def test_shifts_are_uniform_and_told(waveform):
    made, shifts = takes(waveform, max_shift_seconds=0.1)
    assert_uniform(shifts / 16_000, -0.1, 0.1)
    for take, samples in zip(made, shifts, strict=True):
        rolled = np.roll(waveform, samples)
        rolled[np.s_[:samples] if samples > 0 else np.s_[SAMPLES + samples :]] = 0
        np.testing.assert_array_equal(take, rolled)


def test_half_of_a_short_clip_is_kept(waveform):
    _, shifts = takes(waveform, max_shift_seconds=60)
    assert_uniform(shifts / SAMPLES, -0.5, 0.5)


def test_loud_take_is_scaled_to_full_scale_not_clipped(waveform):
    loud = waveform / np.abs(waveform).max()
    made, _ = takes(loud, max_gain_db=20)
    assert np.abs(made).max() == pytest.approx(1, abs=1e-6)
    factors = made @ loud / (loud @ loud)
    np.testing.assert_allclose(made, factors[:, None] * loud, atol=1e-6)


def test_one_change_does_not_move_the_draws_of_another(waveform):
    shifted, shifts = takes(waveform, max_shift_seconds=0.1)
    all_three, same_shifts = takes(waveform, max_shift_seconds=0.1, max_gain_db=6, min_snr_db=40)
    louder, _ = takes(waveform, max_gain_db=6)
    np.testing.assert_array_equal(shifts, same_shifts)
    expected = shifted * (louder @ waveform / (waveform @ waveform))[:, None]
    power = np.mean(expected**2, axis=1)
    np.testing.assert_allclose(
        decibels(power / np.mean((all_three - expected) ** 2, axis=1)), 40, atol=0.01
    )


def test_words_move_with_the_recording():
    spans = tf.constant([[0, 20], [30, 60], [80, 100]])
    for samples, expected in (
        (4000, [[25, 45], [55, 85], [-1, -1]]),
        (-4000, [[-1, -1], [5, 35], [55, 75]]),
        (-1600, [[0, 10], [20, 50], [70, 90]]),
        (3000, [[19, 39], [49, 79], [99, 100]]),
        (0, [[0, 20], [30, 60], [80, 100]]),
    ):
        moved = shift_spans(spans, tf.constant(samples), tf.constant(16_000))
        assert moved.numpy().tolist() == expected


def test_wrong_settings_are_told():
    with pytest.raises(ValueError, match=r"`min_snr_db` must be <= 40. Received: min_snr_db=41"):
        WaveformAugmentation(min_snr_db=41)
    with pytest.raises(ValueError, match=r"`max_gain_db` must be >= 0. Received: max_gain_db=-1"):
        WaveformAugmentation(max_gain_db=-1)
    with pytest.raises(ValueError, match="`max_shift_seconds` must be >= 0"):
        WaveformAugmentation(max_shift_seconds=-0.1)
    assert not WaveformAugmentation().changes_something
    assert WaveformAugmentation(min_snr_db=20).changes_something
