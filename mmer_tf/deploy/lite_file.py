"""What a `.tflite` file says of itself, in a ZIP archive behind the model; without TensorFlow.

The way of TensorFlow Lite's metadata: the archive is appended, interpreters do not look at it, and
any ZIP reader opens the file (Python's `zipfile`, Android's `MetadataExtractor`, `unzip -l`).
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmer_tf.atomic import replacing

FORMAT_VERSION = 2
"""Of what `mmer_tf.json` says; a reader refuses any other. In 1 the inputs had fixed shapes."""

DESCRIPTION = "mmer_tf.json"
LABELS = "labels.txt"
VOCABULARY = "vocab.txt"
EXPANSIONS = "expansions.json"

_IDENTIFIER = b"TFL3"
_NO_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


class LiteFileError(ValueError):
    """A `.tflite` file that cannot be used here."""


@dataclass(frozen=True)
class LiteFile:
    """A model for LiteRT with all that a caller needs.

    Args:
        model: the flatbuffer.
        description: settings and figures, as `mmer_tf.json` has them.
        labels: the classes, in the order of the probabilities.
        vocabulary: of the tokenizer, in the order of the ids; empty for a model without words.
        expansions: contractions and what they are written out as; empty likewise.
    """

    model: bytes
    description: Mapping[str, Any]
    labels: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()
    expansions: Mapping[str, str] | None = None

    def write(self, file: Path) -> None:
        """Write model and archive as one file, whole or not at all.

        Raises:
            StorageError: the disk is full, or does not let write.
        """
        own = {"format_version": FORMAT_VERSION, "sha256": hashlib.sha256(self.model).hexdigest()}
        described = {**self.description, **own}
        entries = {
            DESCRIPTION: json.dumps(described, indent=2, ensure_ascii=False) + "\n",
            LABELS: _lines(self.labels),
        }
        if self.vocabulary:
            entries[VOCABULARY] = _lines(self.vocabulary)
            entries[EXPANSIONS] = json.dumps(dict(self.expansions or {}), ensure_ascii=False)
        content = io.BytesIO(self.model)
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, text in entries.items():
                entry = zipfile.ZipInfo(name, _NO_MOMENT)
                archive.writestr(entry, text.encode(), zipfile.ZIP_DEFLATED)
        with replacing(file) as temporary:
            temporary.write_bytes(content.getvalue())

    @classmethod
    def read(cls, file: Path) -> "LiteFile":
        """Read what `write` wrote.

        Raises:
            LiteFileError: no such file, not one of this package, damaged, or of a newer format.
        """
        if not file.is_file():
            raise LiteFileError(
                f"{file}: no such file; write it with `python -m mmer_tf.export --format tflite`"
            )
        content = file.read_bytes()
        if content[4:8] != _IDENTIFIER:
            raise LiteFileError(f"{file}: is no .tflite file")
        try:
            return cls(**_read_archive(file, content))
        except zipfile.BadZipFile as error:
            raise LiteFileError(
                f"{file}: not written by `python -m mmer_tf.export --format tflite`, or cut off"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, LiteFileError):
                raise
            raise LiteFileError(f"{file}: its description is damaged; export it again") from error


def _read_archive(file: Path, content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if DESCRIPTION not in names:
            raise LiteFileError(f"{file}: not written by `python -m mmer_tf.export`")
        description = dict(json.loads(archive.read(DESCRIPTION)))
        version = int(description["format_version"])
        if version != FORMAT_VERSION:
            remedy = "update mmer-tf" if version > FORMAT_VERSION else "export the run again"
            raise LiteFileError(
                f"{file}: written in format {version}, this version reads "
                f"{FORMAT_VERSION}; {remedy}"
            )
        read: dict[str, Any] = {
            "model": content[: min(entry.header_offset for entry in archive.infolist())],
            "description": description,
            "labels": _entries(archive.read(LABELS)),
        }
        if hashlib.sha256(read["model"]).hexdigest() != description["sha256"]:
            raise LiteFileError(f"{file}: damaged; export the run again")
        if VOCABULARY in names:
            read["vocabulary"] = _entries(archive.read(VOCABULARY))
            read["expansions"] = dict(json.loads(archive.read(EXPANSIONS)))
        return read


def _lines(entries: tuple[str, ...]) -> str:
    return "".join(f"{entry}\n" for entry in entries)


def _entries(content: bytes) -> tuple[str, ...]:
    return tuple(content.decode("utf-8").split("\n")[:-1])
