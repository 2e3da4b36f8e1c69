"""`predict --timeline`: the same timeline in three forms, and what is said of bad input."""

import csv
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from workplace import LABELS, command

from mmer_tf import cli
from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.types import SAMPLE_RATE, Word


def voice(seconds: float) -> np.ndarray:
    """What a voice detector takes for a voice: harmonics in syllables."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 25))
    return 0.1 * wave * (1.2 + np.sin(2 * np.pi * 4 * time))


@pytest.fixture
def recordings(workplace: Path) -> Path:
    """Two stretches of speech, silence, and a file that is none."""
    pause = np.zeros(SAMPLE_RATE)
    talk = np.concatenate([pause, voice(4.5), pause, voice(0.3), pause])
    talk = np.rint(talk * 32_767).astype("int16")  # the same samples in WAV and FLAC
    soundfile.write("talk.wav", talk, SAMPLE_RATE)
    soundfile.write("talk.flac", talk, SAMPLE_RATE)
    soundfile.write("silence.wav", np.zeros(3 * SAMPLE_RATE), SAMPLE_RATE)
    Path("broken.webm").write_text("not a recording")
    return workplace


@pytest.fixture
def hears_words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Recognisers that hear "never" at the first second; the names that were asked for."""
    made: list[str] = []

    class Recogniser:
        def transcribe(self, waveform: np.ndarray) -> tuple[Word, ...]:
            return (Word("never", 1.0, 1.5),)

    def make_recogniser(name: str, weights: Path | None) -> Recogniser:
        made.append(name)
        return Recogniser()

    fake = types.ModuleType("mmer_tf.deploy.asr")
    fake.make_recogniser = make_recogniser
    monkeypatch.setitem(sys.modules, "mmer_tf.deploy.asr", fake)
    return made


def segments(text: str) -> list[Segment]:
    return [Segment.from_json(json.loads(line)) for line in text.splitlines()]


def test_three_forms_of_one_timeline(voice_run: Path, recordings: Path, capsys):
    typed = ("predict", "--run", voice_run, "--timeline", "talk.wav")
    capsys.readouterr()
    assert command(*typed, "--json") == 0
    printed = capsys.readouterr()
    found = segments(printed.out)
    assert printed.err == ""
    assert found[0].start == pytest.approx(1.0, abs=0.35)
    assert found[-1].label == "" and "too short" in found[-1].note
    for one in found[:-1]:
        assert set(one.probabilities) == set(LABELS) and one.label in ("", *LABELS)
    assert command(*typed, "--csv") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["file"], row["label"]) for row in rows] == [("talk.wav", s.label) for s in found]
    assert [float(row["end"]) for row in rows] == pytest.approx([s.end for s in found])
    assert command(*typed) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found)
    for line, one in zip(lines, found, strict=True):
        assert line.startswith("talk.wav: 0:0") and (one.label or "unsure") in line


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.csv"])
def test_a_files_name_says_the_form(voice_run: Path, recordings: Path, name: str, capsys):
    files = ("talk.wav", "talk.flac")
    assert command("predict", "--run", voice_run, "--timeline", "--json", *files) == 0
    found = segments(capsys.readouterr().out)
    assert found[: len(found) // 2] == found[len(found) // 2 :]
    assert command("predict", "--run", voice_run, "--timeline", "--out", name, *files) == 0
    assert capsys.readouterr().out == ""
    text = Path(name).read_text()
    if name.endswith(".jsonl"):
        assert segments(text) == found
    else:
        rows = list(csv.DictReader(text.splitlines()))
        assert [row["label"] for row in rows] == [one.label for one in found]


def test_what_cannot_be_read_does_not_stop_the_others(voice_run: Path, recordings: Path, capsys):
    files = ("broken.webm", "silence.wav", "nowhere.wav", "talk.wav")
    capsys.readouterr()
    assert command("predict", "--run", voice_run, "--timeline", *files) == cli.USER_ERROR
    printed = capsys.readouterr()
    assert {line.split(":")[0] for line in printed.out.splitlines()} == {"talk.wav"}
    broken, silence, nowhere, last = printed.err.splitlines()
    assert broken.startswith("error: broken.webm: not audio")
    assert silence == "silence.wav: nobody speaks"
    assert nowhere.startswith("error: nowhere.wav: missing file")
    assert last == "error: 2 of 4 files could not be read"


@pytest.mark.parametrize(
    ("run", "asr", "asked", "told"),
    [
        ("both_run", None, [], "answered from the voice alone"),
        ("both_run", "none", [], "answered from the voice alone"),
        ("both_run", "whisper", ["whisper"], ""),
        ("voice_run", "pocketsphinx", ["pocketsphinx"], "the transcript is not used"),
        ("words_run", None, ["pocketsphinx"], ""),
    ],
)
def test_words_are_heard_where_they_are_wanted(
    recordings: Path, hears_words, request, run, asr, asked, told, capsys
):
    folder = request.getfixturevalue(run)
    wanted = () if asr is None else ("--asr", asr)
    capsys.readouterr()
    typed = ("predict", "--run", folder, "--timeline", "--json", *wanted, "talk.wav")
    assert command(*typed) == 0
    printed = capsys.readouterr()
    assert hears_words == asked
    first = segments(printed.out)[0]
    assert first.text == ("never" if asked else "")
    assert (told in printed.err) if told else (printed.err == "")


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("voice_run", ["--timeline"], "--timeline needs sound files"),
        ("voice_run", ["--timeline", "--text", "never", "talk.wav"], "--text is for whole files"),
        ("voice_run", ["--asr", "pocketsphinx", "talk.wav"], "--asr is for --timeline"),
        ("voice_run", ["--timeline", "--asr-weights", "w", "talk.wav"], "is for --asr whisper"),
        ("words_run", ["--timeline", "--asr", "none", "talk.wav"], "with --asr pocketsphinx"),
        ("voice_run", ["--threshold", "0.5", "talk.wav"], "--threshold is for --timeline"),
        ("voice_run", ["--timeline", "no*.wav"], "matches no sound file"),
        (None, ["--timeline", "talk.wav"], "nowhere: no such run"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence(
    recordings: Path, request, run, arguments, message, capsys
):
    folder = request.getfixturevalue(run) if run else "nowhere"
    capsys.readouterr()
    assert command("predict", "--run", folder, *arguments) == cli.USER_ERROR
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1


def test_a_folders_browser_recordings_are_heard_too(voice_run: Path, recordings: Path, capsys):
    (recordings / "folder").mkdir(exist_ok=True)
    Path("folder/broken.webm").write_bytes(Path("broken.webm").read_bytes())
    capsys.readouterr()
    assert command("predict", "--run", voice_run, "--timeline", "folder") == cli.USER_ERROR
    assert "folder/broken.webm: not audio" in capsys.readouterr().err


def test_threshold_decides_what_is_unsure(voice_run: Path, recordings: Path, capsys):
    labels = {}
    for threshold in ("0", "1"):
        capsys.readouterr()
        typed = ("--timeline", "--json", "--threshold", threshold, "talk.wav")
        assert command("predict", "--run", voice_run, *typed) == 0
        found = segments(capsys.readouterr().out)
        labels[threshold] = {one.label for one in found if one.probabilities}
    assert "" not in labels["0"] and labels["1"] == {""}


def test_without_the_extra_it_is_told(voice_run: Path, recordings: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    capsys.readouterr()
    typed = ("predict", "--run", voice_run, "--timeline", "talk.wav")
    assert command(*typed) == cli.USER_ERROR
    assert 'pip install "mmer-tf[demo]"' in capsys.readouterr().err
