"""The same recording is known again after what files suffer; others are not taken for it."""

import io

import numpy as np
import pytest
import soundfile
import soxr

from mmer_tf.audio.decode import decode
from mmer_tf.audio.fingerprint import (
    Fingerprint,
    find_copies,
    fingerprint,
    highest_error_rate,
)

RATE = 16_000


def louder(waveform: np.ndarray) -> np.ndarray:
    return np.clip(waveform * 10 ** (12 / 20), -1, 1)


def quieter(waveform: np.ndarray) -> np.ndarray:
    return waveform * 10 ** (-12 / 20)


def by(rate: int):
    def resampled(waveform: np.ndarray) -> np.ndarray:
        return soxr.resample(soxr.resample(waveform, RATE, rate), rate, RATE)

    return resampled


def cropped(waveform: np.ndarray) -> np.ndarray:
    return waveform[3_217:]


def late(waveform: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(7_777, np.float32), waveform])


def noisy(waveform: np.ndarray) -> np.ndarray:
    level = np.sqrt(np.mean(waveform**2)) / 10
    return waveform + np.random.default_rng(0).normal(0, level, len(waveform))


def as_mp3(waveform: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE, format="MP3", subtype="MPEG_LAYER_III")
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


CHANGES = (louder, quieter, by(8_000), by(48_000), cropped, late, noisy, as_mp3)
NAMES = ("louder", "quieter", "8kHz", "48kHz", "cropped", "late", "noisy", "mp3")


@pytest.fixture(scope="module")
def clips(real_waveforms) -> dict[str, np.ndarray]:
    return {f"clip{k:02d}": waveform for k, waveform in enumerate(real_waveforms)}


@pytest.fixture(scope="module")
def known(clips) -> dict[str, Fingerprint]:
    return {id: fingerprint(waveform) for id, waveform in clips.items()}


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_changed_recording_is_known_again(change, clips, known):
    changed = {id: fingerprint(change(waveform)) for id, waveform in clips.items()}
    copies = find_copies(changed, known)
    assert [(copy.left, copy.right) for copy in copies] == [(id, id) for id in sorted(clips)]
    assert not any(copy.identical for copy in copies)
    for copy in copies:
        assert 0 <= copy.error_rate <= highest_error_rate(copy.seconds)


def test_equal_samples_are_identical(clips, known):
    again = {f"copy of {id}": fingerprint(waveform.copy()) for id, waveform in clips.items()}
    copies = find_copies(again, known)
    assert [(copy.left, copy.right) for copy in copies] == [
        (f"copy of {id}", id) for id in sorted(clips)
    ]
    assert all(copy.identical and copy.error_rate == 0 for copy in copies)
    assert all(copy.seconds <= len(clips[copy.right]) / RATE + 0.3 for copy in copies)


def test_same_sentence_of_the_same_speaker_is_another_recording(emodb_root):
    """Speaker 03's sentence a01 in four emotions, and b10's takes."""
    files = sorted((emodb_root / "wav").glob("03a01*.wav"))
    files += sorted((emodb_root / "wav").glob("*b10N*.wav"))
    heard = {file.stem: fingerprint(decode(file)) for file in files}
    assert len(heard) > 6
    assert [copy for copy in find_copies(heard, heard) if copy.left != copy.right] == []


def test_error_rate_is_that_of_the_bits_at_the_best_offset():
    """By hand: the right clip is the left one without 5 frames, with 3 bits of each flipped."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 60, dtype=np.uint32)
    weak = np.full(60, 0b11111, np.uint32)
    left = Fingerprint(b"left", np.stack([bits, weak], axis=1))
    flipped = bits[5:] ^ np.uint32(0b10101)
    right = Fingerprint(b"right", np.stack([flipped, weak[5:]], axis=1))
    (copy,) = find_copies({"a": left}, {"b": right})
    assert (copy.left, copy.right, copy.identical) == ("a", "b", False)
    assert copy.error_rate == pytest.approx(3 / 32)
    assert copy.seconds == pytest.approx(55 * 128 / 8000)


def test_silence_is_not_compared():
    random = np.random.default_rng(0)
    shared = random.integers(0, 2**32, 60, dtype=np.uint32)
    weak = np.full(60, 0b11111, np.uint32)
    silent = np.where(np.arange(60) < 55, 0, weak).astype(np.uint32)
    left = Fingerprint(b"left", np.stack([shared, silent], axis=1))
    right = Fingerprint(b"right", np.stack([shared, weak], axis=1))
    assert find_copies({"a": left}, {"b": right}) == ()  # 80 ms are too little


def test_nothing_and_very_little_are_answered(known):
    assert find_copies({}, known) == () == find_copies(known, {})
    short = fingerprint(np.float32([0.1]))
    again = fingerprint(np.float32([0.1]))
    assert short.words.shape == (1, 2) and short.digest == again.digest
    (copy,) = find_copies({"a": short}, {"b": again})
    assert copy.identical
    assert find_copies({"a": short}, known) == ()


@pytest.mark.parametrize("waveform", [np.zeros((2, 4)), np.zeros(0)])
def test_what_is_no_waveform_is_refused(waveform):
    with pytest.raises(ValueError, match=r"`waveform` must be \(samples,\)"):
        fingerprint(waveform)
