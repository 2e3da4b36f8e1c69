"""The conditions under which a classifier is tried: what is done to the voice and to the words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from mmer_tf.audio.distortion import (
    clipped,
    through_telephone,
    with_gain,
    with_noise,
    without_edges,
)
from mmer_tf.draws import draws_for
from mmer_tf.text.word_errors import add_word_errors
from mmer_tf.types import SAMPLE_RATE, Seconds, Utterance, Word

NOISE_SNRS_DB = (20, 10, 0)
GAINS_DB = (-20, -6, 6, 20)
CLIPPED_DB = (6, 20)
CROPPED_SHARES = (0.1, 0.25)
WORD_ERROR_RATES = (0.1, 0.2, 0.3, 0.4, 0.5)

Modality = Literal["none", "speech", "text"]


@dataclass(frozen=True)
class Heard:
    """One utterance as it reaches the classifier.

    Args:
        utterance: transcript and word timings are those that are given.
        waveform: float32 (samples,) in [-1, 1], 16 kHz; None where there is none.
    """

    utterance: Utterance
    waveform: np.ndarray | None


@dataclass(frozen=True)
class Condition:
    """A distortion of all utterances that have what it distorts.

    Args:
        name: as the table has it.
        modality: what it distorts.
        distort: utterances -> the same, distorted.
    """

    name: str
    modality: Modality
    distort: Callable[[Sequence[Heard]], Sequence[Heard]]


def conditions(vocabulary: Mapping[str, int], seed: int = 0) -> list[Condition]:
    """All conditions of the table, but for the clean one.

    Args:
        vocabulary: word -> occurrences; wrong words are drawn from it.
        seed: of noise and word errors.
    """
    found = [
        *(_of_voice(f"noise at {snr} dB", _noise(snr, seed)) for snr in NOISE_SNRS_DB),
        _of_voice("telephone, 300–3400 Hz", lambda voice, _: through_telephone(voice)),
        *(_of_voice(f"gain {gain:+d} dB", _gain(gain)) for gain in GAINS_DB),
        *(_of_voice(f"clipped {level} dB below the peak", _clip(level)) for level in CLIPPED_DB),
        *(
            Condition(f"edges cropped, {share:.0%} each", "speech", partial(_crop_all, share))
            for share in CROPPED_SHARES
        ),
        Condition("no recording", "speech", _without_voice),
    ]
    for rate in WORD_ERROR_RATES:
        distort = partial(_mishear_all, rate, vocabulary, seed)
        found.append(Condition(f"word error rate {rate:.0%}", "text", distort))
    return [*found, Condition("no transcript", "text", _without_words)]


def _of_voice(name: str, change: Callable[[np.ndarray, str], np.ndarray]) -> Condition:
    """A condition that changes each waveform, given the utterance's id."""

    def distort(heard: Sequence[Heard]) -> list[Heard]:
        return [replace(one, waveform=change(one.waveform, one.utterance.id)) for one in heard]

    return Condition(name, "speech", distort)


def _noise(snr_db: float, seed: int) -> Callable[[np.ndarray, str], np.ndarray]:
    return lambda voice, id: with_noise(voice, snr_db, draws_for(id, seed, "noise"))


def _gain(gain_db: float) -> Callable[[np.ndarray, str], np.ndarray]:
    return lambda voice, _: with_gain(voice, gain_db)


def _clip(below_peak_db: float) -> Callable[[np.ndarray, str], np.ndarray]:
    return lambda voice, _: clipped(voice, below_peak_db)


def _crop_all(share: float, heard: Sequence[Heard]) -> list[Heard]:
    return [_crop(share, one) for one in heard]


def _crop(share: float, one: Heard) -> Heard:
    """Cut both ends off a recording; timings move along, words outside lose theirs."""
    assert one.waveform is not None
    waveform, first = without_edges(one.waveform, share)
    start: Seconds = first / SAMPLE_RATE
    length: Seconds = len(waveform) / SAMPLE_RATE
    words = tuple(
        Word(word.text, max(0.0, word.start - start), min(length, word.end - start))
        for word in one.utterance.words
        if word.end > start and word.start < start + length
    )
    return Heard(replace(one.utterance, words=words, duration=length), waveform)


def _without_voice(heard: Sequence[Heard]) -> list[Heard]:
    """No recording, and so no timings either."""
    return [Heard(replace(one.utterance, words=(), duration=None), None) for one in heard]


def _mishear_all(
    rate: float, vocabulary: Mapping[str, int], seed: int, heard: Sequence[Heard]
) -> list[Heard]:
    utterances = [one.utterance for one in heard]
    misheard = add_word_errors(utterances, rate, vocabulary=vocabulary, seed=seed)
    pairs = zip(misheard, heard, strict=True)
    return [Heard(utterance, one.waveform) for utterance, one in pairs]


def _without_words(heard: Sequence[Heard]) -> list[Heard]:
    return [
        replace(one, utterance=replace(one.utterance, transcript="", words=())) for one in heard
    ]
