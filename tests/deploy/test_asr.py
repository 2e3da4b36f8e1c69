"""Speech to words: real recordings, silence and noise, engines that fail, threads."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mmer_tf.audio.decode import decode
from mmer_tf.corpora.ravdess import read
from mmer_tf.deploy import asr
from mmer_tf.deploy.asr import RecognitionError, make_recogniser
from mmer_tf.registry import UnknownNameError
from mmer_tf.types import SAMPLE_RATE, MissingExtraError, Word

RANDOM = np.random.default_rng(0)
SECOND = np.zeros(SAMPLE_RATE, np.float32)
NOTHING = {
    "empty": SECOND[:0],
    "one sample": SECOND[:1] + 0.5,
    "too short": RANDOM.normal(0, 0.1, SAMPLE_RATE // 20),
    "a tenth": RANDOM.normal(0, 0.1, SAMPLE_RATE // 10),
    "zeros": SECOND,
    "offset": SECOND + 0.25,
    "quiet noise": RANDOM.normal(0, 0.001, SAMPLE_RATE),
    "loud noise": RANDOM.normal(0, 0.3, SAMPLE_RATE),
    "noise between zeros": np.concatenate([SECOND, RANDOM.normal(0, 0.1, 1600), SECOND]),
}


@pytest.fixture(scope="module")
def sphinx() -> asr.Recogniser:
    pytest.importorskip("pocketsphinx")
    return make_recogniser("pocketsphinx")


@pytest.fixture(scope="module")
def clips(ravdess_root: Path) -> list[np.ndarray]:
    """Three of them; the second is heard rightly."""
    return [decode(utterance.audio) for utterance in list(read(ravdess_root))[:3]]


@pytest.fixture(scope="module")
def heard(sphinx, clips) -> list[tuple[Word, ...]]:
    return [sphinx.transcribe(clip) for clip in clips]


def texts(words: tuple[Word, ...]) -> list[str]:
    return [word.text for word in words]


def check_timings(words: tuple[Word, ...], duration: float) -> None:
    before = 0.0
    for word in words:
        assert before <= word.start < word.end <= duration
        before = word.end


def test_real_speech_is_heard_with_its_times(heard, clips):
    words = heard[1]
    assert texts(words) == ["kids", "are", "talking", "by", "the", "door"]
    check_timings(words, len(clips[1]) / SAMPLE_RATE)
    for word in words:  # the voice is louder than the clip around it
        inside = clips[1][round(word.start * SAMPLE_RATE) : round(word.end * SAMPLE_RATE)]
        assert np.square(inside).mean() > np.square(clips[1][: SAMPLE_RATE // 2]).mean()


def test_fillers_and_pronunciations_are_no_words(heard, clips):
    for words, clip in zip(heard, clips, strict=True):
        assert words
        check_timings(words, len(clip) / SAMPLE_RATE)
        assert all(text == text.lower() and not set("()<>[]+") & set(text) for text in texts(words))


def test_an_answer_does_not_depend_on_those_before(sphinx, clips, heard):
    assert [sphinx.transcribe(clip) for clip in clips[1::-1]] == heard[1::-1]
    assert make_recogniser("pocketsphinx").transcribe(clips[2]) == heard[2]


def test_threads_get_their_own_answers(sphinx, clips, heard):
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(sphinx.transcribe, clips)) == heard


@pytest.mark.parametrize("name", NOTHING)
def test_no_words_where_nobody_speaks(sphinx, name):
    assert sphinx.transcribe(np.clip(NOTHING[name], -1, 1).astype(np.float32)) == ()


def test_no_words_are_heard_in_digital_silence_around_speech(sphinx, clips, heard):
    padded = np.concatenate([SECOND, clips[1], SECOND])
    words = sphinx.transcribe(padded)
    assert {"talking", "by", "the", "door"} <= set(texts(words))
    assert "gervais" not in texts(words)
    shift = {word.text: word.start for word in words}["door"] - 1
    assert shift == pytest.approx(heard[1][-1].start, abs=0.05)


@pytest.mark.parametrize(
    ("waveform", "told"),
    [
        (np.zeros((2, SAMPLE_RATE), np.float32), r"\(samples,\).*Received: float32 \(2, 16000\)"),
        (np.zeros(SAMPLE_RATE, np.int16), "Received: int16"),
        (np.full(SAMPLE_RATE, np.nan, np.float32), "NaN"),
    ],
)
def test_wrong_samples_are_refused(sphinx, waveform, told):
    with pytest.raises(RecognitionError, match=told):
        sphinx.transcribe(waveform)


def test_failure_of_the_engine_is_told_and_over(clips, heard, monkeypatch):
    recogniser = make_recogniser("pocketsphinx")
    broken = SimpleNamespace(reinit_feat=lambda: (_ for _ in ()).throw(RuntimeError("out of it.")))
    with monkeypatch.context() as patch:
        patch.setattr(recogniser, "_decoder", broken)
        with pytest.raises(RecognitionError, match=r"`pocketsphinx` failed .*out of it\)"):
            recogniser.transcribe(clips[1])
    assert recogniser.transcribe(clips[1]) == heard[1]


def test_unknown_names_and_weights_that_are_not_wanted(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="did you mean 'whisper'"):
        make_recogniser("wisper")
    with pytest.raises(RecognitionError, match="takes no weights"):
        make_recogniser("pocketsphinx", tmp_path)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("pocketsphinx", "pocketsphinx", "demo"), ("whisper", "faster_whisper", "whisper")],
)
def test_missing_extra_is_named(name, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    weights = whisper_folder(tmp_path) if name == "whisper" else None
    with pytest.raises(MissingExtraError, match=rf"mmer-tf\[{extra}\]"):
        make_recogniser(name, weights)


def whisper_folder(folder: Path, without: str = "") -> Path:
    for name in (*asr.WEIGHTS_FILES, "vocabulary.txt"):
        if name != without:
            (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", [*asr.WEIGHTS_FILES, "vocabulary.txt"])
def test_incomplete_weights_of_whisper(name, tmp_path):
    with pytest.raises(RecognitionError, match=f"{tmp_path.name}: .*{name} is missing"):
        make_recogniser("whisper", whisper_folder(tmp_path, without=name))


def test_missing_weights_of_whisper(tmp_path):
    with pytest.raises(RecognitionError, match="not downloaded"):
        make_recogniser("whisper")
    with pytest.raises(RecognitionError, match="nowhere: no folder"):
        make_recogniser("whisper", tmp_path / "nowhere")


class FakeWhisperModel:
    """As faster-whisper's: segments come lazily, words with a space before and punctuation."""

    def __init__(self, folder: str, **options):
        assert options["local_files_only"]
        if Path(folder).name == "damaged":
            raise RuntimeError("File model.bin is incomplete.")

    def transcribe(self, audio: np.ndarray, **options):
        assert audio.dtype == np.float32
        assert options["word_timestamps"]
        assert options["temperature"] == 0.0
        return self._segments(float(audio[0])), SimpleNamespace(language="en")

    def _segments(self, first: float):
        words = [(" Kids,", 0.1, 0.4), (" aren't", 0.38, 0.6), (" ♪", 0.6, 0.7), (" Here!", 0.9, 9)]
        yield SimpleNamespace(words=[SimpleNamespace(word=w, start=s, end=e) for w, s, e in words])
        if first < 0:
            raise RuntimeError("no memory")
        yield SimpleNamespace(words=None)


@pytest.fixture
def fake_whisper(monkeypatch):
    module = ModuleType("faster_whisper")
    module.WhisperModel = FakeWhisperModel
    monkeypatch.setitem(sys.modules, "faster_whisper", module)


@pytest.mark.usefixtures("fake_whisper")
def test_whisper_answers_as_the_other(tmp_path):
    recogniser = make_recogniser("whisper", whisper_folder(tmp_path))
    assert recogniser.transcribe(SECOND + 0.1) == (
        Word("kids", 0.1, 0.4),
        Word("aren't", 0.4, 0.6),
        Word("here", 0.9, 1.0),
    )
    assert recogniser.transcribe(SECOND) == ()
    assert recogniser.transcribe(SECOND[:0]) == ()
    with pytest.raises(RecognitionError, match=r"`whisper` failed .*no memory\)"):
        recogniser.transcribe(SECOND - 0.1)


@pytest.mark.usefixtures("fake_whisper")
def test_weights_of_whisper_that_cannot_be_read(tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    with pytest.raises(RecognitionError, match=r"damaged: cannot be read .*incomplete\)"):
        make_recogniser("whisper", whisper_folder(folder))
