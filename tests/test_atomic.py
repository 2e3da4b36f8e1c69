"""A file is replaced whole, or stays as it was."""

import pytest

from mmer_tf.atomic import replacing, write_text


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
