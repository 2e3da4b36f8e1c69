"""One shard's worth of work, and what became of it, as both travel between processes."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmer_tf.data.families import FeatureFamily
from mmer_tf.data.manifest import Conversion, ShardFile, utterance_from_row, utterance_to_row
from mmer_tf.text.normalise import Style
from mmer_tf.types import Rejected, Utterance

UTTERANCES = "utterances"
"""The shard family without features."""

REPORT = ".report.json"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of one part of the corpus.

    Args:
        files: family -> finished file.
        utterances: those with a record, in order, with the measured duration.
        rejected: recordings that could not be decoded.
        converted: what decoding changed.
    """

    files: Mapping[str, ShardFile]
    utterances: tuple[Utterance, ...]
    rejected: tuple[Rejected, ...]
    converted: tuple[Conversion, ...]


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard's worth of work, as it travels to a worker.

    Args:
        utterances: what the shard holds, in order.
        families: names of the families, each of which becomes a file.
        features: how those of features are computed.
        stem: what the names of the files have in common.
        folder: where they go, local or remote.
        digest: stands for all that determines the records.
        root, tokenizer, cleaning, strict: as for `write_shards`.
    """

    utterances: tuple[Utterance, ...]
    families: tuple[str, ...]
    features: tuple[FeatureFamily, ...]
    stem: str
    folder: Path
    digest: str
    root: Path
    tokenizer: Path | None
    cleaning: Style
    strict: bool

    def file(self, family: str) -> Path:
        """The shard of one family."""
        return self.folder / f"{family}-{self.stem}.tfrecord"

    @property
    def report(self) -> Path:
        """What says that all are finished."""
        return self.folder / f"{self.stem}-{self.digest[:8]}{REPORT}"

    @property
    def hears(self) -> bool:
        """Whether the recordings must be decoded."""
        return UTTERANCES in self.families or any(f.of_recording for f in self.features)


Runner = Callable[[Mapping[int, ShardJob]], Iterator[tuple[int, ShardReport]]]
"""Does numbered jobs, each by `writer.write_shard`, in whatever order they are finished."""


def finished_report(job: ShardJob) -> ShardReport | None:
    """The report of an earlier run, when all its files are there."""
    if not job.report.is_file():
        return None
    report = _report_from_text(job.report.read_text(encoding="utf-8"), job.root)
    for family, shard in report.files.items():
        file = job.file(family)
        if not file.is_file() or file.stat().st_size != shard.bytes:
            return None
    return report


def report_to_text(report: ShardReport, root: Path) -> str:
    """The report as it lies beside the shards."""
    values = {
        "files": {family: dataclasses.asdict(shard) for family, shard in report.files.items()},
        "utterances": [utterance_to_row(utterance, root) for utterance in report.utterances],
        "rejected": [dataclasses.asdict(row) for row in report.rejected],
        "converted": [dataclasses.asdict(row) for row in report.converted],
    }
    return json.dumps(values, ensure_ascii=False)


def _report_from_text(text: str, root: Path) -> ShardReport:
    values = json.loads(text)
    return ShardReport(
        files={family: ShardFile(**shard) for family, shard in values["files"].items()},
        utterances=tuple(utterance_from_row(row, root) for row in values["utterances"]),
        rejected=tuple(Rejected(**row) for row in values["rejected"]),
        converted=tuple(Conversion(**row) for row in values["converted"]),
    )
