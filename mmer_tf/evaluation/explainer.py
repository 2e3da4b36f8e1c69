"""From what a model answers inside to what a person can see."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.words import WORD_SPANS
from mmer_tf.evaluation.attention import (
    Example,
    Stretch,
    join_pieces,
    spread_over_tokens,
    stretches,
)
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.modalities import middle
from mmer_tf.models.blocks import speech_step, tokens_per_step
from mmer_tf.types import SAMPLE_RATE, Utterance

SPAN = 0.01
"""Seconds of one unit of `word_spans` and of the steps of encoders."""


@dataclass(frozen=True)
class InsideRow:
    """One utterance: what the model read of it and what it answered inside."""

    id: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]

    def has(self, role: str | None) -> bool:
        """Whether it has a voice ("speech"), words ("text"), or anything (None)."""
        return role is None or bool(self.inputs[f"has_{role}"])


class Explainer:
    """From the attention of one utterance to seconds and words.

    Args:
        bundle: the classifier.
        dataset: where the utterances are.

    Attributes:
        step: from one step of the voice's encoder to the next, in 10 ms; None where they do not
            follow time.
        hears: it answers attention over the voice.
        fuses_words: it answers attention over timed words instead.
    """

    def __init__(self, bundle: Bundle, dataset: Dataset):
        self.utterances = {utterance.id: utterance for utterance in dataset.rows}
        self.tokenizer = bundle.tokenizer
        self.max_seconds = bundle.recipe.data.max_seconds
        self.step = speech_step(bundle.model)
        self.tokens_per_step = tokens_per_step(bundle.model)
        self.hears = "speech_attention" in bundle.model.output
        self.fuses_words = "word_attention" in bundle.model.output

    def explain(self, one: InsideRow, predictions: Predictions, row: int) -> Example:
        """What was looked at in an utterance, whose answer is a row of the predictions."""
        utterance = self.utterances[one.id]
        predicted = int(predictions.predicted[row])
        words, voice = (), ()
        if "word_attention" in one.outputs:
            words, voice = self._of_timed_words(one, utterance)
        if "speech_attention" in one.outputs and one.has("speech"):
            voice = self._of_voice(one, utterance)
        if "text_attention" in one.outputs and one.has("text"):
            words = self._of_words(one)
        both = one.has("speech") and one.has("text")
        return Example(
            id=one.id,
            true=predictions.labels[predictions.targets[row]],
            predicted=predictions.labels[predicted],
            probability=float(predictions.probabilities[row, predicted]),
            transcript=one.inputs["transcript"].decode(),
            waveform=self._heard(utterance) if voice else None,
            voice=voice,
            words=words,
            gate=float(one.outputs["gate"].mean()) if both and "gate" in one.outputs else None,
        )

    def _of_voice(self, one: InsideRow, utterance: Utterance) -> tuple[Stretch, ...]:
        if self.step is None:
            return ()
        weights = one.outputs["speech_attention"][one.outputs["speech_mask"].astype(bool)]
        length = utterance.duration
        seconds = min(length, self.max_seconds) if length is not None else None
        return stretches(weights, self.step * SPAN, seconds)

    def _of_words(self, one: InsideRow) -> tuple[tuple[str, float], ...]:
        token_ids = one.inputs["token_ids"][one.inputs["token_mask"].astype(bool)]
        pieces = self.tokenizer.tokenize_to_strings(token_ids)
        weights = one.outputs["text_attention"][one.outputs["text_mask"].astype(bool)]
        return join_pieces(pieces, spread_over_tokens(weights, len(pieces), self.tokens_per_step))

    def _of_timed_words(
        self, one: InsideRow, utterance: Utterance
    ) -> tuple[tuple[tuple[str, float], ...], tuple[Stretch, ...]]:
        """Of a fusion by words; an utterance that was judged as one word has none to show."""
        weights = one.outputs["word_attention"]
        spans = one.inputs[WORD_SPANS][: len(utterance.words)]
        timed = [number for number, (start, _) in enumerate(spans) if start >= 0]
        if not timed:
            return (), ()
        words = tuple((utterance.words[n].text, float(weights[n])) for n in timed)
        return words, tuple(
            Stretch(float(start) * SPAN, float(end) * SPAN, float(weights[n]))
            for n in timed
            for start, end in [spans[n]]
            if end > start
        )

    def _heard(self, utterance: Utterance) -> np.ndarray | None:
        """The part of the recording that the model was given; None where it is gone."""
        if utterance.audio is None:
            return None
        try:
            waveform = decode(utterance.audio)
        except AudioError:
            return None  # the page says so; the weights can be drawn without it
        return middle(waveform, int(self.max_seconds * SAMPLE_RATE))
