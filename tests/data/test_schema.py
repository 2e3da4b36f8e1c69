"""Encode → parse gives back what went in, after the declared cast."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mmer_tf.data.features import FEATURES
from mmer_tf.data.schema import encode, parse
from mmer_tf.types import Utterance, Word

UTTERANCE = Utterance(
    id="Ses01F_impro01_F000",
    label="hap",
    audio=Path("somewhere.wav"),
    transcript="Entschuldigung – ça va?",
    soft_label={"hap": 0.75, "neu": 0.25},
    speaker="Ses01_F",
    gender="female",
    session="Ses01",
    script="impro01",
    partition="train",
    duration=2.5,
    words=(Word("Entschuldigung", 0.1, 0.834), Word("va", 1.0, 1.25)),
)


def stored_array(name: str, frames: int = 7) -> np.ndarray:
    feature = FEATURES[name]
    shape = feature.shape if feature.frames_per_second is None else (frames, *feature.shape)
    random = np.random.default_rng(0)
    if feature.dtype == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    if feature.dtype == "int16":
        return random.integers(-32_768, 32_768, shape, dtype=np.int16)
    return random.normal(0, 100, shape).astype(feature.dtype)


def test_fields_survive():
    parsed = parse(encode(UTTERANCE))
    for name in ("id", "label", "transcript", "speaker", "gender", "session", "script"):
        assert parsed[name].numpy().decode() == getattr(UTTERANCE, name)
    assert parsed["partition"] == b"train"
    assert parsed["duration"] == 2.5
    assert parsed["has_speech"].numpy() and parsed["has_text"].numpy()
    assert parsed["word_spans"].numpy().tolist() == [[10, 83], [100, 125]]
    assert [word.decode() for word in parsed["words"].numpy()] == ["Entschuldigung", "va"]
    assert parsed["soft_label_classes"].numpy().tolist() == [b"hap", b"neu"]
    assert parsed["soft_label"].numpy().tolist() == [0.75, 0.25]


def test_absent_fields_are_empty():
    parsed = parse(encode(Utterance(id="x", label="sad")))
    assert not parsed["has_speech"].numpy() and not parsed["has_text"].numpy()
    assert parsed["speaker"] == b"" and parsed["word_spans"].shape == (0, 2)


@pytest.mark.parametrize("name", ["log_spectrogram", "log_mel", "mfcc", "lld"])
def test_frames_survive(name: str):
    values = stored_array(name)
    parsed = parse(encode(UTTERANCE, {name: values}), [name])
    assert parsed[name].dtype == tf.float32
    np.testing.assert_array_equal(parsed[name], values.astype(np.float32))
    np.testing.assert_array_equal(parsed[f"{name}_mask"], np.ones(7, bool))


def test_image_survives():
    values = stored_array("mel_image")
    parsed = parse(encode(UTTERANCE, {"mel_image": values}), ["mel_image"])
    assert parsed["mel_image"].dtype == tf.uint8
    np.testing.assert_array_equal(parsed["mel_image"], values)


def test_sixteen_bit_recording_survives():
    levels = stored_array("waveform", 500)
    waveform = levels.astype(np.float32) / 32_768
    stored = FEATURES["waveform"].extract(waveform)
    parsed = parse(encode(UTTERANCE, {"waveform": stored}), ["waveform"])
    np.testing.assert_array_equal(parsed["waveform"], waveform)
    assert parsed["num_samples"].numpy() == 500


def test_full_scale_does_not_wrap():
    assert FEATURES["waveform"].extract(np.float32([1.0, -1.0])).tolist() == [32_767, -32_768]


def test_tokens_survive():
    parsed = parse(encode(UTTERANCE, {"token_ids": np.int32([101, 7, 102])}), ["token_ids"])
    assert parsed["token_ids"].dtype == tf.int32
    assert parsed["token_ids"].numpy().tolist() == [101, 7, 102]
    assert parsed["token_mask"].numpy().all()


@pytest.mark.parametrize("name", list(FEATURES))
def test_missing_recording_is_masked_silence(name: str):
    utterance = Utterance(id="x", label="sad", transcript="hm")
    parsed = parse(encode(utterance, {name: None}), [name])
    feature = FEATURES[name]
    expected = feature.shape if feature.frames_per_second is None else (1, *feature.shape)
    assert parsed[name].shape == expected
    assert not np.any(parsed[name])
    if name == "waveform":
        assert parsed["num_samples"].numpy() == 0
    elif name != "mel_image":
        assert parsed[f"{name}_mask"].numpy().tolist() == [False]


def test_same_input_gives_the_same_bytes():
    features = {name: stored_array(name) for name in FEATURES}
    reversed_features = dict(reversed(features.items()))
    assert encode(UTTERANCE, features) == encode(UTTERANCE, reversed_features)


@pytest.mark.parametrize("values", [np.zeros((7, 64), np.float32), np.zeros((7, 65), np.float16)])
def test_other_dtype_or_shape_is_refused(values: np.ndarray):
    with pytest.raises(ValueError, match="`log_mel` must be float16"):
        encode(UTTERANCE, {"log_mel": values})


@settings(max_examples=25, deadline=None)
@given(transcript=st.text(), frames=st.integers(1, 40))
def test_any_transcript_and_length(transcript: str, frames: int):
    if not all(ord(letter) < 0xD800 or ord(letter) > 0xDFFF for letter in transcript):
        return  # half of a surrogate pair is no text
    utterance = Utterance(id="x", label="sad", audio=Path("x"), transcript=transcript)
    parsed = parse(encode(utterance, {"log_mel": stored_array("log_mel", frames)}), ["log_mel"])
    assert parsed["transcript"].numpy().decode() == transcript
    assert parsed["log_mel"].shape == (frames, 64)
