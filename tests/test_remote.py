"""Remote places are used as local ones: tried on TensorFlow's file system in memory."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmer_tf.atomic import replacing, write_text
from mmer_tf.audio.decode import AudioError, decode, probe
from mmer_tf.remote import RemoteError, RemotePath, as_path, move, remove_folder


@pytest.fixture
def store(request) -> Path:
    folder = as_path(f"ram://{request.node.name.partition('[')[0]}/data")
    folder.mkdir()
    return folder


def test_addresses_keep_their_slashes():
    path = as_path("gs://bucket/data") / "shards" / "a-0.tfrecord"
    assert str(path) == os.fspath(path) == path.as_posix() == "gs://bucket/data/shards/a-0.tfrecord"
    assert (path.name, path.suffix, path.parent.name) == ("a-0.tfrecord", ".tfrecord", "shards")
    assert str(path.with_name("b")) == "gs://bucket/data/shards/b"
    assert path.is_relative_to(as_path("gs://bucket/data"))
    assert path.relative_to(as_path("gs://bucket/data")).as_posix() == "shards/a-0.tfrecord"
    assert path.resolve() == path.absolute() == path and path.is_absolute()
    assert pickle.loads(pickle.dumps(path)) == path
    assert len({path, as_path(str(path))}) == 1


@pytest.mark.parametrize("place", ["data/emodb", "/data/emodb", "a:/b", "."])
def test_other_names_are_local(place):
    assert as_path(place) == Path(place) and not isinstance(as_path(place), RemotePath)


def test_files_of_this_machine_are_local():
    assert as_path("file:///data/emodb") == Path("/data/emodb")


def test_files_are_whole_or_not_there(store: Path):
    file = store / "note.txt"
    write_text(file, "täglich\nzwei")
    assert file.read_text(encoding="utf-8") == "täglich\nzwei" and file.stat().st_size == 13
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_bytes().decode() == "täglich\nzwei"
    write_text(file, "new")
    with file.open(encoding="utf-8", newline="") as stream:
        assert stream.read() == "new"
    with pytest.raises(ValueError, match="`mode`"):
        file.open("w")


def test_folders(store: Path, tmp_path: Path):
    write_text(store / "a.txt", "")
    (store / "in").mkdir()
    local = tmp_path / "x"
    local.write_text("x")
    move(local, store / "in" / "b.txt")
    assert not local.exists()
    assert sorted(path.name for path in store.iterdir()) == ["a.txt", "in"]
    assert [path.name for path in store.glob("*.txt")] == ["a.txt"]
    assert [path.name for path in (store / "in").glob("*")] == ["b.txt"]
    assert sorted(str(path) for path in store.rglob("*.txt")) == [
        f"{store}/a.txt",
        f"{store}/in/b.txt",
    ]
    assert store.is_dir() and not store.is_file() and (store / "a.txt").is_file()
    remove_folder(store / "in")
    assert not (store / "in").exists() and not (store / "in" / "b.txt").exists()


def test_what_is_missing(store: Path):
    nothing = store / "nothing"
    assert not nothing.exists()
    for look in (nothing.stat, nothing.read_text, nothing.unlink):
        with pytest.raises(FileNotFoundError, match="nothing") as caught:
            look()
        assert caught.value.filename == str(nothing)
    nothing.unlink(missing_ok=True)


def test_unknown_kind_of_place_is_told():
    with pytest.raises(RemoteError, match=r"^nosuch://b/c: TensorFlow reaches no .*gs://.*ram://"):
        as_path("nosuch://b/c").exists()


def test_remote_recording_is_the_local_one(store: Path, tmp_path: Path):
    local = tmp_path / "clip.wav"
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (24_000, 2))
    soundfile.write(local, samples, 48_000)
    remote = store / "clip.wav"
    with replacing(remote) as temporary:
        temporary.write_bytes(local.read_bytes())
    np.testing.assert_array_equal(decode(remote), decode(local))
    assert probe(str(remote)) == probe(local)
    with replacing(remote) as temporary:
        temporary.write_bytes(local.read_bytes()[:5000])
    with pytest.raises(AudioError, match=r"ram://.*clip.wav: truncated file"):
        decode(remote)
