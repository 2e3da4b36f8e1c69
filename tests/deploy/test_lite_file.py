"""What a .tflite file says of itself, and what is no such file."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from mmer_tf.deploy.lite_file import FORMAT_VERSION, LiteFile, LiteFileError

MODEL = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) * 3
LITE = LiteFile(
    MODEL, {"window": 16000}, ("glücklich", "sad"), ("[PAD]", "a\x85b", "é"), {"can't": "can not"}
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    LITE.write(tmp_path / "model.tflite")
    return tmp_path / "model.tflite"


def test_archive_stands_behind_the_model(file: Path):
    assert file.read_bytes().startswith(MODEL)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["mmer_tf.json", "labels.txt", "vocab.txt", "expansions.json"]
        described = json.loads(archive.read("mmer_tf.json"))
        assert archive.read("labels.txt").decode() == "glücklich\nsad\n"
    assert described.pop("sha256") == hashlib.sha256(MODEL).hexdigest()
    assert described == {"format_version": FORMAT_VERSION, "window": 16000}


def test_what_is_read_is_what_was_written(file: Path):
    read = LiteFile.read(file)
    assert read.model == MODEL
    assert read.labels == LITE.labels and read.vocabulary == LITE.vocabulary
    assert read.expansions == LITE.expansions
    assert read.description["window"] == 16000


def test_same_content_gives_the_same_bytes(file: Path):
    first = file.read_bytes()
    LITE.write(file)
    assert file.read_bytes() == first


def test_model_without_words_carries_no_vocabulary(tmp_path: Path):
    LiteFile(MODEL, {}, ("a", "b")).write(tmp_path / "voice.tflite")
    with zipfile.ZipFile(tmp_path / "voice.tflite") as archive:
        assert archive.namelist() == ["mmer_tf.json", "labels.txt"]
    assert LiteFile.read(tmp_path / "voice.tflite").vocabulary == ()


def with_archive(file: Path, text: str | None) -> None:
    file.write_bytes(MODEL)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("mmer_tf.json" if text is not None else "other", text or "")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "no such file; write it with"),
        (lambda file: file.write_bytes(b""), "is no .tflite file"),
        (lambda file: file.write_bytes(b"RIFF" * 9), "is no .tflite file"),
        (lambda file: file.write_bytes(MODEL), "not written by .* or cut off"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "not written by .* or cut off"),
        (lambda file: with_archive(file, None), "not written by"),
        (lambda file: with_archive(file, "{"), "description is damaged"),
        (lambda file: with_archive(file, "{}"), "description is damaged"),
        (lambda file: with_archive(file, '{"format_version": 2}'), "description is damaged"),
        (
            lambda file: with_archive(file, '{"format_version": 1}'),
            "in format 1, this version reads 2; export the run again",
        ),
        (
            lambda file: with_archive(file, f'{{"format_version": {FORMAT_VERSION + 1}}}'),
            f"in format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}; update",
        ),
    ],
)
def test_what_is_no_file_of_ours_is_told(file: Path, spoil, message: str):
    spoil(file)
    with pytest.raises(LiteFileError, match=message) as caught:
        LiteFile.read(file)
    assert str(file) in str(caught.value)
