"""From a recording and a transcript to what a model takes, as the data contract has it.

What is computed here for one utterance is what `data` stores and `make_dataset` reads for many.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from mmer_tf.data.features import FEATURES
from mmer_tf.data.states import STATES_PER_SECOND
from mmer_tf.data.words import WORD_OF_TOKEN, WORD_SPANS, word_inputs
from mmer_tf.hidden_states import FrozenEncoder
from mmer_tf.modalities import require_readable
from mmer_tf.recipe import Recipe
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE, Word

Inputs = Mapping[str, np.ndarray]
"""Name of a model's input -> its values, the first axis counting utterances."""


@dataclass(frozen=True)
class RawInputs:
    """Computes the inputs of a model from the raw voice and words.

    Args:
        recipe: of the model.
        tokenizer: of its words; None for a model without text.
        transformer: name of stored hidden states -> what computes them; asked for when there
            is something to compute.
        shapes: name of each input -> its shape without the axes of utterances and of time.
    """

    recipe: Recipe
    tokenizer: Tokenizer | None
    transformer: Callable[[str], FrozenEncoder]
    shapes: Mapping[str, tuple[int, ...]]

    def of_utterance(
        self, waveform: np.ndarray | None, transcript: str, timings: Sequence[Word] = ()
    ) -> Inputs:
        """One utterance as a batch of one.

        Args:
            waveform: float32 (samples,) in [-1, 1], 16 kHz mono; None where there is none. Of a
                clip longer than the recipe's `data.max_seconds` the middle is taken.
            transcript: as spoken; empty where there is none.
            timings: of its words.

        Raises:
            NothingToReadError: the utterance lacks the only modality that the model has.
        """
        words = clean(transcript, self.recipe.data.cleaning)
        hears, reads = self.recipe.speech is not None, self.recipe.text is not None
        require_readable(hears, reads, waveform is not None, bool(words))
        longest = self.recipe.data.max_seconds
        # In whole samples, as an exported graph counts.
        extra = 0 if waveform is None else len(waveform) - int(longest * SAMPLE_RATE)
        first = max(0, extra) // 2
        inputs = {**self._speech_inputs(waveform, first), **self._text_inputs(words)}
        if self._tokens is not None and WORD_SPANS in self.shapes:
            cleaning, start = self.recipe.data.cleaning, first / SAMPLE_RATE
            inputs |= word_inputs(timings, transcript, self._tokens, cleaning, start, longest)
        return {name: np.asarray(inputs[name]) for name in self.shapes}

    def joined(self, utterances: Sequence[Inputs]) -> Inputs:
        """Several utterances as one batch, the shorter ones padded behind."""
        padding = {WORD_SPANS: -1, WORD_OF_TOKEN: -1}
        if self.tokenizer is not None:
            padding["token_ids"] = self.tokenizer.pad_id
        return {
            name: _stacked([one[name] for one in utterances], padding.get(name, 0))
            for name in self.shapes
        }

    def _speech_inputs(self, waveform: np.ndarray | None, first: int) -> dict[str, Any]:
        """The voice as a batch of one, cropped as the shards are when they are read.

        Args:
            waveform: the whole clip.
            first: number of the first sample that is kept.
        """
        speech, seconds = self.recipe.speech, self.recipe.data.max_seconds
        if speech is None:
            return {}
        inputs = {"has_speech": np.array([waveform is not None])}
        if speech.upstream and speech.upstream.stored:
            name = f"{speech.upstream.encoder}_states"
            states = self.transformer(name).extract(waveform) if waveform is not None else ()
            first_step = first * STATES_PER_SECOND // SAMPLE_RATE
            steps = int(seconds * STATES_PER_SECOND)
            return inputs | self._states_inputs(name, states[first_step : first_step + steps])
        if waveform is not None:
            waveform = waveform[first : first + int(seconds * SAMPLE_RATE)]
        for name in speech.features:
            inputs |= _feature_inputs(name, waveform)
        return inputs

    def _text_inputs(self, words: str) -> dict[str, Any]:
        """The words as a batch of one."""
        text = self.recipe.text
        if text is None or self._tokens is None:
            return {}
        inputs = {"has_text": np.array([bool(words)])}
        if text.upstream and text.upstream.stored:
            name = f"{text.upstream.encoder}_states"
            return inputs | self._states_inputs(name, self.transformer(name).extract(words))
        token_ids, token_mask = self._tokens(tf.constant([words]))
        return inputs | {"token_ids": token_ids, "token_mask": token_mask}

    @cached_property
    def _tokens(self) -> "_TokenizerGraph | None":
        return None if self.tokenizer is None else _TokenizerGraph(self.tokenizer)

    def _states_inputs(self, name: str, states: Sequence[Any] | np.ndarray) -> dict[str, Any]:
        """Hidden states as a batch of one; one masked step where there are none."""
        present = len(states) > 0
        values = states if present else np.zeros((1, *self.shapes[name]))
        mask = np.full((1, len(values)), present)
        return {name: np.asarray(values, "float32")[None], f"{name}_mask": mask}


class _TokenizerGraph:
    """A tokenizer traced once: on one utterance its steps cost less than starting each of them."""

    def __init__(self, tokenizer: Tokenizer):
        self.max_tokens = tokenizer.max_tokens
        self._run = tf.function(tokenizer, input_signature=[tf.TensorSpec((None,), tf.string)])

    def __call__(self, transcripts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._run(transcripts)


def _feature_inputs(name: str, waveform: np.ndarray | None) -> dict[str, np.ndarray]:
    """One feature of one recording as the data contract has it in a batch."""
    entry, present = FEATURES[name], waveform is not None
    if name == "waveform":
        waveform = waveform if present else np.zeros(1, "float32")
        samples = np.array([len(waveform) if present else 0], "int32")
        return {name: waveform[None], "num_samples": samples}
    if entry.frames_per_second is None:
        values = entry.extract(waveform) if present else np.zeros(entry.shape, entry.dtype)
        return {name: values[None]}
    values = entry.extract(waveform) if present else np.zeros((1, *entry.shape))
    mask = np.full((1, len(values)), present)
    return {name: values[None].astype("float32"), f"{name}_mask": mask}


def _stacked(rows: Sequence[np.ndarray], padding: int) -> np.ndarray:
    """Batches of one as one batch: [(1, steps, …)] -> (rows, most steps, …)."""
    if rows[0].ndim == 1:
        return np.concatenate(rows)
    longest = max(row.shape[1] for row in rows)
    shape = (len(rows), longest, *rows[0].shape[2:])
    batch = np.full(shape, padding, rows[0].dtype)
    for number, row in enumerate(rows):
        batch[number, : row.shape[1]] = row[0]
    return batch
