"""What the tests of prepared folders share."""

from contextlib import contextmanager
from pathlib import Path

from mmer_tf.data.manifest import Dataset
from mmer_tf.data.prepare import prepare_dataset

PER_SHARD = 8


class Killed(BaseException):
    """What no code of ours catches."""


def run(corpus: Path, out: Path, features=("log_mel",), **settings) -> Dataset:
    settings = {"workers": 0, "utterances_per_shard": PER_SHARD} | settings
    return prepare_dataset("table", corpus, out, features, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    shards = sorted((folder / "shards").glob("*.tfrecord"))
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in shards}


def kill_after(utterances: int):
    @contextmanager
    def progress(description: str, total: int):
        def advance(done: int) -> None:
            if done >= utterances:
                raise Killed

        yield advance

    return progress
