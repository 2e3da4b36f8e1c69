"""Speak sentences with espeak-ng, and keep when each word starts. Needs the extra `synthetic`."""

import bisect
import ctypes
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmer_tf.types import Hertz, MissingExtraError, Seconds, Word

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come through the callback
_UTF8 = 1  # espeakCHARS_UTF8
_BY_CHARACTER = 1  # POS_CHARACTER
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_LIST_TERMINATED, _WORD, _END = 0, 1, 5  # espeak_EVENT_TYPE


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a sentence is spoken.

    Args:
        rate: words per minute, 80 to 450.
        pitch: 0 to 99; 50 is the voice's own.
        pitch_range: 0 (monotone) to 99; 50 is the voice's own.
        volume: 0 to 200; 100 is full scale for most voices.
    """

    rate: int
    pitch: int
    pitch_range: int
    volume: int


class Espeak:
    """The speech synthesiser espeak-ng.

    The library holds one voice and one callback for the whole process and is not reentrant: use
    one instance at a time.

    Raises:
        MissingExtraError: espeak-ng is not installed.
        RuntimeError: the library does not start.
    """

    sample_rate: Hertz

    def __init__(self):
        try:
            import espeakng_loader  # noqa: PLC0415 -- an extra: espeak-ng is GPL-3
        except ImportError as error:
            raise MissingExtraError("synthetic", "speaking the synthetic corpus") from error
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the voices in {data.decode()}.")
        self._callback = _Callback(self._receive)  # the library keeps only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)
        self._samples = bytearray()
        self._word_events: list[tuple[int, Seconds]] = []
        self._ends: list[Seconds] = []

    def say(self, text: str, voice: str, manner: Manner) -> tuple[bytes, tuple[Word, ...]]:
        """Speak one sentence.

        Args:
            text: words apart by one space.
            voice: language and variant, as in "en-us+f2".
            manner: rate, pitch, range and volume.

        Returns:
            Samples (int16, mono, `sample_rate`), and the timings of the space-separated words.

        Raises:
            ValueError: no such voice.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice '{voice}'.")
        for parameter, value in (
            (_RATE, manner.rate),
            (_PITCH, manner.pitch),
            (_RANGE, manner.pitch_range),
            (_VOLUME, manner.volume),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # breath is noise
        self._samples.clear()
        self._word_events.clear()
        self._ends.clear()
        encoded = text.encode("utf-8") + b"\0"
        status = self._library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded)), 0, _BY_CHARACTER, 0, _UTF8, None, None
        )
        if status != 0:
            raise RuntimeError(f"espeak-ng could not speak '{text}' (status {status}).")
        duration = len(self._samples) / 2 / self.sample_rate
        words = place_words(text, self._word_events, [*self._ends, duration])
        return bytes(self._samples), words

    def _receive(self, samples, count: int, events) -> int:
        if count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        for position in itertools.count():
            event = events[position]
            if event.type == _LIST_TERMINATED:
                return 0
            time = event.audio_position / 1000
            if event.type == _WORD:
                self._word_events.append((event.text_position - 1, time))
            elif event.type == _END:
                self._ends.append(time)
        return 0


def place_words(
    text: str, events: Sequence[tuple[int, Seconds]], ends: Sequence[Seconds]
) -> tuple[Word, ...]:
    """Time the words of a sentence by the synthesiser's word events.

    espeak-ng speaks some neighbours as one word ("on the") and tells only the first of them; they
    share its time by their numbers of letters.

    Args:
        text: words apart by white space; the first one has an event.
        events: place in the text (characters from 0) and start of each word spoken.
        ends: ends of clauses and of the clip, in order.

    >>> words = place_words("sit on the mat", [(0, 0.0), (4, 0.3), (11, 0.8)], [1.2])
    >>> [word.start for word in words]
    [0.0, 0.3, 0.5, 0.8]
    """
    found = list(re.finditer(r"\S+", text))
    starts: dict[int, Seconds] = {0: 0.0}
    for place, time in events:
        index = bisect.bisect_right(found, place, key=re.Match.start) - 1
        if index > max(starts) and time > starts[max(starts)]:
            starts[index] = time
    words: list[Word] = []
    for first, until in itertools.pairwise([*starts, len(found)]):
        begin = starts[first]
        end = min([time for time in ends if time > begin] + [starts.get(until, ends[-1])])
        spoken = [match.group() for match in found[first:until]]
        letters = list(itertools.accumulate(map(len, spoken), initial=0))
        edges = [round(begin + (end - begin) * count / letters[-1], 3) for count in letters]
        words += map(Word, spoken, edges[:-1], edges[1:])
    return tuple(words)
