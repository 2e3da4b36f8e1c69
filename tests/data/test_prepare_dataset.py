"""Shards are whole or absent, the same for any number of workers, and never redone in vain."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from prepare_runs import Killed, contents, identities, kill_after, run

from mmer_tf.audio.decode import decode
from mmer_tf.audio.lld import extract_lld
from mmer_tf.data import prepare, writer
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.data.prepare import ensure_features, prepare_synthetic
from mmer_tf.data.shards import ShardError
from mmer_tf.hub import HubError
from mmer_tf.text.tokenizer import Tokenizer


@pytest.mark.slow
def test_number_of_workers_changes_no_byte(corpus: Path, tmp_path: Path):
    features = ("log_mel", "log_spectrogram", "mel_image", "mfcc")
    one = run(corpus, tmp_path / "one" / "d", features, workers=1)
    two = run(corpus, tmp_path / "two" / "d", features, workers=2)
    assert contents(one.folder) == contents(two.folder)


def test_nothing_else_is_left_in_the_folder(dataset: Dataset):
    names = {name.partition("-0")[0] for name in contents(dataset.folder)}
    families = {f"shards/{family}" for family in dataset.families}
    tables = {"dataset.json", "utterances.jsonl", "rejected.csv", "converted.csv"}
    assert names == families | tables


def test_killed_run_goes_on(corpus: Path, tmp_path: Path):
    out = tmp_path / "data"
    with pytest.raises(Killed):
        run(corpus, out, progress=kill_after(20))
    with pytest.raises(DatasetError, match="is not finished"):
        read_dataset(out)
    before = identities(out)
    assert len(before) == 2 * 3  # two families, three shards of eight
    run(corpus, out)
    after = identities(out)
    assert before.items() <= after.items()
    assert len(after) == 2 * 6
    undisturbed = run(corpus, tmp_path / "undisturbed")
    assert contents(out) == contents(undisturbed.folder)


def test_shard_cut_after_the_kill_is_redone(corpus: Path, tmp_path: Path):
    out = tmp_path / "data"
    with pytest.raises(Killed):
        run(corpus, out, progress=kill_after(20))
    file = min((out / "shards").glob("log_mel-*.tfrecord"))
    file.write_bytes(file.read_bytes()[:-1])
    run(corpus, out)
    assert contents(out) == contents(run(corpus, tmp_path / "undisturbed").folder)


def test_shards_of_other_settings_are_not_taken_over(corpus: Path, tmp_path: Path):
    out = tmp_path / "data"
    with pytest.raises(Killed):
        run(corpus, out, progress=kill_after(20))
    run(corpus, out, labels="sad")
    expected = run(corpus, tmp_path / "undisturbed", labels="sad")
    assert contents(out) == contents(expected.folder)


@pytest.mark.slow
def test_killed_process_leaves_no_workers_and_goes_on(corpus: Path, tmp_path: Path):
    out = tmp_path / "data"
    command = [sys.executable, "-m", "mmer_tf.prepare", "--corpus", "table", "--workers", "2"]
    command += ["--root", str(corpus), "--out", str(out), "--features", "log_spectrogram"]
    with subprocess.Popen(command, start_new_session=True) as process:
        deadline = time.monotonic() + 300
        while not list(out.glob("shards/*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)  # until the whole group is gone
            time.sleep(0.1)
    assert subprocess.run(command, check=True).returncode == 0
    assert len(read_dataset(out).rows) == 41


def test_finished_folder_is_left_as_it_is(corpus: Path, own_dataset: Dataset):
    before = identities(own_dataset.folder)
    run(corpus, own_dataset.folder)
    assert identities(own_dataset.folder) == before


def test_feature_is_added_without_touching_the_others(corpus: Path, own_dataset: Dataset):
    before = identities(own_dataset.folder)
    extended = ensure_features(own_dataset.folder, ["log_mel", "mfcc"], workers=0)
    assert extended.features == ("log_mel", "mfcc")
    assert before.items() <= identities(own_dataset.folder).items()
    again = read_dataset(own_dataset.folder)
    assert again == extended
    batches = make_dataset(
        again, list(again.records), ("log_mel", "mfcc"), again.labels, batch_size=4, training=False
    )
    for batch in batches.as_numpy_iterator():
        assert (batch["log_mel_mask"] == batch["mfcc_mask"]).all()
    at_once = run(corpus, own_dataset.folder.with_name("at_once"), ("log_mel", "mfcc"))
    assert contents(at_once.folder) == contents(own_dataset.folder)


def test_preparing_again_with_more_features_adds_them(corpus: Path, own_dataset: Dataset):
    extended = run(corpus, own_dataset.folder, ("waveform",))
    assert extended.features == ("log_mel", "waveform")


def test_changed_recording_is_found_when_a_feature_is_added(corpus_copy: Path, tmp_path: Path):
    dataset = run(corpus_copy, tmp_path / "data")
    soundfile.write(corpus_copy / "clip005.wav", np.full(800, 0.1), 16_000)
    with pytest.raises(DatasetError, match=r"clip005.wav has changed since"):
        ensure_features(dataset.folder, ["mfcc"], workers=0)


def test_lost_recording_is_named_when_a_feature_is_added(corpus_copy: Path, tmp_path: Path):
    dataset = run(corpus_copy, tmp_path / "data")
    (corpus_copy / "clip005.wav").unlink()
    with pytest.raises(DatasetError, match=r"lacks 'mfcc', and .*clip005.wav: missing file"):
        ensure_features(dataset.folder, ["mfcc"], workers=0)
    assert read_dataset(dataset.folder).features == ("log_mel",)


@pytest.fixture
def corpus_copy(tmp_path: Path, corpus: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for file in corpus.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_other_dataset_asks_for_overwrite(corpus: Path, own_dataset: Dataset):
    with pytest.raises(DatasetError, match=r"holds another dataset \(table, 41 .*--overwrite"):
        run(corpus, own_dataset.folder, labels="sad")
    replaced = run(corpus, own_dataset.folder, labels="sad", overwrite=True)
    assert len(replaced.rows) == 21
    assert len(read_dataset(own_dataset.folder).rows) == 21


def test_overwrite_deletes_nothing_of_the_users(corpus: Path, own_dataset: Dataset):
    note = own_dataset.folder / "note.txt"
    note.write_text("mine")
    run(corpus, own_dataset.folder, labels="sad", overwrite=True)
    assert note.read_text() == "mine"


def test_folder_with_other_files_is_refused(corpus: Path):
    with pytest.raises(DatasetError, match="holds other files"):
        run(corpus, corpus)


def test_wrong_feature_is_told_before_anything_is_written(corpus: Path, tmp_path: Path):
    with pytest.raises(KeyError, match="unknown feature 'log_mell'; did you mean 'log_mel'"):
        run(corpus, tmp_path / "data", ("log_mell",))
    assert not (tmp_path / "data").exists()


def test_text_corpus_has_no_features(tmp_path: Path):
    table = tmp_path / "texts.csv"
    table.write_text("text,label\nfine,glad\nbad,sad\n")
    dataset = run(table, tmp_path / "data")
    assert dataset.features == () and len(dataset.rows) == 2
    with pytest.raises(DatasetError, match="holds no recordings"):
        ensure_features(dataset.folder, ["log_mel"], workers=0)


def test_tokens_are_stored_with_a_fixed_vocabulary(corpus: Path, tmp_path: Path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "it", "is", "here", "word", "##4", "only"]
    bert = tmp_path / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    dataset = run(corpus, tmp_path / "data", tokenizer=bert)
    batches = make_dataset(
        dataset, ["u004", "text"], ("token_ids",), dataset.labels, batch_size=2, training=False
    )
    (batch,) = batches.as_numpy_iterator()
    rows = dict(zip(batch["id"].tolist(), batch["token_ids"].tolist(), strict=True))
    assert rows[b"u004"] == [2, 4, 5, 7, 8, 6, 3]
    assert rows[b"text"] == [2, 9, 1, 3, 0, 0, 0]
    assert json.loads((dataset.folder / "dataset.json").read_text())["families"]["token_ids"]

    def read_with(tokenizer):
        reading = {"features": (), "labels": dataset.labels, "batch_size": 2, "training": False}
        (batch,) = make_dataset(dataset, ["u004", "text"], tokenizer=tokenizer, **reading)
        return batch["token_ids"].numpy().tolist()

    same, other = Tokenizer.load(dataset.folder / "tokenizer"), Tokenizer(words, max_tokens=9)
    assert read_with(same) == read_with(other) == batch["token_ids"].tolist()
    for shard in (dataset.folder / "shards").glob("token_ids-*"):
        shard.unlink()
    assert read_with(other) == batch["token_ids"].tolist()
    with pytest.raises(ShardError, match="token_ids-"):
        read_with(same)


def test_tokenizers_are_compared_by_what_they_are(tmp_path: Path):
    table, out = tmp_path / "texts.csv", tmp_path / "data"
    table.write_text("text,label\nfine,glad\nbad,sad\n")
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    for folder, word in ((one, "fine"), (same, "fine"), (other, "bad")):
        folder.mkdir()
        (folder / "vocab.txt").write_text(f"[PAD]\n[UNK]\n[CLS]\n[SEP]\n{word}\n")
    run(table, out)
    with pytest.raises(DatasetError, match=r"data holds no tokens .*--overwrite"):
        run(table, out, tokenizer=one)
    first = run(table, out, tokenizer=one, overwrite=True)
    assert run(table, out, tokenizer=same) == run(table, out) == read_dataset(out)
    with pytest.raises(DatasetError, match=r"tokens of another tokenizer, '.*one'"):
        run(table, out, tokenizer=other)
    with pytest.raises(DatasetError, match="one' as it was before, or of other settings"):
        run(table, out, tokenizer=one, max_tokens=9)
    with pytest.raises(HubError, match="nowhere does not exist"):
        run(table, out, tokenizer=tmp_path / "nowhere", overwrite=True)
    assert read_dataset(out).digest == first.digest


# Not importorskip: only extract_lld loads openSMILE such that it runs beside TensorFlow.
@pytest.mark.skipif(find_spec("opensmile") is None, reason="opensmile is not installed")
def test_descriptors_keep_their_range(tmp_path: Path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    table = tmp_path / "table.csv"
    table.write_text("id,file,label\nnoise,noise.wav,sad\n")
    dataset = run(table, tmp_path / "data", ("lld",))
    batches = make_dataset(
        dataset, ["noise"], ("lld",), dataset.labels, batch_size=1, training=False
    )
    (batch,) = batches.as_numpy_iterator()
    expected = extract_lld(decode(tmp_path / "noise.wav"))
    np.testing.assert_array_equal(batch["lld"][0], expected)
    assert expected.max() > np.finfo(np.float16).max  # why it is stored as float32


def test_dead_worker_is_told(corpus: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(writer, "write_shard", _die)
    with pytest.raises(DatasetError, match="a worker process died"):
        run(corpus, tmp_path / "data", workers=1)


def _die(job):
    os._exit(1)


def test_synthetic_corpus_is_spoken_once(tmp_path: Path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    out = tmp_path / "synthetic"
    first = prepare_synthetic(out, ["log_mel"], utterances_per_cell=1, workers=0)
    assert len(first.rows) == 40 and all(row.words for row in first.rows)
    monkeypatch.setattr(prepare, "write_shards", None)
    assert prepare_synthetic(out, ["log_mel"], utterances_per_cell=1, workers=0) == first
