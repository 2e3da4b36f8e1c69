"""The data contract on disk: an utterance and its features as one tf.train.Example, and back."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from mmer_tf.data.features import FEATURES, FULL_SCALE, WAVEFORM, Layout
from mmer_tf.types import Utterance, Word

TOKENS = "token_ids"
"""The one stored entry that comes from the transcript."""

SPANS_PER_SECOND = 100

_TEXT_FIELDS = ("label", "transcript", "speaker", "gender", "session", "script", "partition")


def encode(
    utterance: Utterance,
    features: Mapping[str, np.ndarray | None] | None = None,
    layouts: Mapping[str, Layout] = FEATURES,
) -> bytes:
    """Serialise an utterance with some of its features.

    Args:
        utterance: everything but the path of its recording is stored.
        features: names of `layouts` or `token_ids` -> arrays as the extractors return them;
            None for an array says that the utterance has no recording, or no transcript.
        layouts: how the arrays are stored.

    Returns:
        A tf.train.Example, the same bytes for the same input.
    """
    entries = {
        "id": _text(utterance.id),
        "duration": _numbers([utterance.duration or 0.0]),
        "has_speech": _integers([utterance.audio is not None]),
        "word_spans": _integers(word_spans(utterance.words).ravel()),
        "words": _texts(word.text for word in utterance.words),
    }
    for field in _TEXT_FIELDS:
        entries[field] = _text(getattr(utterance, field) or "")
    votes = utterance.soft_label or {}
    entries["soft_label_classes"] = _texts(votes)
    entries["soft_label"] = _numbers(votes.values())
    for name, values in (features or {}).items():
        if name == TOKENS:
            entries[name] = _integers(values)
        else:
            entries[name] = _bytes([_packed(name, layouts[name], values)])
    example = tf.train.Example(features=tf.train.Features(feature=entries))
    return example.SerializeToString(deterministic=True)


def parse(
    serialized: tf.Tensor,
    features: Sequence[str] = (),
    layouts: Mapping[str, Layout] = FEATURES,
) -> dict[str, tf.Tensor]:
    """Read one example back, as tensors of the data contract without the batch axis.

    Args:
        serialized: string scalar from `encode`.
        features: those to read besides the fields of the utterance.
        layouts: how they are stored.

    Returns:
        `id`, `label`, `transcript`, `speaker`, `gender`, `session`, `script`, `partition`: string;
        `duration`: float32 seconds; `has_speech`, `has_text`: bool;
        `word_spans`: int32 (words, 2) in 10 ms; `words`: string (words,);
        `soft_label_classes`, `soft_label`: string, float32 (classes with votes,);
        and per feature: `<feature>` float32 (frames, ...) with `<feature>_mask` bool (frames,),
        one masked frame of zeros where there is no recording; `waveform` float32 (samples,) with
        `num_samples` int32; `mel_image` uint8; `token_ids` int32 with `token_mask` bool.
    """
    values = parse_packed(serialized, features)
    for name in features:
        if name != TOKENS:
            values |= unpack_one(name, layouts[name], values.pop(name))
    return values


def parse_packed(serialized: tf.Tensor, features: Sequence[str] = ()) -> dict[str, tf.Tensor]:
    """Read one example back as `parse` does, with arrays of features left as stored bytes."""
    required = tf.io.FixedLenFeature((), tf.string)
    description = dict.fromkeys(("id", *_TEXT_FIELDS), required)
    description["duration"] = tf.io.FixedLenFeature((), tf.float32)
    description["has_speech"] = tf.io.FixedLenFeature((), tf.int64)
    for name, dtype in (
        ("word_spans", tf.int64),
        ("words", tf.string),
        ("soft_label_classes", tf.string),
        ("soft_label", tf.float32),
    ):
        description[name] = tf.io.FixedLenSequenceFeature((), dtype, allow_missing=True)
    for name in features:
        if name == TOKENS:
            description[name] = tf.io.FixedLenSequenceFeature((), tf.int64, allow_missing=True)
        else:
            description[name] = required
    values = tf.io.parse_single_example(serialized, description)
    values["has_speech"] = tf.cast(values["has_speech"], tf.bool)
    values["has_text"] = tf.strings.length(values["transcript"]) > 0
    values["word_spans"] = tf.reshape(tf.cast(values["word_spans"], tf.int32), (-1, 2))
    if TOKENS in features:
        values[TOKENS] = tf.cast(values[TOKENS], tf.int32)
        values["token_mask"] = tf.ones_like(values[TOKENS], tf.bool)
    return values


def unpack(name: str, layout: Layout, stored: tf.Tensor) -> dict[str, tf.Tensor]:
    """Arrays of one feature, padded to the longest: much faster than one by one.

    Args:
        name: the feature, no image.
        layout: how it is stored.
        stored: string (batch,) of `parse_packed`, or whole frames of it.

    Returns:
        Entries as of `parse`, with the batch axis; one frame at least.
    """
    frames = tf.strings.length(stored) // layout.bytes_per_frame
    longest = tf.maximum(tf.reduce_max(frames), 1)
    # As integers of the same size, since padded bytes are not decoded as float16.
    whole = tf.int16 if tf.as_dtype(layout.dtype).size == 2 else tf.int32
    values = tf.io.decode_raw(stored, whole, fixed_length=longest * layout.bytes_per_frame)
    values = tf.cast(tf.bitcast(values, layout.dtype), tf.float32)
    values = tf.reshape(values, (tf.size(frames), longest, *layout.shape))
    if name == WAVEFORM:
        return {name: values / FULL_SCALE, "num_samples": frames}
    return {name: values, f"{name}_mask": tf.sequence_mask(frames, longest)}


def unpack_one(name: str, layout: Layout, stored: tf.Tensor) -> dict[str, tf.Tensor]:
    """The array of one feature: string scalar -> entries as of `parse`."""
    if not layout.is_image:
        return {key: values[0] for key, values in unpack(name, layout, stored[None]).items()}
    image = tf.cond(
        tf.strings.length(stored) > 0,
        lambda: tf.io.decode_png(stored, channels=layout.shape[-1]),
        lambda: tf.zeros(layout.shape, tf.uint8),
    )
    return {name: tf.ensure_shape(image, layout.shape)}


def word_spans(words: Sequence[Word]) -> np.ndarray:
    """First and last moment of each word, int32 (words, 2) in 10 ms."""
    spans = [
        (round(word.start * SPANS_PER_SECOND), round(word.end * SPANS_PER_SECOND)) for word in words
    ]
    return np.array(spans, np.int32).reshape(-1, 2)


def _packed(name: str, layout: Layout, values: np.ndarray | None) -> bytes:
    if values is None:
        return b""
    steps = () if layout.is_image else values.shape[:1]
    if values.dtype != layout.dtype or values.shape != (*steps, *layout.shape):
        raise ValueError(
            f"`{name}` must be {layout.dtype} and end in the axes {layout.shape}. "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    if layout.is_image:
        # Level 1: six times as fast as the default, for a sixth more bytes.
        return tf.io.encode_png(values, compression=1).numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _bytes(values: Iterable[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _text(value: str) -> tf.train.Feature:
    return _bytes([value.encode()])


def _texts(values: Iterable[str]) -> tf.train.Feature:
    return _bytes(value.encode() for value in values)


def _numbers(values: Iterable[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _integers(values: Iterable[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))
