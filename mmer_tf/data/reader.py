"""From the stored records of a batch to what a model sees of it: which takes, which crops."""

from collections.abc import Sequence
from itertools import chain, islice

import tensorflow as tf

from mmer_tf.data.augment import WaveformAugmentation
from mmer_tf.data.families import copy_name, stored_layout
from mmer_tf.data.features import FEATURES, WAVEFORM, ClipFunction, Layout, follows_waveform
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.schema import TOKENS, dense, parse_batch, unpack, with_lengths
from mmer_tf.data.shard_job import UTTERANCES
from mmer_tf.data.words import WORD_SPANS, crop_spans, shift_spans
from mmer_tf.types import Seconds

Stored = dict[str, tf.Tensor | tf.RaggedTensor]


class BatchReader:
    """Reads the stored features of some utterances, or computes them from other takes of them.

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

    Call: serialised examples (batch,) in each family, seed of each utterance (batch, 2) int64
        -> `id`, `has_speech` and the entries of each feature, as `make_dataset` gives them

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
            self.computers = {name: _computer(name) for name in heard}
            self.layouts[WAVEFORM] = stored_layout(dataset, WAVEFORM)
        # Those of recordings come last: durations and word timings must be those of the copy.
        choices = {name: (name,) for name in own if name not in heard}
        for name in (WAVEFORM,) if self.augmentation else heard:
            choices[name] = tuple(copy_name(name, number) for number in range(copies + 1))
        self.choices = choices or {UTTERANCES: (UTTERANCES,)}
        self.families = tuple(chain.from_iterable(self.choices.values()))

    def __call__(self, serialized: Sequence[tf.Tensor], seeds: tf.Tensor) -> dict[str, tf.Tensor]:
        """Read, change and crop; see the class."""
        stored = self._read(serialized, seeds)
        starts = self._starts(stored["duration"], seeds)
        values = {"id": stored["id"], "has_speech": stored["has_speech"]}
        if self.augmentation:
            stored |= self._retakes(stored, starts, seeds)
        for name in self.features:
            if name == WORD_SPANS:
                values[name] = crop_spans(stored[name], starts, self.max_seconds)
            elif name in self.computers:
                values |= _padded(name, self.layouts[name], stored[name])
            else:
                layout = self.layouts.get(name)  # none of tokens
                part = stored[name]
                if layout is not None:
                    part = crop_bytes(layout, part, starts, self.max_seconds)
                values |= unpack(name, layout, part)
        return values

    def _read(self, serialized: Sequence[tf.Tensor], seeds: tf.Tensor) -> Stored:
        """What is stored of the recordings, or of one of their copies."""
        copy = None
        if self.copies:
            copy = _draw(seeds, 1, maxval=self.copies + 1, dtype=tf.int32)
        fields = ["id", "duration", "has_speech"]
        if self.augmentation or WORD_SPANS in self.features:
            fields.append(WORD_SPANS)
        stored: Stored = {}
        candidates = iter(serialized)
        for name, families in self.choices.items():
            among = list(islice(candidates, len(families)))
            chosen = among[0]
            if len(among) > 1:
                chosen = tf.gather(tf.stack(among, axis=1), copy, batch_dims=1)
            stored |= parse_batch(chosen, () if name == UTTERANCES else (name,), fields)
        return stored

    def _starts(self, durations: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Where each clip is cropped, in seconds, (batch,)."""
        spare = tf.maximum(durations - self.max_seconds, 0.0)
        if not self.training:
            return 0.5 * spare
        # Most batches have no long clip.
        return tf.cond(tf.reduce_any(spare > 0), lambda: spare * _draw(seeds), lambda: spare)

    def _retakes(self, stored: Stored, starts: tf.Tensor, seeds: tf.Tensor) -> Stored:
        """The entries that are others once the recordings are changed, cropped but for words."""

        def one(values: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
            samples, spans, start, seed = values
            unpacked = unpack(WAVEFORM, self.layouts[WAVEFORM], samples[None])
            waveform, num_samples = unpacked[WAVEFORM][0], unpacked["num_samples"][0]
            seed = tf.random.experimental.stateless_fold_in(seed, 2)
            waveform, shifted = self.augmentation(waveform, seed)
            entries = {WORD_SPANS: shift_spans(spans, shifted, num_samples)}
            heard = num_samples > 0
            for name, compute in self.computers.items():
                array, layout = compute(waveform, num_samples), self.layouts[name]
                if layout.is_image:
                    entries[name] = tf.where(heard, array, tf.zeros_like(array))
                else:
                    frames = tf.shape(array)[0] * tf.cast(heard, tf.int32)
                    first, count = _crop_of(layout, start, self.max_seconds)
                    entries[name] = array[:frames][first : first + count]
            return entries

        signature = {WORD_SPANS: tf.RaggedTensorSpec((None, 2), tf.int32, ragged_rank=0)}
        for name in self.computers:
            layout = self.layouts[name]
            signature[name] = (
                tf.TensorSpec(layout.shape, tf.uint8)
                if layout.is_image
                else tf.RaggedTensorSpec((None, *layout.shape), tf.float32, ragged_rank=0)
            )
        rows = (stored[WAVEFORM], stored[WORD_SPANS], starts, seeds)
        return tf.map_fn(one, rows, fn_output_signature=signature)


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


def crop_bytes(layout: Layout, stored: tf.Tensor, starts: tf.Tensor, seconds: Seconds) -> tf.Tensor:
    """The stored bytes of arrays from `starts` on, and no longer than `seconds`: (batch,)."""
    if layout.frames_per_second is None:
        return stored
    width, sizes = layout.bytes_per_frame, tf.cast(tf.strings.length(stored), tf.int64)
    first, count = _crop_of(layout, starts, seconds)
    # Cutting copies all of them.
    return tf.cond(
        tf.reduce_any((first > 0) | (sizes > count * width)),
        lambda: tf.strings.substr(
            stored, tf.minimum(first * width, sizes), tf.zeros_like(sizes) + count * width
        ),
        lambda: stored,
    )


def _crop_of(layout: Layout, start: tf.Tensor, seconds: Seconds) -> tuple[tf.Tensor, int]:
    """First frame, and greatest number of frames."""
    rate = layout.frames_per_second
    return tf.cast(start * rate, tf.int64), int(seconds * rate)


def _padded(name: str, layout: Layout, arrays: tf.Tensor | tf.RaggedTensor) -> dict[str, tf.Tensor]:
    """Entries of a feature, padded to the longest; one frame at least."""
    if layout.is_image:
        return {name: arrays}
    return with_lengths(name, dense(arrays), tf.cast(arrays.row_lengths(), tf.int32))


def _draw(seeds: tf.Tensor, purpose: int | None = None, **options) -> tf.Tensor:
    """A uniform number for each utterance; those of several purposes do not depend on each other.

    Args:
        seeds: (batch, 2).
        purpose: anything but that of another draw.
        options: of `tf.random.stateless_uniform`.
    """

    def one(seed: tf.Tensor) -> tf.Tensor:
        if purpose is not None:
            seed = tf.random.experimental.stateless_fold_in(seed, purpose)
        return tf.random.stateless_uniform((), seed, **options)

    return tf.map_fn(one, seeds, fn_output_signature=options.get("dtype", tf.float32))
