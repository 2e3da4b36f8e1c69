"""One utterance of the page: decoded, heard, classified, and what there is to say about it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmer_tf.audio.blocks import read_blocks
from mmer_tf.audio.decode import AudioError
from mmer_tf.deploy.asr import Recogniser
from mmer_tf.deploy.web.classifiers import SharedClassifier
from mmer_tf.deploy.web.looking import Looked, looked_at, tokens_read
from mmer_tf.deploy.web.telling import NothingGivenError, TooLongError, sentence
from mmer_tf.modalities import middle, unused_or_missing
from mmer_tf.text.normalise import clean
from mmer_tf.types import SAMPLE_RATE, Answer, Seconds, Word

LONGEST: Seconds = 120.0
"""Of a recording that is taken for one utterance."""


@dataclass(frozen=True)
class Judgement:
    """What the page shows of one utterance.

    Args:
        answer: of the classifier.
        threshold: below this probability of its label the page is unsure.
        temperature: of the calibration; 1 where there was none.
        waveform: float32 (samples,), 16 kHz, what was judged of the recording; None without.
        transcript: what was judged.
        words: with their times in the waveform; empty where nobody timed them.
        looked: where the attention was.
        took: step -> seconds that it took.
        notes: what was missing, cut or not used.
    """

    answer: Answer
    threshold: float
    temperature: float = 1.0
    waveform: np.ndarray | None = None
    transcript: str = ""
    words: tuple[Word, ...] = ()
    looked: Looked = field(default_factory=Looked)
    took: dict[str, Seconds] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return self.answer.probabilities[self.answer.label]

    @property
    def sure(self) -> bool:
        """Whether that is enough to name it."""
        return self.confidence >= self.threshold


def judge(
    classifier: SharedClassifier,
    recogniser: Recogniser | None,
    recording: Path | None,
    transcript: str | None = None,
    threshold: float = 0.5,
    timings: Sequence[Word] = (),
) -> Judgement:
    """Classify a recording, words, or both.

    Args:
        classifier: a run.
        recogniser: hears the words where `transcript` is None; None: nobody does.
        recording: sound file; None without.
        transcript: what is said; None where that is to be heard.
        threshold: of being sure.
        timings: of the words that were heard in the recording, where `transcript` corrects them.

    Raises:
        AudioError: the file cannot be read.
        NothingGivenError: neither a recording nor words.
        TooLongError: longer than `LONGEST`.
        NothingToReadError, BundleError: the classifier takes nothing of what there is.
    """
    took: dict[str, Seconds] = {}
    said: list[str] = []
    waveform, words = None, tuple(timings)
    if recording is None and not clean(transcript or ""):
        raise NothingGivenError("Nothing to classify yet: record, choose a file or type words.")
    if recording is not None:
        with _timed(took, "decoding"):
            whole = read_utterance(recording)
        longest = classifier.bundle.recipe.data.max_seconds
        waveform = middle(whole, int(longest * SAMPLE_RATE))
        if len(waveform) < len(whole):
            said.append(
                f"The recording is longer than the {longest:g} s that this model takes: its middle "
                "is judged. “Over time” judges all of it."
            )
    if waveform is not None and transcript is None:
        with _timed(took, "speech recognition"):
            words, told = _heard(recogniser, waveform)
        said += told
    text = " ".join(word.text for word in words) if transcript is None else transcript.strip()
    with _timed(took, "classifying"):
        (answer,) = classifier.predict([waveform], [text], [words])
    there = bool(clean(text))
    note = unused_or_missing(classifier.hears, classifier.reads, waveform is not None, there)
    if note:
        said.append(f"{note[0].upper()}{note[1:]}.")
    read = tokens_read(classifier.bundle, text)
    if read is not None:
        said.append(
            f"The text is longer than this model reads: only its first {read} tokens (words or "
            "parts of words) are judged."
        )
    looked = looked_at(classifier.bundle, answer, waveform, text, words)
    temperature = classifier.bundle.temperature
    return Judgement(
        answer, threshold, temperature, waveform, text, words, looked, took, tuple(said)
    )


def read_utterance(recording: Path) -> np.ndarray:
    """float32 (samples,) at 16 kHz of a sound file, those of browsers too.

    Raises:
        AudioError: the file cannot be read, or is silent.
        TooLongError: longer than `LONGEST`; it is not read to its end.
    """
    blocks, samples = [], 0
    for block in read_blocks(recording):
        blocks.append(block)
        samples += len(block)
        if samples > LONGEST * SAMPLE_RATE:
            raise TooLongError(
                f"The recording is longer than {LONGEST:g} s: give it to “Over time”."
            )
    waveform = np.concatenate(blocks)
    if not waveform.any():
        raise AudioError(recording, "pure silence", "every sample is zero")
    return waveform


def _heard(
    recogniser: Recogniser | None, waveform: np.ndarray
) -> tuple[tuple[Word, ...], list[str]]:
    """The words, and what is to be said about them; a failure stops nothing."""
    if recogniser is None:
        return (), []
    try:
        words = tuple(recogniser.transcribe(waveform))
    except Exception as error:
        # Whatever goes wrong in there, the voice is there to be judged.
        return (), [f"Speech recognition failed, so the voice alone is judged: {sentence(error)}"]
    if not clean(" ".join(word.text for word in words)):
        return (), ["Speech recognition heard no words; you can type them and classify again."]
    return words, []


@contextmanager
def _timed(took: dict[str, Seconds], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took[step] = time.perf_counter() - start
