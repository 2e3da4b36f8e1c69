"""Speech recognition: from samples to words with their times, by one of two engines.

Without TensorFlow.

- "pocketsphinx" (extra `demo`): the model that comes with it, US English. Small, and often wrong
  on emotional speech: `benchmarks/word_error_rate.md`.
- "whisper" (extra `whisper`): faster-whisper on a folder of weights that the user has; nothing is
  ever downloaded.

Both answer in lower case and without punctuation, so that what reads the words does not depend on
the engine.
"""

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmer_tf.deploy.voice_activity import FRAME, make_detector, pcm16
from mmer_tf.registry import Registry
from mmer_tf.types import SAMPLE_RATE, MissingExtraError, Seconds, Word

SHORTEST: Seconds = 0.1
"""In less than this no word is looked for."""

WEIGHTS_FILES = ("model.bin", "config.json", "tokenizer.json")
"""What a folder of Whisper must hold. Without tokenizer.json faster-whisper would download one."""

_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_PRONUNCIATION = re.compile(r"\(\d+\)$")  # "the(2)": the dictionary's second way to say it
_FILLER = re.compile(r"[<\[+]")  # begins <s>, <sil>, [NOISE], ++BREATH++
_EDGES = re.compile(r"^\W+|\W+$")
_MARGIN = 3 * SAMPLE_RATE // 10
"""Samples kept around what the voice detector finds; it notices a soft beginning late."""


class RecognitionError(ValueError):
    """Speech cannot be recognised; the message says why in one sentence."""


class Recogniser(Protocol):
    """Speech to words. Safe between threads; no answer depends on what was heard before."""

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        """The words of a recording, in order.

        Args:
            waveform: float32 (samples,) in [-1, 1], 16 kHz mono.

        Returns:
            Words in lower case, their times in seconds from the first sample, none before the
            end of the word before it and none beyond the recording; empty where nothing is heard.

        Raises:
            RecognitionError: the samples are not such, or the engine fails.
        """
        ...


class PocketSphinx:
    """The embedded recogniser, its English model included.

    One decoder, since it takes half a second to make; calls wait for each other.

    Args:
        weights: must be None.

    Raises:
        MissingExtraError: pocketsphinx is not installed.
        RecognitionError: `weights` is given, or the decoder cannot be made.
    """

    def __init__(self, weights: Path | str | None = None):
        if weights is not None:
            raise RecognitionError(
                f"`pocketsphinx` brings its own model and takes no weights. "
                f"Received: weights={str(weights)!r}."
            )
        try:
            from pocketsphinx import Decoder  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtraError("demo", "speech recognition with pocketsphinx") from error
        try:
            self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        except Exception as error:
            raise RecognitionError(
                f"`pocketsphinx` does not start ({_told(error)}); install it again."
            ) from error
        self._frame: Seconds = 1 / self._decoder.config["frate"]
        self._lock = threading.Lock()

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        """See `Recogniser.transcribe`."""
        _check(waveform)
        duration = len(waveform) / SAMPLE_RATE
        if duration < SHORTEST:
            return ()
        pcm = pcm16(waveform)
        start, end = _voiced(pcm)
        if end - start < SHORTEST * SAMPLE_RATE:
            return ()
        with self._lock:
            try:
                segments = self._decode(pcm[start:end].tobytes())
            except Exception as error:
                raise _failed("pocketsphinx", error) from error
        before: Seconds = start / SAMPLE_RATE
        spoken = (
            (
                _PRONUNCIATION.sub("", text),
                before + first * self._frame,
                before + (last + 1) * self._frame,
            )
            for text, first, last in segments
            if not _FILLER.match(text)
        )
        return _in_order(spoken, duration)

    def _decode(self, pcm: bytes) -> list[tuple[str, int, int]]:
        """Dictionary words, fillers included, with their first and last frames."""
        # The estimate of the noise would go on from the utterance before, and change words.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            # As a whole, so that the cepstral mean is that of this utterance too.
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()  # or no other utterance could be started
        if self._decoder.hyp() is None:
            return []
        return [
            (segment.word, segment.start_frame, segment.end_frame)
            for segment in self._decoder.seg()
        ]


class Whisper:
    """faster-whisper on weights in CTranslate2's format.

    Decoding draws nothing at random, so a recording has one answer. Silero's voice detector, which
    comes with faster-whisper, keeps noise from it, in which Whisper hears sentences.

    Args:
        weights: folder with `WEIGHTS_FILES` and a vocabulary.
        language: such as "en"; heard from each recording by default.

    Raises:
        MissingExtraError: faster-whisper is not installed.
        RecognitionError: no weights, or such as cannot be read.
    """

    def __init__(self, weights: Path | str | None = None, language: str | None = None):
        folder = _checked_folder(weights)
        try:
            from faster_whisper import WhisperModel  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtraError("whisper", "speech recognition with Whisper") from error
        try:
            self._model = WhisperModel(str(folder), device="cpu", local_files_only=True)
        except Exception as error:
            raise RecognitionError(
                f"{folder}: cannot be read as weights of Whisper ({_told(error)}); "
                f"copy or convert them again."
            ) from error
        self._language = language

    def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
        """See `Recogniser.transcribe`."""
        _check(waveform)
        duration = len(waveform) / SAMPLE_RATE
        if duration < SHORTEST or not waveform.any():
            return ()
        try:
            segments, _ = self._model.transcribe(
                np.ascontiguousarray(waveform, np.float32),
                language=self._language,
                temperature=0.0,
                condition_on_previous_text=False,
                word_timestamps=True,
                vad_filter=True,
            )
            # Decoding happens while segments are read.
            spoken = [word for segment in segments for word in segment.words or ()]
        except Exception as error:
            raise _failed("whisper", error) from error
        return _in_order(((word.word, word.start, word.end) for word in spoken), duration)


RECOGNISERS: Registry[Any] = Registry(
    "speech recogniser", {"pocketsphinx": PocketSphinx, "whisper": Whisper}
)


def make_recogniser(name: str, weights: Path | str | None = None) -> Recogniser:
    """A speech recogniser by its name; make it once and keep it.

    Args:
        name: see `RECOGNISERS`.
        weights: folder of Whisper's weights; None for pocketsphinx.

    Raises:
        UnknownNameError: no such recogniser.
        MissingExtraError: its package is not installed.
        RecognitionError: the weights are missing, incomplete or not wanted.
    """
    return RECOGNISERS[name](weights)


def _checked_folder(weights: Path | str | None) -> Path:
    if weights is None:
        raise RecognitionError(
            "`whisper` needs the folder of its weights, which are not downloaded; "
            "`pocketsphinx` needs none."
        )
    folder = Path(weights)
    if not folder.is_dir():
        raise RecognitionError(
            f"{folder}: no folder of Whisper's weights is there; check the path."
        )
    missing = [name for name in WEIGHTS_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(" or ".join(_VOCABULARIES))
    if missing:
        raise RecognitionError(
            f"{folder}: of Whisper's weights {', '.join(missing)} is missing; copy the folder "
            f"again, or make it with `ct2-transformers-converter --copy_files tokenizer.json`."
        )
    return folder


def _check(waveform: np.ndarray) -> None:
    if waveform.ndim != 1 or not np.issubdtype(waveform.dtype, np.floating):
        raise RecognitionError(
            f"`waveform` must be float32 (samples,) in [-1, 1]. "
            f"Received: {waveform.dtype} {waveform.shape}."
        )
    if not np.isfinite(waveform).all():
        raise RecognitionError("`waveform` holds NaN or infinite samples; record it again.")


def _voiced(pcm: np.ndarray) -> tuple[int, int]:
    """First sample of the voice and the one after its last, with a margin; (0, 0) without one.

    In silence, above all in exact zeros, pocketsphinx hears words.

    Args:
        pcm: int16 (samples,)
    """
    is_voice = make_detector(strictness=0)
    whole = range(0, len(pcm) - FRAME + 1, FRAME)
    found = [at for at in whole if is_voice(pcm[at : at + FRAME].tobytes())]
    if not found:
        return 0, 0
    return max(0, found[0] - _MARGIN), min(len(pcm), found[-1] + FRAME + _MARGIN)


def _in_order(
    spoken: Iterable[tuple[str, Seconds, Seconds]], duration: Seconds
) -> tuple[Word, ...]:
    """Words of an engine as ours: plain, one after the other, within the recording."""
    words: list[Word] = []
    before = 0.0
    for text, start, end in spoken:
        plain = _EDGES.sub("", text).lower()
        if not plain:
            continue
        start = min(max(start, before), duration)
        before = min(max(end, start), duration)
        words.append(Word(plain, round(start, 3), round(before, 3)))
    return tuple(words)


def _failed(engine: str, error: Exception) -> RecognitionError:
    return RecognitionError(
        f"`{engine}` failed on this recording ({_told(error)}); give the words yourself or "
        f"record it again."
    )


def _told(error: Exception) -> str:
    """An engine's complaint in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
