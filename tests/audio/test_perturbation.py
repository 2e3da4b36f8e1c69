"""A perturbed recording is what the drawn numbers say, whatever the recording."""

import numpy as np
import pytest
from scipy import signal

from mmer_tf.audio.perturbation import (
    SETTINGS,
    add_noise,
    change_speed,
    perturb,
    tilt,
)

RATE = 16_000


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.float32(amplitude * np.sin(2 * np.pi * frequency * time))


def noise(samples: int = 4 * RATE, seed: int = 0) -> np.ndarray:
    return np.float32(np.random.default_rng(seed).normal(0, 0.1, samples))


def power(x: np.ndarray) -> float:
    return float(np.mean(np.square(x, dtype=np.float64)))


def strongest(x: np.ndarray) -> float:
    return np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * RATE / len(x)


@pytest.mark.parametrize("speed", [0.9, 0.95, 1.0, 1.037, 1.1])
def test_speed_scales_duration_and_pitch(speed: float):
    take = change_speed(tone(1000.0), speed)
    assert len(take) == round(RATE / speed) and take.dtype == np.float32
    assert strongest(take) == pytest.approx(1000.0 * speed, abs=2)
    middle = slice(RATE // 4, RATE // 2)
    np.testing.assert_allclose(take[middle], tone(1000.0 * speed, 1.2)[middle], atol=2e-3)


def test_tilt_is_the_filter_at_unchanged_power():
    x = noise()
    for coefficient in (-0.375, 0.2):
        expected = signal.lfilter([1, -coefficient], [1], np.float64(x))
        expected *= np.sqrt(power(x) / power(expected))
        np.testing.assert_allclose(tilt(x, coefficient), expected, atol=1e-6)


def test_positive_tilt_brightens():
    bright, dull = tilt(noise(), 0.375), tilt(noise(), -0.375)
    frequencies, spectrum = signal.welch(bright, RATE)
    _, other = signal.welch(dull, RATE)
    high = frequencies > 4000
    assert spectrum[high].sum() > 2 * other[high].sum()


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("snr_db", [15.0, 35.0])
def test_noise_has_the_power_that_was_asked_for(snr_db: float, pink: bool):
    x = tone(300.0)
    added = add_noise(x, snr_db, np.random.default_rng(1), pink=pink) - x
    assert 10 * np.log10(power(x) / power(added)) == pytest.approx(snr_db, abs=0.05)


@pytest.mark.parametrize(("pink", "fall"), [(False, 0.0), (True, 3.01)])
def test_pink_noise_falls_by_three_decibels_an_octave(pink: bool, fall: float):
    x = tone(300.0, 20.0)
    added = add_noise(x, 15.0, np.random.default_rng(2), pink=pink) - x
    frequencies, spectrum = signal.welch(added, RATE, nperseg=1024)
    band = (frequencies > 100) & (frequencies < 6000)
    slope, _ = np.polyfit(np.log2(frequencies[band]), 10 * np.log10(spectrum[band]), 1)
    assert slope == pytest.approx(-fall, abs=0.3)


def test_the_draws_decide_alone():
    x = noise(8000)
    first, speed = perturb(x, np.random.default_rng(3))
    again, same = perturb(x, np.random.default_rng(3))
    np.testing.assert_array_equal(first, again)
    assert speed == same
    other, _ = perturb(x, np.random.default_rng(4))
    assert len(other) != len(first)


def test_takes_keep_their_ranges():
    x = noise(4000)
    speeds, gains = [], []
    for seed in range(200):
        take, speed = perturb(x, np.random.default_rng(seed))
        assert len(take) == round(4000 / speed)
        assert take.dtype == np.float32 and np.isfinite(take).all()
        speeds.append(speed)
        gains.append(10 * np.log10(power(take) / power(x)))
    low, high = SETTINGS["speed"]
    assert low <= min(speeds) < 0.92 and 1.08 < max(speeds) <= high
    # The noise adds up to 0.14 dB, and resampling loses what lies above the new Nyquist frequency.
    assert -4 < min(gains) < -2 and 2 < max(gains) < 3.5


def test_a_loud_recording_is_not_clipped():
    x = tone(200.0, amplitude=1.0)
    for seed in range(20):
        take, _ = perturb(x, np.random.default_rng(seed))
        assert np.abs(take).max() <= 1.0
        assert (np.abs(take) > 0.999).mean() < 0.1


@pytest.mark.parametrize("samples", [1, 2, 3, 17])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_silence_and_the_shortest_clips(samples: int, level: float):
    for seed in range(10):
        take, _ = perturb(np.full(samples, level, np.float32), np.random.default_rng(seed))
        assert len(take) >= 1 and np.isfinite(take).all()
        assert level > 0 or not take.any()


def test_recording_is_left_as_it_is():
    x = noise(800)
    before = x.copy()
    perturb(x, np.random.default_rng(0))
    np.testing.assert_array_equal(x, before)


def test_nothing_to_perturb():
    with pytest.raises(ValueError, match=r"`waveform` must hold at least 1 sample"):
        perturb(np.zeros(0, np.float32), np.random.default_rng(0))
