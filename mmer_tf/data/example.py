"""From the stored records of one utterance to what a model sees of it: which take, which crop."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice

import tensorflow as tf

from mmer_tf.data.augment import WaveformAugmentation
from mmer_tf.data.families import copy_name, stored_layout
from mmer_tf.data.features import FEATURES, WAVEFORM, ClipFunction, Layout, follows_waveform
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.schema import TOKENS, parse_packed, unpack, unpack_one
from mmer_tf.data.shard_job import UTTERANCES
from mmer_tf.data.words import WORD_SPANS, crop_spans, shift_spans
from mmer_tf.types import Seconds


class ExampleReader:
    """Reads the stored features of one utterance, or computes them from another take of it.

    Args:
        dataset: the data set.
        features: names of stored features, `token_ids` and `word_spans` among them.
        training: draw at random where a long clip is cropped; otherwise in the middle.
        max_seconds: longest clip.
        copies: number of stored perturbed copies among which, and the recording itself, a draw
            decides.
        augmentation: what happens to the recording, or to the copy that was drawn, before all
            its features are computed from it; None takes the features as they are stored. It
            hears the whole clip, so that a crop is the same as without.

    Attributes:
        families: names of the shard families that are read.
        packed: features that stay bytes until there is a batch of them, for `unpack`.

    Call: serialised example in each family, seed (2,) int64 -> `id`, `has_speech` and the
        entries of each feature, as `make_dataset` gives them, without the batch axis; bytes of
        those in `packed`

    Raises:
        DatasetError: a feature is not stored, or cannot be computed from another take.
    """

    def __init__(
        self,
        dataset: Dataset,
        features: Sequence[str],
        *,
        training: bool,
        max_seconds: Seconds,
        copies: int = 0,
        augmentation: WaveformAugmentation | None = None,
    ):
        self.features = tuple(features)
        self.training = training
        self.max_seconds = max_seconds
        self.copies = copies
        own = [name for name in features if name != WORD_SPANS]
        self.layouts = {name: stored_layout(dataset, name) for name in own if name != TOKENS}
        heard = [name for name in self.layouts if self.layouts[name].of_recording]
        self.augmentation = augmentation if heard else None
        self.computers = {}
        if self.augmentation:
            self.computers = {name: _computer(name) for name in heard if name != WAVEFORM}
            self.layouts[WAVEFORM] = stored_layout(dataset, WAVEFORM)
        changed = heard if self.augmentation else ()
        self.packed = tuple(
            name
            for name in own
            if name != TOKENS and name not in changed and not self.layouts[name].is_image
        )
        # Those of recordings come last: durations and word timings must be those of the copy.
        choices = {name: (name,) for name in own if name not in heard}
        for name in (WAVEFORM,) if self.augmentation else heard:
            choices[name] = tuple(copy_name(name, number) for number in range(copies + 1))
        self.choices = choices or {UTTERANCES: (UTTERANCES,)}
        self.families = tuple(chain.from_iterable(self.choices.values()))

    def __call__(self, serialized: Sequence[tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read, change and crop; see the class."""
        stored = self._read(serialized, seed)
        if self.augmentation:
            stored |= self._retake(stored, tf.random.experimental.stateless_fold_in(seed, 2))
        share = tf.random.stateless_uniform((), seed) if self.training else 0.5
        start = share * tf.maximum(stored["duration"] - self.max_seconds, 0.0)
        values = {"id": stored["id"], "has_speech": stored["has_speech"]}
        for name in self.features:
            if name in self.packed:
                layout = self.layouts[name]
                values[name] = crop_bytes(layout, stored[name], start, self.max_seconds)
            else:
                values |= crop(name, stored, start, self.max_seconds, self.layouts)
        return values

    def unpack(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """A batch of examples with arrays in place of bytes, padded to the longest."""
        values = dict(batch)
        for name in self.packed:
            values |= unpack(name, self.layouts[name], values.pop(name))
        return values

    def _read(self, serialized: Sequence[tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is stored of the recording, or of one of its copies."""
        copy = 0
        if self.copies:
            other = tf.random.experimental.stateless_fold_in(seed, 1)
            copy = tf.random.stateless_uniform((), other, maxval=self.copies + 1, dtype=tf.int32)
        stored: dict[str, tf.Tensor] = {}
        candidates = iter(serialized)
        for name, families in self.choices.items():
            among = list(islice(candidates, len(families)))
            one = tf.stack(among)[copy] if len(among) > 1 else among[0]
            stored |= parse_packed(one, () if name == UTTERANCES else (name,))
            if name in self.layouts and name not in self.packed:
                stored |= unpack_one(name, self.layouts[name], stored.pop(name))
        return stored

    def _retake(self, stored: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The entries that are others once the recording is changed."""
        num_samples = stored["num_samples"]
        waveform, shifted = self.augmentation(stored[WAVEFORM], seed)
        spans = shift_spans(stored[WORD_SPANS], shifted, num_samples)
        values = {WAVEFORM: waveform, WORD_SPANS: spans}
        heard = num_samples > 0
        for name, compute in self.computers.items():
            array = compute(waveform, num_samples)
            values[name] = tf.where(heard, array, tf.zeros_like(array))
            if not self.layouts[name].is_image:
                values[f"{name}_mask"] = tf.fill(tf.shape(array)[:1], heard)
        return values


def _computer(feature: str) -> ClipFunction:
    """What computes a feature from another take.

    Raises:
        DatasetError: nothing does.
    """
    if not follows_waveform(feature):
        raise DatasetError(
            f"'{feature}' cannot be computed from a changed waveform while a model trains; store "
            "perturbed copies instead (`data.augmented_copies`)"
        )
    return FEATURES[feature].in_graph()


def crop_bytes(layout: Layout, stored: tf.Tensor, start: tf.Tensor, seconds: Seconds) -> tf.Tensor:
    """The stored bytes of an array from `start` on, and no longer than `seconds`."""
    rate, width = layout.frames_per_second, layout.bytes_per_frame
    if rate is None:
        return stored
    first = tf.minimum(
        tf.cast(start * rate, tf.int64) * width, tf.cast(tf.strings.length(stored), tf.int64)
    )
    return tf.strings.substr(stored, first, tf.constant(int(seconds * rate) * width, tf.int64))


def crop(
    name: str,
    stored: Mapping[str, tf.Tensor],
    start: tf.Tensor,
    seconds: Seconds,
    layouts: Mapping[str, Layout] = FEATURES,
) -> dict[str, tf.Tensor]:
    """The entries of one feature, from `start` and no longer than `seconds`.

    Args:
        name: the feature, `token_ids` or `word_spans`.
        stored: what `schema.parse` gives.
        start: in seconds.
        seconds: greatest length.
        layouts: how the features are stored.
    """
    if name == TOKENS:
        return {"token_ids": stored["token_ids"], "token_mask": stored["token_mask"]}
    if name == WORD_SPANS:
        return {WORD_SPANS: crop_spans(stored[WORD_SPANS], start, seconds)}
    layout, mask = layouts[name], f"{name}_mask"
    if layout.is_image:
        return {name: stored[name]}
    rate = layout.frames_per_second
    if rate is None:
        return {name: stored[name], mask: stored[mask]}
    first = tf.cast(start * rate, tf.int32)
    part = slice(first, first + int(seconds * rate))
    if name == WAVEFORM:
        waveform = stored[name][part]
        return {name: waveform, "num_samples": tf.minimum(stored["num_samples"], tf.size(waveform))}
    return {name: stored[name][part], mask: stored[mask][part]}
