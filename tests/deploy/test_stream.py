"""Emotion over time: where segments lie, that they do not depend on chunks, what is held."""

import gc
import sys
import tracemalloc

import numpy as np
import pytest
from stream_fakes import (
    LOUD,
    QUIET,
    ByLoudness,
    Deaf,
    OneWordASecond,
    in_chunks,
    join,
    room,
    voice,
)

from mmer_tf.audio.decode import decode
from mmer_tf.deploy.stream.emotion_stream import EmotionStream, StreamError
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import Smoothing
from mmer_tf.types import SAMPLE_RATE, MissingExtraError

TALK = join(
    room(1.5), voice(8, QUIET), voice(8, LOUD), room(1.5), voice(2, LOUD), room(1.5), voice(0.25),
    room(1.5)
)  # fmt: skip
"""A stretch with two halves, one of two seconds, and one too short."""


def segments_of(wave: np.ndarray, size: int = SAMPLE_RATE, **options) -> list[Segment]:
    classifier = options.pop("classifier", None) or ByLoudness()
    return list(EmotionStream(classifier, **options).run(in_chunks(wave, size)))


def test_segments_lie_where_the_voices_are():
    """0.35 s beside a pause, where the detector rings on; half a hop between two labels."""
    quiet, loud, second, short = segments_of(TALK)
    assert [one.label for one in (quiet, loud, second, short)] == ["quiet", "loud", "loud", ""]
    for segment, start, end in ((quiet, 1.5, 9.5), (loud, 9.5, 17.5), (second, 19.0, 21.0)):
        assert segment.start == pytest.approx(start, abs=0.5 if start == 9.5 else 0.35)
        assert segment.end == pytest.approx(end, abs=0.5 if end == 9.5 else 0.35)
        assert 0.7 < segment.confidence <= 1
        assert sum(segment.probabilities.values()) == pytest.approx(1)
        assert segment.confidence == segment.probabilities[segment.label]
        assert segment.note == ""
    assert quiet.end == loud.start
    assert short.start == pytest.approx(22.5, abs=0.35)
    assert "too short to judge" in short.note and short.confidence == 0
    assert short.probabilities == {}


@pytest.mark.parametrize("recogniser", [None, OneWordASecond])
@pytest.mark.parametrize("size", [1, 7, 480, 1_000, 10 * SAMPLE_RATE, len(TALK)])
def test_chunks_change_nothing(size: int, recogniser):
    wave = TALK[: 13 * SAMPLE_RATE] if size == 1 else TALK
    hears = {"recogniser": recogniser()} if recogniser else {}
    again = {"recogniser": recogniser()} if recogniser else {}
    assert segments_of(wave, size, **hears) == segments_of(wave, 4_321, **again)


@pytest.mark.parametrize("batch_size", [2, 5, 64])
def test_batches_change_nothing(batch_size: int):
    assert segments_of(TALK, batch_size=batch_size) == segments_of(TALK)


def test_windows_are_of_one_length_but_for_the_last():
    classifier = ByLoudness()
    wave = join(room(1), voice(10.4), room(1))
    (segment,) = segments_of(wave, classifier=classifier)
    lengths = [len(waveform) / SAMPLE_RATE for waveform, _ in classifier.asked]
    assert set(lengths[:-1]) == {3.0} and 3.0 <= lengths[-1] < 4.0
    assert len(lengths) - 1 + lengths[-1] == pytest.approx(segment.end - segment.start)


def test_segments_come_while_somebody_speaks_on():
    """The loud half is known within a window and two hops of patience."""
    stream = EmotionStream(ByLoudness())
    spoken = join(room(1), voice(8, QUIET), voice(20, LOUD))
    came = None
    for number, chunk in enumerate(in_chunks(spoken, SAMPLE_RATE // 10)):
        if stream.push(chunk) and came is None:
            came = (number + 1) / 10
    assert came is not None and 9 < came <= 9 + 3 + 1 + 1
    assert stream.position == pytest.approx(29)
    assert stream.current is not None and stream.current.label == "loud"
    (rest,) = stream.finish()
    assert rest.label == "loud" and stream.current is None and stream.position == 0


def test_a_moment_of_another_voice_does_not_switch():
    wave = join(room(1), voice(8, QUIET), voice(1, LOUD), voice(8, QUIET), room(1))
    assert [one.label for one in segments_of(wave)] == ["quiet"]
    jumpy = Smoothing(newest=1.0, margin=0.0, patience=1, threshold=0.0)
    assert [one.label for one in segments_of(wave, window=1.0, hop=0.5, smoothing=jumpy)] == [
        "quiet",
        "loud",
        "quiet",
    ]


def test_an_unsure_classifier_gives_no_label():
    between = voice(6, (QUIET + LOUD) / 2)
    (segment,) = segments_of(join(room(1), between, room(1)), smoothing=Smoothing(threshold=0.9))
    assert (segment.label, segment.note) == ("", "unsure")
    assert segment.confidence == max(segment.probabilities.values()) < 0.9


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(5 * SAMPLE_RATE, "float32"),
        room(5),
        np.zeros(0, "float32"),
        np.zeros(10, "float32"),
        np.sin(np.arange(5 * SAMPLE_RATE) * 0.01).astype("float32") * 0.001,
    ],
    ids=["silence", "a room", "nothing", "ten samples", "a hum"],
)
def test_where_nobody_speaks_there_are_no_segments(wave: np.ndarray):
    classifier = ByLoudness()
    assert segments_of(wave, classifier=classifier) == []
    assert classifier.asked == []


def test_a_recording_may_end_in_a_word():
    (segment,) = segments_of(join(room(1), voice(2)))
    assert segment.end == pytest.approx(3.0, abs=0.05)


def test_a_stream_is_used_again():
    stream = EmotionStream(ByLoudness(), OneWordASecond())
    first = list(stream.run([TALK]))
    stream.push(TALK[: 5 * SAMPLE_RATE])  # and left in the middle
    assert list(stream.run([TALK])) == first


def test_memory_does_not_grow_with_a_speech_without_a_pause():
    """Six minutes hold no more than two; their samples alone would be 15 MB more."""
    minute = voice(60)

    def held(minutes: int, recogniser) -> int:
        stream = EmotionStream(ByLoudness(), recogniser, batch_size=8)
        stream._classifier.asked = Forgetful()
        gc.collect()
        tracemalloc.start()
        for _ in range(minutes):
            for chunk in in_chunks(minute, SAMPLE_RATE):
                stream.push(chunk)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    for recogniser, most in ((None, 4e6), (OneWordASecond(), 16e6)):
        two, six = held(2, recogniser), held(6, recogniser)
        assert six < two + 1e6 and six < most


class Forgetful(list):
    """A list that stays empty."""

    def append(self, _) -> None:
        pass


def test_chunks_are_not_kept():
    """Neither whole nor as what a view points to."""
    stream = EmotionStream(ByLoudness())
    chunk = join(room(5), voice(4.3), room(0.01))
    before = sys.getrefcount(chunk)
    stream.push(chunk)
    assert sys.getrefcount(chunk) == before


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.array([0.0, np.nan])])
def test_what_is_no_waveform_is_refused(samples: np.ndarray):
    with pytest.raises(ValueError, match="`waveform` must be"):
        EmotionStream(ByLoudness()).push(samples)


@pytest.mark.parametrize(
    "options",
    [{"hop": 0}, {"hop": 4.0}, {"batch_size": 0}, {"longest": 2.0}, {"strictness": 4},
     {"pause": 0.0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options: dict):
    with pytest.raises(ValueError, match="must be"):
        EmotionStream(ByLoudness(), **options)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingExtraError, match=r"mmer-tf\[demo\]"):
        EmotionStream(ByLoudness())


def test_clips_of_emodb_are_found(real_clips):
    """With pauses of 1.5 s between them; the clips themselves begin and end with some silence."""
    parts, truth, position = [room(1.5)], [], 1.5
    for number, clip in enumerate(real_clips):
        spoken = decode(clip)
        truth.append((position, position + len(spoken) / SAMPLE_RATE))
        parts += [spoken, room(1.5, number)]
        position = truth[-1][1] + 1.5
    found = segments_of(join(*parts))
    spans: list[list[float]] = []
    for segment in found:
        if spans and segment.start == spans[-1][1]:
            spans[-1][1] = segment.end
        else:
            spans.append([segment.start, segment.end])
    assert len(spans) == len(truth)
    np.testing.assert_allclose(spans, truth, atol=0.4)


def test_a_run_gives_the_same_alone_and_in_batches(small_bundle):
    sure = Smoothing(threshold=0.0)
    wave = join(room(1), voice(9), room(1), voice(1.2), room(1))
    words = OneWordASecond()
    alone = segments_of(wave, classifier=small_bundle, recogniser=words, smoothing=sure)
    batches = segments_of(
        wave, classifier=small_bundle, recogniser=words, smoothing=sure, batch_size=16
    )
    assert [(one.start, one.end, one.label) for one in alone] == [
        (one.start, one.end, one.label) for one in batches
    ]
    for one, other in zip(alone, batches, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


# Words


def test_words_lie_in_the_segments_that_they_are_heard_in():
    recogniser, classifier = OneWordASecond(), ByLoudness(reads=True)
    quiet, loud, second, short = segments_of(TALK, classifier=classifier, recogniser=recogniser)
    assert len(recogniser.heard) == 3, "once for each stretch"
    words = [*quiet.words, *loud.words]
    assert [word.text for word in words] == [
        OneWordASecond.names[i % 10] for i in range(len(words))
    ]
    for segment in (quiet, loud, second):
        assert segment.text
        for word in segment.words:
            assert segment.start <= (word.start + word.end) / 2 < segment.end
    assert words[0].start == pytest.approx(quiet.start + 0.4, abs=0.001)
    assert short.words == ()


def test_each_window_gets_the_words_in_it():
    classifier = ByLoudness(reads=True)
    segments_of(
        join(room(1), voice(6.2), room(1)), classifier=classifier, recogniser=OneWordASecond()
    )
    transcripts = [transcript for _, transcript in classifier.asked]
    assert transcripts[:3] == ["one two three", "two three four", "three four five"]
    assert transcripts[-1].endswith("six")


def test_a_recogniser_that_fails_leaves_the_voice():
    segments = segments_of(TALK, recogniser=Deaf())
    assert [one.label for one in segments] == ["quiet", "loud", "loud", ""]
    assert {one.note for one in segments[:3]} == {"no words (RuntimeError: no model in here)"}
    assert all(one.words == () for one in segments)


def test_a_model_that_only_reads_needs_words():
    with pytest.raises(StreamError, match="give it a recogniser"):
        EmotionStream(ByLoudness(hears=False, reads=True))


class Shouts:
    def transcribe(self, waveform):
        return tuple(
            word.__class__("loud", word.start, word.end) if word.start > 4 else word
            for word in OneWordASecond().transcribe(waveform)
        )


def test_a_model_that_only_reads_judges_words():
    reader = ByLoudness(hears=False, reads=True)
    segments = segments_of(join(room(1), voice(9), room(1)), classifier=reader, recogniser=Shouts())
    assert [one.label for one in segments] == ["quiet", "loud"]
    assert all(waveform is None for waveform, _ in reader.asked)


@pytest.mark.parametrize(
    ("recogniser", "note"), [(Deaf(), "no words (RuntimeError"), (None, "no words heard")]
)
def test_a_model_that_only_reads_is_not_asked_without_words(recogniser, note: str):
    class Mumble:
        def transcribe(self, waveform):
            return ()

    reader = ByLoudness(hears=False, reads=True)
    segments = segments_of(
        join(room(1), voice(5), room(1)), classifier=reader, recogniser=recogniser or Mumble()
    )
    assert reader.asked == []
    (segment,) = segments
    assert segment.label == "" and segment.confidence == 0 and note in segment.note


def test_a_long_stretch_is_heard_in_parts():
    recogniser = OneWordASecond()
    (segment,) = segments_of(join(room(1), voice(70), room(1)), recogniser=recogniser)
    assert len(recogniser.heard) == 3
    assert max(recogniser.heard) <= 30.1 * SAMPLE_RATE
    assert sum(recogniser.heard) / SAMPLE_RATE == pytest.approx(segment.end - segment.start)
    starts = [word.start for word in segment.words]
    assert starts == sorted(starts) and len(starts) >= 67
