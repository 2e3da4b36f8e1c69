"""The prepare command, as a user types it."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmer_tf import cli, prepare
from mmer_tf.data.manifest import read_dataset

RATE = 16_000


def run(*arguments: str | Path) -> int:
    return cli.run(prepare.main, prepare.make_parser(), [str(entry) for entry in arguments])


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).uniform(-0.5, 0.5, samples)


@pytest.fixture
def broken_corpus(tmp_path: Path) -> Path:
    """One usable clip, and one for each thing that can be wrong with the others."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    soundfile.write(folder / "good.wav", noise(8000), RATE)
    soundfile.write(folder / "stereo.wav", np.stack([noise(24_000)] * 2, axis=1), 48_000)
    soundfile.write(folder / "one_frame.wav", noise(50), RATE)
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    soundfile.write(folder / "silence.wav", np.zeros(8000), RATE)
    soundfile.write(folder / "no_samples.wav", np.zeros(0), RATE)
    (folder / "empty.wav").touch()
    (folder / "truncated.wav").write_bytes((folder / "good.wav").read_bytes()[:5000])
    (folder / "text.wav").write_text("not a recording")
    names = [file.name for file in sorted(folder.iterdir())] + ["missing.wav"]
    table = folder / "table.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "file", "text", "label"])
        writer.writerows([name, name, "", "sad"] for name in names)
        writer.writerow(["good.wav", "stereo.wav", "", "sad"])
        writer.writerow(["unlabelled", "good.wav", "", ""])
    return table


def test_bad_input_is_counted_and_named(broken_corpus: Path, tmp_path: Path, capsys):
    out = tmp_path / "data"
    assert run("--corpus", "table", "--root", broken_corpus, "--out", out, "--workers", "0") == 0
    dataset = read_dataset(out)
    assert sorted(row.id for row in dataset.rows) == ["good.wav", "one_frame.wav", "stereo.wav"]
    assert dataset.rejected == {
        "NaN or infinite samples": 1,
        "duplicate id": 1,
        "empty file": 1,
        "missing file": 1,
        "no label": 1,
        "no samples": 1,
        "not audio": 1,
        "pure silence": 1,
        "truncated file": 1,
    }
    assert dataset.conversions == {"mixed down from 2 channels": 1, "resampled from 48000 Hz": 1}
    with (out / "rejected.csv").open(newline="") as stream:
        rejected = "\n".join(f"{row['source']} {row['detail']}" for row in csv.DictReader(stream))
    for name in ("nan", "silence", "no_samples", "empty", "truncated", "text", "missing"):
        assert f"{name}.wav" in rejected
    assert "stereo.wav" in (out / "converted.csv").read_text()
    shown = capsys.readouterr().out
    assert "3 utterances, 1 classes, 0 speakers" in shown
    assert "1 pure silence" in shown and "rejected.csv" in shown


@pytest.mark.parametrize("bad", ["nan.wav", "text.wav"])
def test_strict_stops_at_broken_input(broken_corpus: Path, tmp_path: Path, capsys, bad: str):
    table = broken_corpus.with_name("strict.csv")
    table.write_text(f"id,file,label\ng,good.wav,sad\nb,{bad},sad\n")
    code = run("--corpus", "table", "--root", table, "--out", tmp_path / "data", "--workers", "0",
               "--strict")  # fmt: skip
    assert code == cli.USER_ERROR
    assert bad in capsys.readouterr().err
    assert not (tmp_path / "data" / "dataset.json").exists()


def test_strict_stops_at_what_an_earlier_run_left_behind(broken_corpus: Path, tmp_path, capsys):
    table = broken_corpus.with_name("again.csv")
    table.write_text("id,file,label\ng,good.wav,sad\nb,nan.wav,sad\n")
    command = ["--corpus", "table", "--root", table, "--out", tmp_path / "data", "--workers", "0"]
    assert run(*command) == run(*command) == 0
    assert run(*command, "--strict") == cli.USER_ERROR
    assert "nan.wav: NaN or infinite samples" in capsys.readouterr().err.replace("\n", " ")


def test_missing_transcripts_are_counted(tmp_path: Path, capsys):
    soundfile.write(tmp_path / "a.wav", noise(8000), RATE)
    table, out = tmp_path / "table.csv", tmp_path / "data"
    table.write_text("id,file,text,label\n1,a.wav,Hello,sad\n2,a.wav,,sad\n3,a.wav,  ,sad\n")
    assert run("--corpus", "table", "--root", table, "--out", out, "--workers", "0") == 0
    assert "transcripts  2 of 3 utterances have none" in capsys.readouterr().out
    assert json.loads((out / "dataset.json").read_text())["without_transcript"] == 2


@pytest.mark.parametrize("number", ["x", "-1", "1.5"])
def test_a_wrong_number_of_workers_is_told(number, capsys):
    with pytest.raises(SystemExit):
        prepare.make_parser().parse_args(["--corpus", "emodb", "--workers", number])
    expected = f"--workers: must be a whole number, 0 or more, not '{number}'"
    assert expected in capsys.readouterr().err


def test_ten_minute_clip_is_stored_whole_and_counted(tmp_path: Path):
    soundfile.write(tmp_path / "long.wav", noise(600 * RATE), RATE)
    table = tmp_path / "table.csv"
    table.write_text("file,label\nlong.wav,sad\n")
    assert run("--corpus", "table", "--root", table, "--out", tmp_path / "d", "--workers", "0",
               "--features", "log_mel,log_spectrogram,mel_image") == 0  # fmt: skip
    values = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert values["seconds"] == 600
    assert values["longer_than"] == {"seconds": 15.0, "utterances": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus", "emodb"], "needs --root"),
        (["--corpus", "emodb", "--root", "nowhere"], "nowhere"),
        (["--corpus", "emobd", "--root", "."], "did you mean 'emodb'"),
    ],
)
def test_wrong_arguments_are_answered_in_a_sentence(arguments, message, tmp_path, capsys):
    assert run(*arguments, "--out", tmp_path / "data") == cli.USER_ERROR
    assert message in capsys.readouterr().err


def test_help_is_quick():
    started = time.monotonic()
    command = [sys.executable, "-X", "importtime", "-m", "mmer_tf.prepare", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "log_spectrogram" in shown.stdout
    assert " tensorflow" not in shown.stderr and " keras" not in shown.stderr
    assert time.monotonic() - started < 5  # under a second on an idle machine


@pytest.mark.slow
def test_emodb(emodb_root: Path, tmp_path: Path, capsys):
    assert run("--corpus", "emodb", "--root", emodb_root, "--out", tmp_path / "data") == 0
    assert "339 utterances, 4 classes, 10 speakers" in capsys.readouterr().out
    dataset = read_dataset(tmp_path / "data")
    assert dataset.features == ("log_mel",)
    assert dataset.count("label") == {"anger": 127, "happiness": 71, "neutral": 79, "sadness": 62}
