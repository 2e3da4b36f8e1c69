"""What the page answers about one utterance, without a browser."""

import logging
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from small_bundle import SPEECH, TEXT, make_bundle, noise
from web_fakes import HEARD, make_desk

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.asr import RecognitionError
from mmer_tf.deploy.web.examples import read_examples
from mmer_tf.deploy.web.recognisers import Recognisers
from mmer_tf.types import MissingExtraError


@pytest.fixture(scope="module")
def acoustic() -> Bundle:
    return make_bundle(speech=SPEECH)


@pytest.fixture(scope="module")
def lexical() -> Bundle:
    return make_bundle(text=TEXT)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    soundfile.write(tmp_path / "voice.wav", noise(0.8, 1), 16_000)
    return str(tmp_path / "voice.wav")


def write_webm(path: Path, wave: np.ndarray) -> Path:
    """As a browser does: Opus at 48 kHz, mono float (samples,)."""
    with av.open(str(path), "w", format="webm") as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(stream.format, "mono", 48_000, frame_size=960)
        frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
        frame.rate = 48_000
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            out.mux(stream.encode(part))
    return path


def test_a_recording_is_heard_and_classified(small_bundle: Bundle, recording: str):
    shown = make_desk(small_bundle).hear("small", "pocketsphinx", recording)
    assert shown.transcript == "never again" and shown.heard == HEARD
    (answer,) = small_bundle.predict(
        [soundfile.read(recording, dtype="float32")[0]], ["never again"]
    )
    assert f"<strong>{answer.label}</strong>" in shown.html
    for part in ("confidence", "voice or words", "where in the voice", "which words", "time taken"):
        assert part in shown.html.lower()
    assert "decoding" in shown.html and "speech recognition" in shown.html
    assert "mmer-note" not in shown.html and "mmer-problem" not in shown.html


def test_corrected_words_are_classified_with_the_same_voice(small_bundle: Bundle, recording: str):
    desk = make_desk(small_bundle, RecognitionError("must not be asked"))
    shown = desk.read("small", recording, "Good morning!", HEARD)
    assert "morning" in shown.html and "failed" not in shown.html
    assert "speech recognition" not in shown.html


def test_words_alone(small_bundle: Bundle):
    shown = make_desk(small_bundle).read("small", None, "Never again.")
    assert "No recording given: answered from the words alone." in shown.html
    assert "Where in the voice" not in shown.html and "Voice or words" not in shown.html
    assert "Which words" in shown.html


def test_a_text_that_is_cut_is_told(small_bundle: Bundle):
    desk, most = make_desk(small_bundle), small_bundle.tokenizer.max_tokens - 2
    told = f"only its first {most} tokens"
    letters = "n " * most  # each one token
    assert "tokens" not in desk.read("small", None, letters).html
    assert told in desk.read("small", None, letters + "n").html
    assert small_bundle.tokenizer.max_tokens == most + 2


def test_an_improbable_answer_is_called_unsure(small_bundle: Bundle, recording: str):
    shown = make_desk(small_bundle, threshold=1.0).hear("small", "none", recording)
    assert "<strong>unsure</strong>" in shown.html and "below 100%" in shown.html


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((), "Speech recognition heard no words"),
        (
            RecognitionError("the engine is gone"),
            "so the voice alone is judged: the engine is gone",
        ),
        (OSError("disk"), "so the voice alone is judged: This did not work (OSError)"),
    ],
)
def test_without_words_the_voice_answers(small_bundle, recording: str, answer, told: str):
    shown = make_desk(small_bundle, answer).hear("small", "pocketsphinx", recording)
    assert told in shown.html and "confidence" in shown.html and shown.transcript == ""
    assert "No transcript given: answered from the voice alone." in shown.html


def test_a_recogniser_that_cannot_be_made_is_told(small_bundle: Bundle, recording: str):
    desk = make_desk(small_bundle)

    def fails(name: str, weights: Path | None):
        raise MissingExtraError("demo", "speech recognition")

    desk.recognisers = Recognisers(make=fails)
    shown = desk.hear("small", "pocketsphinx", recording)
    assert "No speech recognition, so the voice alone is judged: " in shown.html
    assert "mmer-tf[demo]" in shown.html and "confidence" in shown.html


def test_none_asks_nobody(small_bundle: Bundle, recording: str):
    shown = make_desk(small_bundle, RecognitionError("asked")).hear("small", "none", recording)
    assert "asked" not in shown.html and shown.transcript is None


def test_none_judges_the_typed_words(small_bundle: Bundle, recording: str):
    desk = make_desk(small_bundle, RecognitionError("asked"))
    shown = desk.hear("small", "none", recording, "Never again.")
    assert ">never</span>" in shown.html and "Where in the voice" in shown.html
    assert "No transcript" not in shown.html and shown.transcript is None


def test_the_result_names_its_model(acoustic, small_bundle: Bundle, recording: str):
    desk = make_desk(small_bundle, acoustic=acoustic)
    assert "Model: acoustic: acoustic<" in desk.hear("acoustic", "none", recording).html
    assert "Model: multimodal: small<" in desk.read("small", None, "Never again.").html
    *_, timeline = desk.follow("acoustic", "none", recording)
    assert "Model: acoustic: acoustic<" in timeline


def test_what_a_browser_records(small_bundle: Bundle, tmp_path: Path):
    file = write_webm(tmp_path / "audio.webm", np.repeat(noise(0.9, 2), 3))
    shown = make_desk(small_bundle).hear("small", "pocketsphinx", str(file))
    assert "confidence" in shown.html and "mmer-problem" not in shown.html


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "voice.wav: empty file"),
        (b"no sound at all" * 100, "voice.wav: not audio"),
        (b"RIFF\xff\xff\xff\x7fWAVEfmt ", "voice.wav: "),
        (None, "The recording is kept for a short while only"),
    ],
)
def test_a_broken_file_is_one_sentence(small_bundle, tmp_path, caplog, content, told: str):
    file = tmp_path / "voice.wav"
    if content is not None:
        file.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        shown = make_desk(small_bundle).hear("small", "pocketsphinx", str(file))
    assert told in shown.html
    assert 'role="alert"' in shown.html and str(tmp_path) not in shown.html
    assert "Traceback" not in shown.html and not caplog.records and shown.transcript == ""


def test_silence_is_told(small_bundle: Bundle, tmp_path: Path):
    soundfile.write(tmp_path / "voice.wav", np.zeros(16_000), 16_000)
    shown = make_desk(small_bundle).hear("small", "pocketsphinx", str(tmp_path / "voice.wav"))
    assert "voice.wav: pure silence" in shown.html


def test_a_longer_recording_is_judged_by_its_middle(small_bundle: Bundle, tmp_path: Path):
    voice = noise(3, 4)
    soundfile.write(tmp_path / "voice.wav", voice, 16_000, subtype="FLOAT")
    desk = make_desk(small_bundle)
    shown = desk.hear("small", "none", str(tmp_path / "voice.wav"))
    assert "longer than the 1 s that this model takes" in shown.html
    (answer,) = small_bundle.predict([voice], [""])
    assert f"{answer.probabilities[answer.label]:.1%}" in shown.html


def test_hours_are_for_the_timeline(small_bundle: Bundle, tmp_path: Path):
    soundfile.write(tmp_path / "voice.flac", np.tile(noise(1, 5), 130), 16_000)
    shown = make_desk(small_bundle).hear("small", "none", str(tmp_path / "voice.flac"))
    assert "longer than 120 s: give it to “Over time”" in shown.html


def test_nothing_given(small_bundle: Bundle):
    desk = make_desk(small_bundle)
    assert "There is no recording" in desk.hear("small", "none", None).html
    assert "Nothing to classify yet" in desk.read("small", None, " \n").html


def test_a_defect_is_logged_and_not_shown(small_bundle: Bundle, recording: str, caplog):
    desk = make_desk(small_bundle)
    desk.classifiers.get("small").bundle = None
    shown = desk.hear("small", "none", recording)
    assert "This did not work (AttributeError); the terminal" in shown.html
    assert "Traceback" not in shown.html and caplog.records[0].exc_info is not None


def test_what_another_model_takes(acoustic, lexical, small_bundle, recording: str):
    desk = make_desk(small_bundle, acoustic=acoustic, lexical=lexical)
    heard = desk.hear("acoustic", "pocketsphinx", recording).html
    assert "hears only the voice: the transcript is not used" in heard
    assert "Which words" not in heard
    read = desk.hear("lexical", "pocketsphinx", recording).html
    assert "reads only the words: the recording is not used" in read
    assert "<h3>The voice</h3>" in read  # drawn, without attention
    assert "needs" not in read
    without = desk.read("lexical", recording, "")
    assert "this model reads only the words: give it a transcript" in without.html
    assert "this model hears only the voice" in desk.read("acoustic", None, "never").html


def test_a_fusion_by_words_shows_its_words(recording: str):
    bundle = make_bundle(speech=SPEECH, text=TEXT, fusion="hierarchical")
    shown = make_desk(bundle).hear("small", "pocketsphinx", recording)
    assert "Which words" in shown.html and ">never</span>" in shown.html
    assert "Where in the voice did it listen?" in shown.html


def test_the_examples_are_small_and_can_be_played():
    examples = read_examples()
    assert {one.manner for one in examples} == {"angry", "happy", "neutral", "sad"}
    for one in examples:
        assert one.path.stat().st_size < 40_000 and one.transcript
        assert soundfile.info(one.path).duration > 1
