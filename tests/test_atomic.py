"""A file is replaced whole, or stays as it was."""

import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from mmer_tf import cli
from mmer_tf.atomic import StorageError, replacing, storage_refusal, write_text


def test_file_is_replaced_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "report.json"
    write_text(file, "old")
    write_text(file, "größer")
    assert file.read_text(encoding="utf-8") == "größer"
    assert list(tmp_path.iterdir()) == [file]


def test_error_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "model.keras"
    write_text(file, "old")
    with pytest.raises(OSError, match="full"), replacing(file) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_text("half of the n")
        raise OSError("disk full")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_full_disk_is_told_and_leaves_the_file_as_it_was(tmp_path, room_for):
    file = tmp_path / "history.csv"
    write_text(file, "old")
    with pytest.raises(StorageError, match=r"history\.csv cannot be written, .*full"), room_for(9):
        write_text(file, "new and longer")
    arrays = tmp_path / "last.npz"
    full = pytest.raises(StorageError, match=r"last\.npz cannot be written, .*full")
    with full, room_for(9999), replacing(arrays) as temporary:
        np.savez(temporary, np.zeros(9999))
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_forbidden_folder_is_told(tmp_path):
    file = tmp_path / "report.json"

    told = pytest.raises(StorageError, match=r"report\.json may not be written; change")
    with told, replacing(file):
        raise PermissionError(errno.EACCES, "Permission denied", f"{file.parent}/partial")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: a file cannot be written, the"),
        (PermissionError(errno.EACCES, "", "/runs"), "error: /runs may not be read or written; "),
        (StorageError("as it is"), "error: as it is\n"),
    ],
)
def test_commands_tell_it_in_one_sentence(error: OSError, told: str, capsys):
    def main(args):
        try:
            raise error
        except OSError as cause:
            raise RuntimeError("a library's own words") from cause

    assert cli.run(main, cli.make_parser("train", ""), []) == cli.USER_ERROR
    captured = capsys.readouterr()
    assert captured.err.startswith(told) and captured.err.count("\n") == 1


def test_a_full_disk_is_known_by_tensorflows_words_too(tmp_path):
    said = f"{tmp_path}/events.out; {os.strerror(errno.ENOSPC)}"
    error = tf.errors.ResourceExhaustedError(None, None, said)
    assert "make room" in str(storage_refusal(error))
    memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert storage_refusal(memory) is None
