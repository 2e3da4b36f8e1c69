"""A distorted recording has what its name says, measured in another way."""

import numpy as np
import pytest
from scipy import signal

from mmer_tf.audio.distortion import (
    clipped,
    through_telephone,
    with_gain,
    with_noise,
    without_edges,
)
from mmer_tf.draws import draws_for

RATE = 16_000


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.1) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.float32(amplitude * np.sin(2 * np.pi * frequency * time))


def decibels(x: np.ndarray, y: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(x, dtype=float)) / np.mean(np.square(y, dtype=float)))


@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_noise_has_the_ratio_that_was_asked_for(snr_db: float):
    voice = tone(300)
    noise = with_noise(voice, snr_db, draws_for("a", 0, "noise")) - voice
    assert decibels(voice, noise) == pytest.approx(snr_db, abs=0.05)
    _, spectrum = signal.welch(noise, RATE, nperseg=512)
    assert np.std(10 * np.log10(spectrum[1:-1])) < 1.5  # white


def test_noise_is_the_same_at_every_ratio():
    voice = tone(300)
    loud, soft = (with_noise(voice, snr, draws_for("a", 0, "noise")) - voice for snr in (0, 20))
    np.testing.assert_allclose(loud, 10 * soft, atol=1e-5)


def test_noise_beyond_full_scale_is_turned_down_and_not_cut():
    voice = tone(300, amplitude=1.0)
    noisy = with_noise(voice, 0, draws_for("a", 0, "noise"))
    assert np.abs(noisy).max() == pytest.approx(1.0) and (np.abs(noisy) == 1.0).sum() == 1


@pytest.mark.parametrize(
    ("frequency", "lowest", "highest"),
    [(100, -200, -60), (300, -3.5, -2.5), (1000, -0.1, 0.1), (3400, -3.5, -2.5), (4600, -60, -32)],
)
def test_telephone_passes_its_band(frequency: float, lowest: float, highest: float):
    """Of a long tone, past the filter's start."""
    voice = tone(frequency, 2.0)
    assert lowest <= decibels(through_telephone(voice)[RATE:], voice[RATE:]) <= highest


@pytest.mark.parametrize("gain_db", [-20, -6, 6, 20])
def test_gain(gain_db: float):
    voice = tone(300, amplitude=0.05)
    louder = with_gain(voice, gain_db)
    assert decibels(louder, voice) == pytest.approx(gain_db, abs=1e-3)


def test_gain_ends_at_full_scale():
    voice = tone(300, amplitude=0.5)
    np.testing.assert_allclose(with_gain(voice, 20), np.clip(10 * voice, -1, 1), atol=1e-6)


def test_clipping_is_an_overdriven_input_turned_back():
    voice = np.float32(draws_for("a", 0, "test").normal(0, 0.1, RATE))
    peak = np.abs(voice).max()
    overdriven = np.clip(voice * 10 ** (6 / 20), -peak, peak) / 10 ** (6 / 20)
    np.testing.assert_allclose(clipped(voice, 6), overdriven, atol=1e-6)
    np.testing.assert_array_equal(clipped(voice, 0), voice)


def test_edges():
    voice = np.arange(1000, dtype=np.float32) / 1000
    rest, first = without_edges(voice, 0.1)
    assert first == 100
    np.testing.assert_array_equal(rest, voice[100:900])
    for samples in (1, 2, 3):
        rest, first = without_edges(voice[:samples], 0.49)
        assert len(rest) >= 1 and first + len(rest) <= samples
    with pytest.raises(ValueError, match=r"`share` must be in \[0, 0.5\). Received: share=0.5"):
        without_edges(voice, 0.5)


@pytest.mark.parametrize("samples", [1, 2, 400])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_silence_short_clips_and_full_scale_stay_in_range(samples: int, level: float):
    voice = np.full(samples, level, np.float32)
    before = voice.copy()
    for distorted in (
        with_noise(voice, 0, draws_for("a", 0, "noise")),
        through_telephone(voice),
        with_gain(voice, 20),
        clipped(voice, 20),
        without_edges(voice, 0.25)[0],
    ):
        assert distorted.dtype == np.float32 and len(distorted) >= 1
        assert np.isfinite(distorted).all() and np.abs(distorted).max() <= 1
    np.testing.assert_array_equal(voice, before)


def test_draws_are_those_of_utterance_seed_and_purpose():
    def first(*of) -> float:
        return draws_for(*of).random()

    assert first("a", 0, "noise") == first("a", 0, "noise")
    others = {first("b", 0, "noise"), first("a", 1, "noise"), first("a", 0, "words")}
    assert len(others | {first("a", 0, "noise")}) == 4
