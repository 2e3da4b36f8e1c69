"""What a classifier looked at in one utterance, in seconds and in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmer_tf.types import Seconds

CONTINUATION = "##"
"""How WordPiece begins a piece that goes on with the word before it."""


@dataclass(frozen=True)
class Stretch:
    """A part of the voice and the weight of it.

    Args:
        start, end: from the beginning of what the classifier heard.
        weight: share of the attention.
    """

    start: Seconds
    end: Seconds
    weight: float


@dataclass(frozen=True)
class Example:
    """One utterance, what was answered, and by looking at what.

    Args:
        id: of the utterance.
        true, predicted: classes.
        probability: of the predicted class.
        transcript: as it was read, cleaned.
        waveform: (samples,) float32, 16 kHz, what was heard of the recording; None where there is
            none, or where it cannot be read any more.
        voice: the attention over the voice; empty where the classifier has none that follows time.
        words: each word as the tokenizer has it with its share of the attention; empty where the
            classifier has none over words.
        gate: mean share of the voice in the gated multimodal unit; None without one.
    """

    id: str
    true: str
    predicted: str
    probability: float
    transcript: str
    waveform: np.ndarray | None = None
    voice: tuple[Stretch, ...] = ()
    words: tuple[tuple[str, float], ...] = ()
    gate: float | None = None


def stretches(weights: np.ndarray, step: Seconds, seconds: Seconds | None) -> tuple[Stretch, ...]:
    """The weights of an encoder's steps as stretches of the voice.

    Args:
        weights: (steps,) of the real steps.
        step: from one step to the next.
        seconds: length of what was heard, where the last step ends; None where it is not known.
    """
    ends = [(number + 1) * step for number in range(len(weights))]
    if seconds is not None and len(ends):
        ends[-1] = max(seconds, ends[-1] - step)
    return tuple(
        Stretch(number * step, end, float(weight))
        for number, (weight, end) in enumerate(zip(weights, ends, strict=True))
    )


def join_pieces(pieces: Sequence[str], weights: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Put the pieces of each word together again, with the sum of their weights.

    >>> join_pieces(["[CLS]", "aston", "##ish", "##ing", "!"], [0.1, 0.2, 0.3, 0.2, 0.2])
    (('[CLS]', 0.1), ('astonishing', 0.7), ('!', 0.2))
    """
    words: list[tuple[str, float]] = []
    for piece, weight in zip(pieces, weights, strict=True):
        if piece.startswith(CONTINUATION) and words:
            word, sum_so_far = words[-1]
            words[-1] = (word + piece.removeprefix(CONTINUATION), sum_so_far + float(weight))
        else:
            words.append((piece, float(weight)))
    return tuple((word, round(weight, 6)) for word, weight in words)


def spread_over_tokens(weights: np.ndarray, tokens: int, per_step: int) -> np.ndarray:
    """Share the weight of each step evenly among the tokens that it covers.

    Args:
        weights: (steps,), enough for the tokens.
        tokens: how many there are.
        per_step: tokens of one step; the last step may cover fewer.

    Returns:
        (tokens,), with the same sum.
    """
    step = np.arange(tokens) // per_step
    covered = np.bincount(step, minlength=len(weights))
    return weights[step] / covered[step]
