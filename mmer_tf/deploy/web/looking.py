"""What a classifier looked at in one utterance that came without a data set."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mmer_tf.bundle import Bundle
from mmer_tf.evaluation.attention import Stretch, join_pieces, spread_over_tokens, stretches
from mmer_tf.evaluation.explainer import SPAN
from mmer_tf.models.blocks import speech_step, tokens_per_step
from mmer_tf.text.normalise import clean
from mmer_tf.types import SAMPLE_RATE, Answer, Word


@dataclass(frozen=True)
class Looked:
    """Where the attention of a classifier was.

    Args:
        voice: shares over the recording; empty where the classifier has none that follows time.
        words: each word as the tokenizer has it with its share; empty where there is none.
        gate: mean share of the voice in the gated multimodal unit; None without one, or where
            there was only a voice or only words to weigh.
    """

    voice: tuple[Stretch, ...] = ()
    words: tuple[tuple[str, float], ...] = ()
    gate: float | None = None


def looked_at(
    bundle: Bundle,
    answer: Answer,
    waveform: np.ndarray | None,
    transcript: str,
    timings: Sequence[Word] = (),
) -> Looked:
    """From an answer to seconds and words.

    Args:
        bundle: gave the answer.
        answer: for this utterance alone, so that no step of it is padding.
        waveform: float32 (samples,), 16 kHz, no longer than what the bundle takes.
        transcript: as it was given.
        timings: of its words, as they were given.
    """
    words = clean(transcript, bundle.recipe.data.cleaning)
    seconds = None if waveform is None else len(waveform) / SAMPLE_RATE
    if answer.word_attention is not None:
        return _of_timed_words(answer.word_attention, timings)
    voice: tuple[Stretch, ...] = ()
    step = speech_step(bundle.model)
    if answer.speech_attention is not None and seconds is not None and step is not None:
        voice = stretches(answer.speech_attention, step * SPAN, seconds)
    shares: tuple[tuple[str, float], ...] = ()
    if answer.text_attention is not None and words and bundle.tokenizer is not None:
        shares = _of_words(bundle, words, answer.text_attention)
    both = seconds is not None and bool(words)
    gate = float(answer.gate.mean()) if both and answer.gate is not None else None
    return Looked(voice, shares, gate)


def tokens_read(bundle: Bundle, transcript: str) -> int | None:
    """How many tokens of a transcript are read, where the rest is cut; None where nothing is."""
    if bundle.tokenizer is None:
        return None
    whole = copy.copy(bundle.tokenizer)
    whole.max_tokens = 2**30
    token_ids, _ = whole(tf.constant([clean(transcript, bundle.recipe.data.cleaning)]))
    most = bundle.tokenizer.max_tokens
    return most - 2 if token_ids.shape[1] > most else None  # two mark start and end


def _of_words(bundle: Bundle, words: str, weights: np.ndarray) -> tuple[tuple[str, float], ...]:
    token_ids, _ = bundle.tokenizer(tf.constant([words]))
    pieces = bundle.tokenizer.tokenize_to_strings(token_ids[0].numpy())
    per_step = tokens_per_step(bundle.model)
    if len(weights) * per_step < len(pieces):  # steps of something else than these tokens
        return ()
    return join_pieces(pieces, spread_over_tokens(weights, len(pieces), per_step))


def _of_timed_words(weights: np.ndarray, timings: Sequence[Word]) -> Looked:
    """Of a fusion by words; what was judged as one word has none to show."""
    weighed = list(zip(timings, map(float, weights), strict=False))
    return Looked(
        voice=tuple(Stretch(word.start, word.end, weight) for word, weight in weighed),
        words=tuple((word.text, weight) for word, weight in weighed),
    )
