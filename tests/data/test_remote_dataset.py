"""A data set in a remote place is the local one, file by file, and is read as it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from prepare_runs import Killed, contents, kill_after, run

from mmer_tf import audit, cli, evaluate, train
from mmer_tf.atomic import replacing
from mmer_tf.data.fingerprints import FINGERPRINTS, dataset_fingerprints
from mmer_tf.data.manifest import DatasetError, read_dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.data.prepare import ensure_features, prepare_synthetic
from mmer_tf.data.shards import ShardError
from mmer_tf.remote import as_path


@pytest.fixture
def store(request) -> Path:
    return as_path(f"ram://{request.node.name}")


def copy_to(folder: Path, remote: Path) -> Path:
    for file in folder.rglob("*"):
        if file.is_file():
            with replacing(remote / file.relative_to(folder).as_posix()) as temporary:
                temporary.write_bytes(file.read_bytes())
    return remote


def test_shards_and_tables_are_those_of_a_local_folder(corpus: Path, tmp_path: Path, store: Path):
    local = run(corpus, tmp_path / "data", ("log_mel", "mel_image"))
    remote = run(corpus, store / "data", ("log_mel", "mel_image"))
    assert contents(local.folder) == contents(remote.folder)
    assert list(tmp_path.iterdir()) == [local.folder]  # nothing beside it, and no folder `ram:`
    assert read_dataset(f"{store}/data") == remote and remote.rows == local.rows

    def first_batch(folder):
        batches = make_dataset(
            folder, sorted(local.records), ("log_mel",), local.labels, batch_size=4, training=False
        )
        return next(iter(batches.as_numpy_iterator()))

    ours, theirs = first_batch(str(remote.folder)), first_batch(str(local.folder))
    np.testing.assert_array_equal(ours["log_mel"], theirs["log_mel"])


def test_killed_run_goes_on(corpus: Path, tmp_path: Path, store: Path):
    with pytest.raises(Killed):
        run(corpus, store / "data", progress=kill_after(20))
    with pytest.raises(DatasetError, match=r"ram://.*/data is not finished"):
        read_dataset(store / "data")
    run(corpus, store / "data")
    assert contents(store / "data") == contents(run(corpus, tmp_path / "data").folder)


def test_pipeline_writes_to_the_same_place(corpus: Path, tmp_path: Path, store: Path):
    pytest.importorskip("apache_beam")
    from mmer_tf.data.beam import run_pipeline

    remote = run(corpus, store / "data", runner=run_pipeline)
    assert contents(remote.folder) == contents(run(corpus, tmp_path / "data").folder)


def test_recordings_may_be_remote_too(corpus: Path, tmp_path: Path, store: Path):
    there = run(copy_to(corpus, store / "corpus"), store / "data")
    here = run(corpus, tmp_path / "data")
    shards = {name: part for name, part in contents(here.folder).items() if "shards" in name}
    assert shards.items() <= contents(there.folder).items()
    assert read_dataset(there.folder).rows == there.rows
    audio = [row.audio for row in there.rows if row.audio is not None]
    assert len(audio) == 40 and all(path.is_relative_to(store / "corpus") for path in audio)
    extended = ensure_features(there.folder, ["mfcc"], workers=0)
    assert extended.features == ("log_mel", "mfcc")


def test_overwriting_and_lost_shards(corpus: Path, store: Path):
    first = run(corpus, store / "data")
    with pytest.raises(DatasetError, match=r"ram://.*holds another dataset .*--overwrite"):
        run(corpus, store / "data", labels="sad")
    replaced = run(corpus, store / "data", labels="sad", overwrite=True)
    assert len(first.rows) == 41 and len(read_dataset(store / "data").rows) == 21
    reading = {"labels": replaced.labels, "batch_size": 4, "training": False}
    (store / "data" / "shards" / replaced.families["log_mel"].shards[0].file).unlink()
    with pytest.raises(ShardError, match=r"ram://.*log_mel-00000-of-00003.tfrecord is missing"):
        make_dataset(replaced, sorted(replaced.records), ("log_mel",), **reading)


def test_fingerprints_are_kept_there(corpus: Path, store: Path, monkeypatch):
    remote = run(corpus, store / "data")
    taken = dataset_fingerprints(remote, workers=0)
    assert (store / "data" / FINGERPRINTS).is_file()
    monkeypatch.setattr("mmer_tf.data.fingerprints.decode", None)
    kept = dataset_fingerprints(remote, workers=0)
    assert {id: one.digest for id, one in kept.items()} == {
        id: one.digest for id, one in taken.items()
    }


def test_synthetic_corpus_is_spoken_on_this_machine(store: Path):
    with pytest.raises(DatasetError, match=r"ram://.*not on this machine"):
        prepare_synthetic(store / "data", ["log_mel"])
    assert not Path("ram:").exists()


@pytest.mark.slow
def test_commands_read_it(corpus: Path, tmp_path: Path, store: Path, capsys):
    data, runs = str(store / "data"), str(tmp_path / "runs")
    run(corpus, store / "data")

    def command(module, *arguments: str) -> int:
        return cli.run(module.main, module.make_parser(), list(arguments))

    assert command(audit, "--data", data, "--protocol", "random") in (0, 1)
    told = ("--model", "gmu_speech", "--tiny", "--data", data, "--protocol", "random")
    assert command(train, *told, "--runs", runs, "--run", "remote", "train.epochs=1") == 0
    assert json.loads((tmp_path / "runs" / "remote" / "split.json").read_text())["data"] == data
    assert command(evaluate, "--run", "remote", "--runs", runs, "--report", "figures") == 0
    assert "written to" in capsys.readouterr().out
