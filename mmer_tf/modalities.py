"""What a classifier hears and reads, and whether an utterance has it."""

from collections.abc import Sequence

import numpy as np


class NothingToReadError(ValueError):
    """An utterance that lacks what the model hears or reads."""


def recording(waveform: np.ndarray | None) -> np.ndarray | None:
    """A waveform that can be judged; None where there is none, or not one sample of it.

    Args:
        waveform: (samples,) in [-1, 1] at 16 kHz, or None.

    Raises:
        ValueError: another shape, or values that are no numbers.
    """
    if waveform is None or np.size(waveform) == 0:
        return None
    waveform = np.asarray(waveform, np.float32)
    if waveform.ndim != 1:
        raise ValueError(
            "`waveform` must be (samples,), one channel at 16 kHz. "
            f"Received: shape={waveform.shape}."
        )
    if not np.isfinite(waveform).all():
        raise ValueError("`waveform` must be finite. Received: NaN or infinite samples.")
    return waveform


def middle(waveform: np.ndarray, most: int) -> np.ndarray:
    """At most so many samples, from the middle of a longer recording: (samples,) -> (samples,)."""
    first = max(0, len(waveform) - most) // 2
    return waveform[first : first + most]


def utterances(
    waveforms: Sequence[np.ndarray | None] | None, transcripts: Sequence[str] | None
) -> list[tuple[np.ndarray | None, str]]:
    """Waveform and transcript of each utterance, nothing where a kind of input was not given.

    Raises:
        NothingToReadError: neither was given.
        ValueError: as `recording`, or not as many of one as of the other.
    """
    if waveforms is None and transcripts is None:
        raise NothingToReadError("nothing to classify: give waveforms, transcripts or both")
    count = len(waveforms) if waveforms is not None else len(transcripts or ())
    waveforms = [None] * count if waveforms is None else waveforms
    transcripts = [""] * count if transcripts is None else transcripts
    return list(zip(map(recording, waveforms), transcripts, strict=True))


def require_readable(hears: bool, reads: bool, voice: bool, words: bool) -> None:
    """Refuse an utterance that a model cannot judge.

    Args:
        hears: the model takes the voice.
        reads: the model takes the words.
        voice: there is a recording.
        words: there is a transcript of which cleaning leaves something.

    Raises:
        NothingToReadError: the utterance has nothing of what the model takes.
    """
    if not reads and not voice:
        raise NothingToReadError("this model hears only the voice: give it a recording")
    if not hears and not words:
        raise NothingToReadError("this model reads only the words: give it a transcript")
    if not voice and not words:
        raise NothingToReadError("neither a recording nor a transcript to classify")


def unused_or_missing(hears: bool, reads: bool, voice: bool, words: bool) -> str | None:
    """What a model would use but was not given, or was given but does not use.

    Args:
        hears, reads, voice, words: as for `require_readable`.

    >>> unused_or_missing(hears=True, reads=False, voice=True, words=True)
    'this model hears only the voice: the transcript is not used'
    """
    if hears and reads:
        if not words:
            return "no transcript given: answered from the voice alone"
        if not voice:
            return "no recording given: answered from the words alone"
    elif hears and words:
        return "this model hears only the voice: the transcript is not used"
    elif reads and voice:
        return "this model reads only the words: the recording is not used"
    return None
