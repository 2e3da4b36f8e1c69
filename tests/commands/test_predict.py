"""The predict command: any sound file, a transcript, or both; what it lacks it says."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from workplace import LABELS, command, command_of_a_stranger, tone

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.evaluation.predictions import load_predictions
from mmer_tf.types import SAMPLE_RATE


@pytest.fixture
def clips(workplace: Path) -> Path:
    """One sound in three formats, and a file that is none."""
    wave = np.rint(tone(1.0, 7) * 32_768).astype("int16")  # the same samples in WAV and FLAC
    soundfile.write("clip.wav", wave, SAMPLE_RATE)
    soundfile.write("clip.flac", wave, SAMPLE_RATE)
    high = soxr.resample(wave, SAMPLE_RATE, 48_000)
    soundfile.write("stereo.wav", np.stack([high, high], axis=1), 48_000)
    Path("broken.wav").write_text("not a recording")
    return workplace


def answers(capsys) -> list[dict]:
    """The lines printed with --json."""
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in rows:
        assert set(row) == {"file", "label", "probabilities", "note"}
        assert list(row["probabilities"]) == list(LABELS)
        assert sum(row["probabilities"].values()) == pytest.approx(1.0)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    return rows


def probabilities(row: dict) -> list[float]:
    return list(row["probabilities"].values())


def test_label_and_probabilities_are_printed(both_run: Path, clips: Path, capsys):
    assert command("predict", "--run", both_run.name, "--text", "never again", "clip.wav") == 0
    (line,) = capsys.readouterr().out.splitlines()
    file, rest = line.split(": ", 1)
    label, figures = rest.split("  (", 1)
    assert file == "clip.wav"
    words = figures.rstrip(")").split()
    shown = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert set(shown) == set(LABELS) and label == max(shown, key=shown.get)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert sum(shown.values()) == pytest.approx(1.0, abs=0.003)


def test_answer_is_the_one_of_the_evaluation(both_run: Path, workplace: Path, capsys):
    """From the file and the words as from the shards: 1e-5, beside the table's six digits."""
    stored = load_predictions(both_run / "predictions.csv")
    rows = {row.id: row for row in read_dataset("data/tones").rows}
    for i, identifier in enumerate(stored.ids[:2]):
        row = rows[identifier]
        assert command("predict", "--run", both_run, "--json", "--text", row.transcript,
                       row.audio) == 0  # fmt: skip
        (answer,) = answers(capsys)
        np.testing.assert_allclose(probabilities(answer), stored.probabilities[i], atol=1e-5)
        assert answer["note"] is None


def test_any_format_gives_the_same_answer(both_run: Path, clips: Path, capsys):
    """Stereo at 48 kHz passes two resamplers, hence not the very same digits."""
    files = ("clip.wav", "clip.flac", "stereo.wav")
    assert command("predict", "--run", both_run, "--json", *files) == 0
    mono, flac, stereo = answers(capsys)
    assert [row["file"] for row in (mono, flac, stereo)] == list(files)
    assert flac["probabilities"] == mono["probabilities"]
    np.testing.assert_allclose(probabilities(stereo), probabilities(mono), atol=0.02)


@pytest.mark.parametrize(
    ("run", "arguments", "note"),
    [
        ("both_run", ["clip.wav"], "no transcript given: answered from the voice alone"),
        ("both_run", ["--text", "never"], "no recording given: answered from the words alone"),
        ("both_run", ["clip.wav", "--text", " "], "no transcript given"),
        ("both_run", ["clip.wav", "--text", "never"], None),
        ("voice_run", ["clip.wav"], None),
        ("voice_run", ["clip.wav", "--text", "never"], "hears only the voice"),
        ("words_run", ["--text", "never"], None),
        ("words_run", ["clip.wav", "--text", "never"], "reads only the words"),
    ],
)
def test_what_is_missing_or_unused_is_told(clips: Path, request, run, arguments, note, capsys):
    folder = request.getfixturevalue(run)
    capsys.readouterr()
    assert command("predict", "--run", folder, "--json", *arguments) == 0
    (row,) = answers(capsys)
    assert row["note"] is None if note is None else note in row["note"]


def test_note_follows_its_answer(words_run: Path, clips: Path, capsys):
    assert command("predict", "--run", words_run, "--text", "never", "clip.wav", "clip.flac") == 0
    first, note, second, again = capsys.readouterr().out.splitlines()
    assert first.startswith("clip.wav: ") and second.startswith("clip.flac: ")
    assert note == again == "  note: this model reads only the words: the recording is not used"


def test_broken_file_is_named_and_the_others_are_answered(voice_run: Path, clips: Path, capsys):
    files = ("broken.wav", "clip.wav", "nowhere.wav", "empty.wav")
    Path("empty.wav").mkdir()
    Path("empty.wav/notes.wav").write_text("")
    assert command("predict", "--run", voice_run, *files) == cli.USER_ERROR
    printed = capsys.readouterr()
    (answer,) = printed.out.splitlines()
    assert answer.startswith("clip.wav: ")
    broken, nowhere, empty, last = printed.err.splitlines()
    assert broken.startswith("error: broken.wav: not audio")
    assert nowhere.startswith("error: nowhere.wav: missing file")
    assert empty.startswith("error: empty.wav/notes.wav: empty file")
    assert last == "error: 3 of 4 files could not be read"


def test_folders_and_patterns_name_each_recording_once(voice_run: Path, clips: Path, capsys):
    Path("more/deep").mkdir(parents=True)
    for name in ("more/b.FLAC", "more/deep/a.wav"):
        shutil.copy("clip.flac", name)
    Path("more/notes.txt").write_text("no recording")
    files = ("clip.wav", "more", "c*.wav", "more/**/*.wav")
    assert command("predict", "--run", voice_run, "--json", *files) == 0
    named = [row["file"] for row in answers(capsys)]
    assert named == ["clip.wav", "more/b.FLAC", "more/deep/a.wav"]


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl", "answers.txt"])
def test_answers_go_to_a_file_whose_name_says_the_form(
    voice_run: Path, clips: Path, name: str, capsys
):
    assert command("predict", "--run", voice_run, "--json", "clip.wav", "clip.flac") == 0
    expected = answers(capsys)
    assert command("predict", "--run", voice_run, "--out", name, "clip.wav", "clip.flac") == 0
    assert capsys.readouterr().out == ""
    written = Path(name).read_text()
    if name.endswith(".jsonl"):
        assert [json.loads(line) for line in written.splitlines()] == expected
    elif name.endswith(".csv"):
        rows = list(csv.DictReader(written.splitlines()))
        for row, answer in zip(rows, expected, strict=True):
            assert (row["file"], row["label"], row["note"]) == (answer["file"], answer["label"], "")
            for label, probability in answer["probabilities"].items():
                assert float(row[label]) == pytest.approx(probability, abs=1e-6)
    else:
        assert [line.split(":")[0] for line in written.splitlines()] == ["clip.wav", "clip.flac"]


def test_savedmodel_answers_as_its_run(both_run: Path, clips: Path, capsys):
    assert command("export", "--run", both_run, "--out", "served/emotion") == 0
    capsys.readouterr()
    questions = (
        ["--text", "never again", "clip.wav", "stereo.wav"],
        ["clip.flac"],
        ["--text", "no"],
    )
    for question in questions:
        assert command("predict", "--run", both_run, "--json", *question) == 0
        expected = answers(capsys)
        assert command("predict", "--saved-model", "served/emotion", "--json", *question) == 0
        for served, answer in zip(answers(capsys), expected, strict=True):
            assert (served["file"], served["note"]) == (answer["file"], answer["note"])
            np.testing.assert_allclose(probabilities(served), probabilities(answer), atol=1e-5)
    assert command("predict", "--saved-model", "served/emotion") == cli.USER_ERROR
    assert command("predict", "--saved-model", "served/emotion", "--text", " ") == cli.USER_ERROR
    assert "neither a recording nor a transcript" in capsys.readouterr().err
    assert command("predict", "--saved-model", "served/nowhere", "clip.wav") == cli.USER_ERROR
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("both_run", [], "nothing to classify"),
        ("both_run", ["--text", "++GARBAGE++"], "neither a recording nor a transcript"),
        ("voice_run", ["--text", "never"], "hears only the voice: give it a recording"),
        ("words_run", ["clip.wav"], "reads only the words: give it a transcript"),
        (None, ["clip.wav"], "nowhere: no such run"),
        ("voice_run", ["no*.wav"], "no*.wav: matches no file"),
        ("voice_run", ["data/tones/shards"], "data/tones/shards: no sound files in this folder"),
    ],
)
def test_mistake_is_answered_in_a_sentence(clips: Path, request, run, arguments, message, capsys):
    folder = request.getfixturevalue(run) if run else "nowhere"
    capsys.readouterr()
    assert command("predict", "--run", folder, *arguments) == cli.USER_ERROR
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1


@pytest.mark.slow
def test_stranger_reads_the_answer_alone(words_run: Path, shared: Path):
    arguments = ("--run", words_run.name, "--text", "never")
    done = command_of_a_stranger("predict", *arguments, cwd=shared)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("text: ") and done.stdout.count("\n") == 1
