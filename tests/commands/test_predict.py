"""The predict command: any sound file, a transcript, or both; what it lacks it says."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from small_bundle import TEXT, make_bundle
from workplace import LABELS, command, command_of_a_stranger, tone

from mmer_tf import cli
from mmer_tf.data.manifest import read_dataset
from mmer_tf.deploy.saved_model import export_saved_model
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
    files = ("clip.wav", "more", "c*.wav", "mor*", "more/**/*.wav")
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


QUESTIONS = (["--text", "never again", "clip.wav", "stereo.wav"], ["clip.flac"], ["--text", "no"])


@pytest.mark.slow
def test_run_savedmodel_and_tflite_give_the_same_answers(both_run: Path, clips: Path, capsys):
    """The SavedModel within 1e-5; the phone's file, whose features are not rounded, 2e-3."""
    assert command("export", "--run", both_run, "--out", "served/emotion") == 0
    lite = ("--format", "tflite", "--quantize", "none", "--max-seconds", "2", "--out", "e.tflite")
    assert command("export", "--run", both_run, *lite) == 0
    assert "same label 100.0%" in capsys.readouterr().out
    forms = (("--saved-model", "served/emotion", 1e-5), ("--tflite", "e.tflite", 2e-3))
    for question in QUESTIONS:
        assert command("predict", "--run", both_run, "--json", *question) == 0
        expected = answers(capsys)
        for option, path, tolerance in forms:
            assert command("predict", option, path, "--json", *question) == 0
            for found, answer in zip(answers(capsys), expected, strict=True):
                assert (found["file"], found["note"]) == (answer["file"], answer["note"])
                np.testing.assert_allclose(
                    probabilities(found), probabilities(answer), atol=tolerance
                )
    for option, path, _ in forms:
        assert command("predict", option, path, "--text", " ") == cli.USER_ERROR
        assert "neither a recording nor a transcript" in capsys.readouterr().err
        assert command("predict", option, "nowhere", "clip.wav") == cli.USER_ERROR
        assert "no such f" in capsys.readouterr().err


def test_damaged_savedmodel_is_told_in_a_sentence(tmp_path: Path, capsys):
    whole = export_saved_model(make_bundle(text=TEXT), tmp_path / "emotion")
    for damage in ("saved_model.pb", "variables/variables.index", "assets.extra/mmer_tf.json"):
        folder = Path(shutil.copytree(whole, tmp_path / Path(damage).name))
        content = (folder / damage).read_bytes()
        incomplete = b'{"format_version": 1}' if damage.endswith(".json") else content[:100]
        (folder / damage).write_bytes(incomplete)
        assert command("predict", "--saved-model", folder, "--text", "no") == cli.USER_ERROR
        printed = capsys.readouterr().err
        assert printed.startswith("error: ") and printed.count("\n") == 1
        assert "export the run again" in printed


@pytest.mark.slow
def test_reader_that_leaves_is_no_error(words_run: Path, shared: Path):
    typed = [sys.executable, "-m", "mmer_tf.predict", "--run", words_run, "--text", "never"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*map(str, typed)], cwd=shared, **pipes) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == cli.BROKEN_PIPE and "Traceback" not in told


def test_an_earlier_table_survives_a_question_that_cannot_be_answered(
    words_run: Path, clips: Path, capsys
):
    Path("answers.csv").write_text("kept")
    assert command("predict", "--run", words_run, "--out", "answers.csv", "clip.wav") == 2
    assert Path("answers.csv").read_text() == "kept"


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("both_run", [], "nothing to classify"),
        ("both_run", ["--text", "++GARBAGE++"], "neither a recording nor a transcript"),
        ("voice_run", ["--text", "never"], "hears only the voice: give it a recording"),
        ("words_run", ["clip.wav"], "reads only the words: give it a transcript"),
        (None, ["clip.wav"], "nowhere: no such run"),
        ("voice_run", ["no*.wav"], "no*.wav: matches no sound file"),
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
