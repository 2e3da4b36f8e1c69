"""What a classifier hears and reads, and whether an utterance has it."""


class NothingToReadError(ValueError):
    """An utterance that lacks what the model hears or reads."""


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
