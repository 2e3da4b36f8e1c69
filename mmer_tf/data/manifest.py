"""What a dataset folder says about itself; read in milliseconds, without TensorFlow."""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmer_tf.atomic import replacing, write_text
from mmer_tf.corpora.labels import LabelSelection
from mmer_tf.remote import as_path
from mmer_tf.types import MAX_SECONDS, Rejected, Seconds, Utterance, Word

FORMAT = 1
MANIFEST = "dataset.json"
UTTERANCES = "utterances.jsonl"
REJECTED = "rejected.csv"
CONVERTED = "converted.csv"
SHARDS = "shards"


class DatasetError(ValueError):
    """A dataset folder that cannot be used, or cannot be made; says what to do."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One finished file of records.

    Args:
        file: its name in the folder `shards`.
        count: number of records.
        bytes: its size.
        sha256: of its content, in hexadecimal digits.
    """

    file: str
    count: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Family:
    """All records of one feature, or of none (`utterances`).

    Args:
        shards: in the order of the records.
        parameters: what determines the values, for the reader of `dataset.json`.
    """

    shards: tuple[ShardFile, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Something that decoding changed about a file, such as "resampled from 48000 Hz"."""

    file: str
    what: str


@dataclass(frozen=True)
class Dataset:
    """A prepared corpus.

    Args:
        folder: where it lies.
        name: of the corpus.
        root: folder of the corpus when it was prepared.
        options: what else the corpus was read with.
        labels: the classes in their order.
        rows: the utterances in the order of the records; a selection may leave gaps.
        records: id -> number of its record.
        families: shard families by name.
        dropped: rows left behind by a rule, counted by reason.
        rejected: broken input, counted by reason.
        conversions: files changed by decoding, counted by what was done.
        digest: of everything that determined the records.
    """

    folder: Path
    name: str
    root: Path
    options: Mapping[str, Any]
    labels: tuple[str, ...]
    rows: tuple[Utterance, ...]
    records: Mapping[str, int]
    families: Mapping[str, Family]
    dropped: Mapping[str, int]
    rejected: Mapping[str, int]
    conversions: Mapping[str, int]
    digest: str

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the stored features."""
        return tuple(name for name in self.families if name != "utterances")

    @property
    def seconds(self) -> Seconds:
        """Length of all recordings together."""
        return sum(utterance.duration or 0.0 for utterance in self.rows)

    def count(self, attribute: Literal["label", "speaker", "gender", "session"]) -> dict[str, int]:
        """Utterances by a value of theirs, in the order of the classes or sorted."""
        counts = Counter(getattr(utterance, attribute) for utterance in self.rows)
        counts.pop(None, None)
        names = self.labels if attribute == "label" else sorted(counts)
        return {name: counts[name] for name in names}

    def select(self, selection: LabelSelection) -> "Dataset":
        """The same records with some of the classes, merged as the selection says.

        Raises:
            CorpusError: the selection names a class that the dataset does not have.
        """
        selection.check(self.labels)
        kept = []
        for utterance in self.rows:
            if (label := selection.merged(utterance.label)) is not None:
                votes = utterance.soft_label
                votes = selection.merged_votes(votes) if votes is not None else None
                kept.append(dataclasses.replace(utterance, label=label, soft_label=votes))
        return dataclasses.replace(self, rows=tuple(kept), labels=selection.names)

    @property
    def without_transcript(self) -> int:
        """How many utterances have an empty transcript, or a blank one."""
        return sum(not utterance.transcript.strip() for utterance in self.rows)

    def longer_than(self, seconds: Seconds) -> int:
        """How many recordings are longer."""
        return sum((utterance.duration or 0.0) > seconds for utterance in self.rows)


def read_dataset(folder: Path | str) -> Dataset:
    """Read what `write_dataset` wrote.

    Args:
        folder: local, or an address as `gs://bucket/data`.

    Raises:
        DatasetError: the folder is missing, holds no finished dataset, or one of a newer format.
    """
    folder = as_path(folder)
    file = folder / MANIFEST
    if not file.is_file():
        state = "is not finished" if (folder / SHARDS).is_dir() else "is not a prepared dataset"
        state = state if folder.is_dir() else "does not exist"
        raise DatasetError(
            f"{folder} {state}; run `python -m mmer_tf.prepare --corpus NAME --out {folder}`."
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        version = values["format"]
        if version != FORMAT:
            raise DatasetError(
                f"{file} has format {version}, this version of mmer_tf reads {FORMAT}; "
                "prepare the corpus again with --overwrite."
            )
        root = as_path(values["root"])
        # Not splitlines: a transcript may hold characters that it takes for line ends.
        *lines, _ = (folder / UTTERANCES).read_text(encoding="utf-8").split("\n")
        rows = tuple(utterance_from_row(json.loads(line), root) for line in lines)
        dataset = Dataset(
            folder=folder,
            name=values["corpus"],
            root=root,
            options=values["options"],
            labels=tuple(values["labels"]),
            rows=rows,
            records={utterance.id: i for i, utterance in enumerate(rows)},
            families={name: _family(entry) for name, entry in values["families"].items()},
            dropped=values["dropped"],
            rejected=values["rejected"],
            conversions=values["conversions"],
            digest=values["digest"],
        )
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(_damaged(folder, f"{type(error).__name__}: {error}")) from error
    except json.JSONDecodeError as error:
        raise DatasetError(_damaged(folder, str(error))) from error
    if len(rows) != values["utterances"]:
        raise DatasetError(
            _damaged(folder, f"{UTTERANCES} has {len(rows)} of {values['utterances']} rows")
        )
    return dataset


def write_dataset(dataset: Dataset) -> None:
    """Write the manifest and the rows; `dataset.json` comes last and makes the folder valid."""
    lines = [
        json.dumps(utterance_to_row(utterance, dataset.root), ensure_ascii=False)
        for utterance in dataset.rows
    ]
    write_text(dataset.folder / UTTERANCES, "".join(f"{line}\n" for line in lines))
    values = {
        "format": FORMAT,
        "corpus": dataset.name,
        "root": str(dataset.root),
        "options": dict(dataset.options),
        "labels": list(dataset.labels),
        "utterances": len(dataset.rows),
        "seconds": round(dataset.seconds, 3),
        "longer_than": {"seconds": MAX_SECONDS, "utterances": dataset.longer_than(MAX_SECONDS)},
        "without_transcript": dataset.without_transcript,
        "counts": {name: dataset.count(name) for name in ("label", "speaker", "gender", "session")},
        "dropped": dict(dataset.dropped),
        "rejected": dict(dataset.rejected),
        "conversions": dict(dataset.conversions),
        "digest": dataset.digest,
        "families": {name: dataclasses.asdict(entry) for name, entry in dataset.families.items()},
    }
    text = json.dumps(values, indent=1, ensure_ascii=False)
    write_text(dataset.folder / MANIFEST, text + "\n")


def write_rejected(folder: Path, rows: Sequence[Rejected]) -> None:
    """List every row left behind."""
    _write_csv(folder / REJECTED, Rejected, rows)


def read_rejected(folder: Path) -> tuple[Rejected, ...]:
    """Read what `write_rejected` wrote.

    Raises:
        DatasetError: the list is missing or damaged.
    """
    try:
        with (folder / REJECTED).open(encoding="utf-8", newline="") as stream:
            return tuple(Rejected(**row) for row in csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, TypeError, csv.Error) as error:
        raise DatasetError(_damaged(folder, f"{REJECTED}: {error}")) from error


def write_converted(folder: Path, rows: Sequence[Conversion]) -> None:
    """List every file that decoding changed."""
    _write_csv(folder / CONVERTED, Conversion, rows)


def counted(names: Iterable[str]) -> dict[str, int]:
    """Counts by name, the most frequent first."""
    counts = Counter(names)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def utterance_to_row(utterance: Utterance, root: Path) -> dict[str, Any]:
    """Plain values without the empty fields; the recording's path is relative to `root`."""
    row = {
        name: value
        for name in Utterance.__slots__
        if (value := getattr(utterance, name)) not in (None, "", ())
    }
    if utterance.audio is not None:
        inside = utterance.audio.is_relative_to(root)
        path = utterance.audio.relative_to(root) if inside else utterance.audio
        row["audio"] = path.as_posix()
    if utterance.words:
        row["words"] = [[word.text, word.start, word.end] for word in utterance.words]
    if utterance.soft_label is not None:
        row["soft_label"] = dict(utterance.soft_label)
    return row


def utterance_from_row(row: Mapping[str, Any], root: Path) -> Utterance:
    """The utterance behind `utterance_to_row`."""
    values = dict(row)
    if "audio" in values:
        path = as_path(values["audio"])  # absolute where it lies outside the root
        values["audio"] = path if path.is_absolute() else root / path
    if "words" in values:
        values["words"] = tuple(Word(*word) for word in values["words"])
    return Utterance(**values)


def _family(values: Mapping[str, Any]) -> Family:
    return Family(tuple(ShardFile(**shard) for shard in values["shards"]), values["parameters"])


def _damaged(folder: Path, detail: str) -> str:
    return f"{folder} is damaged ({detail}); prepare the corpus again with --overwrite."


def _write_csv(file: Path, kind: type, rows: Sequence[Any]) -> None:
    with (
        replacing(file) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(names := [entry.name for entry in dataclasses.fields(kind)])
        writer.writerows([getattr(row, name) for name in names] for row in rows)
