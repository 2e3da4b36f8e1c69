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
from mmer_tf.data.manifest import DatasetError, read_dataset

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


def small_table(folder: Path) -> Path:
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", noise(8000), RATE)
    table = folder / "table.csv"
    table.write_text("file,label\na.wav,sad\nb.wav,glad\n")
    return table


def test_beam_writes_the_same_files(tmp_path: Path, monkeypatch):
    pytest.importorskip("apache_beam")
    table = small_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    common = ["--corpus", "table", "--root", table]
    assert run(*common, "--out", "here", "--workers", "0") == 0
    options = ["direct_num_workers=1", "direct_running_mode=in_memory"]
    assert run(*common, "--runner", "beam", "--out", "beam", "--beam-options", *options) == 0
    files = [path.relative_to("here") for path in Path("here").rglob("*") if path.is_file()]
    assert len(files) == 6
    for file in files:
        assert (Path("here") / file).read_bytes() == (Path("beam") / file).read_bytes()


def test_options_of_beam_are_passed_on(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("apache_beam")
    from mmer_tf.data import beam

    def tell(jobs, options):
        raise DatasetError(" ".join(options))

    monkeypatch.setattr(beam, "run_pipeline", tell)
    command = ["--corpus", "table", "--root", small_table(tmp_path), "--out", tmp_path / "data"]
    options = ["runner=FlinkRunner", "flink_master=host:8081", "save_main_session"]
    assert run(*command, "--runner", "beam", "--beam-options", *options) == cli.USER_ERROR
    expected = "--runner=FlinkRunner --flink_master=host:8081 --save_main_session"
    assert expected in capsys.readouterr().err
    assert run(*command, "--runner", "beam", "--beam-options", "runer=Flink") == cli.USER_ERROR
    assert "no option 'runer'; did you mean 'runner'?" in capsys.readouterr().err


def test_beam_that_is_not_installed_is_told(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "find_spec", lambda name: None)
    command = ["--corpus", "table", "--root", small_table(tmp_path), "--out", tmp_path / "data"]
    assert run(*command, "--runner", "beam") == cli.USER_ERROR
    expected = "--runner beam needs the extra 'beam': pip install \"mmer-tf[beam]\""
    assert expected in capsys.readouterr().err
    assert run(*command, "--beam-options", "runner=FlinkRunner") == cli.USER_ERROR
    assert "--runner beam; add it" in capsys.readouterr().err


def test_data_sets_may_be_remote(tmp_path: Path, capsys):
    out = "ram://test_prepare/data"
    command = ["--corpus", "table", "--root", small_table(tmp_path), "--workers", "0"]
    assert run(*command, "--out", out) == 0
    assert f"table in {out}" in capsys.readouterr().out
    assert len(read_dataset(out).rows) == 2
    assert run(*command, "--out", "nosuch://bucket/data") == cli.USER_ERROR
    assert "nosuch://bucket/data" in capsys.readouterr().err
