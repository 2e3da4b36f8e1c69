"""Shards, written by several processes and finished one by one.

A shard is a fixed part of the corpus: neither the number of workers nor an interruption changes
its bytes. Each is written under a temporary name and renamed; then a small report beside it says
that it is finished, and a later run with the same settings takes it over.
"""

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

import tensorflow as tf

from mmer_tf.atomic import write_text
from mmer_tf.audio.decode import AudioError, conversions, decode, probe
from mmer_tf.data.families import FeatureFamily, forget_extractors
from mmer_tf.data.manifest import (
    SHARDS,
    Conversion,
    Dataset,
    DatasetError,
    ShardFile,
    utterance_from_row,
    utterance_to_row,
)
from mmer_tf.data.schema import TOKENS, encode
from mmer_tf.data.states import StatesFeature
from mmer_tf.data.worker import end_with_parent
from mmer_tf.text.normalise import Style, clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE, Rejected, Utterance

UTTERANCES = "utterances"
"""The shard family without features."""

UTTERANCES_PER_SHARD = 64
MOST_SHARDS = 256
_REPORT = ".report.json"


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
class _Job:
    """One shard's worth of work, as it travels to a worker."""

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
        return self.folder / f"{family}-{self.stem}.tfrecord"

    @property
    def report(self) -> Path:
        return self.folder / f"{self.stem}-{self.digest[:8]}{_REPORT}"

    @property
    def hears(self) -> bool:
        """Whether the recordings must be decoded."""
        return UTTERANCES in self.families or any(f.of_recording for f in self.features)


def partition(
    utterances: Sequence[Utterance], utterances_per_shard: int | None = None
) -> tuple[tuple[Utterance, ...], ...]:
    """Divide a corpus into shards, each a random sample of it.

    The order follows a hash of the ids: neighbours in a corpus (one speaker, one dialogue) are
    far apart, so a training shuffles well with a small buffer.

    Args:
        utterances: the corpus.
        utterances_per_shard: None means 64, or more where that would give over 256 shards.

    Raises:
        ValueError: `utterances_per_shard` < 1.
    """
    if utterances_per_shard is None:
        utterances_per_shard = max(UTTERANCES_PER_SHARD, -(-len(utterances) // MOST_SHARDS))
    if utterances_per_shard < 1:
        raise ValueError(
            "`utterances_per_shard` must be >= 1. "
            f"Received: utterances_per_shard={utterances_per_shard}."
        )
    ordered = sorted(utterances, key=lambda u: hashlib.sha256(u.id.encode()).digest())
    starts = range(0, len(ordered), utterances_per_shard)
    return tuple(tuple(ordered[start : start + utterances_per_shard]) for start in starts)


def write_shards(
    parts: Sequence[Sequence[Utterance]],
    out: Path,
    features: Sequence[FeatureFamily],
    *,
    digest: str,
    root: Path,
    with_utterances: bool = True,
    tokenizer: Path | None = None,
    cleaning: Style = "sentences",
    workers: int | None = None,
    strict: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[ShardReport]:
    """Write one shard a part and family, and take over those that are already finished.

    Args:
        parts: what each shard holds, in the order of the records.
        out: dataset folder.
        features: the families of features.
        digest: stands for all that determines the records; shards of another digest are redone.
        root: folder of the corpus, to which stored paths are relative.
        with_utterances: write the family without features too.
        tokenizer: folder of a saved tokenizer, whose tokens become the family `token_ids`.
        cleaning: of the transcripts before they are tokenised.
        workers: number of processes; None is one a core. 0 works in this process, whose
            TensorFlow may then use several threads and, for hidden states, a GPU: there None
            means 0.
        strict: stop at the first recording that cannot be used.
        progress: called with the number of utterances done so far.

    Returns:
        One report a shard, in order.

    Raises:
        DatasetError: a recording cannot be used and `strict`, or a worker died.
    """
    folder = out / SHARDS
    folder.mkdir(parents=True, exist_ok=True)
    families = tuple(family.name for family in features)
    families += (TOKENS,) if tokenizer is not None else ()
    families = (UTTERANCES, *families) if with_utterances else families
    if workers is None and _gpu_helps(features):
        workers = 0
    # The names of the families go in: they may be written in several rounds.
    digest = hashlib.sha256(f"{digest} {families}".encode()).hexdigest()
    jobs = [
        _Job(
            utterances=tuple(part),
            families=families,
            features=tuple(features),
            stem=f"{number:05d}-of-{len(parts):05d}",
            folder=folder,
            digest=digest,
            root=root,
            tokenizer=tokenizer,
            cleaning=cleaning,
            strict=strict,
        )
        for number, part in enumerate(parts)
    ]
    for stale in set(folder.glob(f"*{_REPORT}")) - {job.report for job in jobs}:
        stale.unlink()
    reports = {number: report for number, job in enumerate(jobs) if (report := _finished(job))}
    pending = {number: job for number, job in enumerate(jobs) if number not in reports}
    done = 0
    for number, report in chain(list(reports.items()), _write_all(pending, workers)):
        if strict and report.rejected:
            row = report.rejected[0]
            raise DatasetError(str(AudioError(Path(row.source), row.reason, row.detail)))
        reports[number] = report
        done += len(jobs[number].utterances)
        if progress:
            progress(done)
    return [reports[number] for number in range(len(jobs))]


def tidy(dataset: Dataset) -> None:
    """Remove what is left in the shard folder besides the dataset's own shards."""
    own = {shard.file for family in dataset.families.values() for shard in family.shards}
    for file in (dataset.folder / SHARDS).iterdir():
        if file.name not in own:
            file.unlink()


def _finished(job: _Job) -> ShardReport | None:
    """The report of an earlier run, when all its files are there."""
    if not job.report.is_file():
        return None
    report = _report_from_text(job.report.read_text(encoding="utf-8"), job.root)
    for family, shard in report.files.items():
        file = job.file(family)
        if not file.is_file() or file.stat().st_size != shard.bytes:
            return None
    return report


def _write_all(jobs: Mapping[int, _Job], workers: int | None) -> Iterator[tuple[int, ShardReport]]:
    """Do the numbered jobs, in whatever order they are finished."""
    if workers == 0:
        try:
            for number, job in jobs.items():
                yield number, _write_shard(job)
        finally:
            forget_extractors()
        return
    if not jobs:
        return
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        with _silent_children():
            futures = {pool.submit(_write_shard, job): number for number, job in jobs.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a worker process died (was memory short?); run the same command again, perhaps with "
            "fewer --workers: finished shards are kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _silent_children() -> Iterator[None]:
    """Start processes without standard error, where TensorFlow's messages are not wanted.

    It greets there whatever its log level is. Errors come back through the futures.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    original = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(nowhere)


def _start_worker() -> None:
    """Make a worker compute the same bytes however many there are, and end with its parent."""
    end_with_parent()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def _write_shard(job: _Job) -> ShardReport:
    """Decode, extract, encode and write one shard; runs in a worker."""
    kept: list[Utterance] = []
    rejected: list[Rejected] = []
    converted: list[Conversion] = []
    temporary = {f: job.folder / f"{f}-{job.stem}.{os.getpid()}.partial" for f in job.families}
    try:
        with contextlib.ExitStack() as stack:
            writers = {
                family: stack.enter_context(tf.io.TFRecordWriter(str(file)))
                for family, file in temporary.items()
            }
            for utterance in job.utterances:
                try:
                    utterance, records, changes = _compute(utterance, job)
                except AudioError as error:
                    if job.strict:
                        raise DatasetError(str(error)) from None
                    row = Rejected(str(error.path), error.reason, "rejected", error.detail)
                    rejected.append(row)
                    continue
                kept.append(utterance)
                converted += [Conversion(str(utterance.audio), change) for change in changes]
                for family, writer in writers.items():
                    writer.write(records[family])
        files = {}
        for family, file in temporary.items():
            target = job.file(family)
            files[family] = ShardFile(target.name, len(kept), file.stat().st_size, sha256(file))
            file.replace(target)
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
    report = ShardReport(files, tuple(kept), tuple(rejected), tuple(converted))
    write_text(job.report, _report_to_text(report, job.root))
    return report


def _compute(
    utterance: Utterance, job: _Job
) -> tuple[Utterance, dict[str, bytes], tuple[str, ...]]:
    """The utterance with its measured duration, its records, and what decoding changed."""
    changes: tuple[str, ...] = ()
    waveform = None
    if utterance.audio is not None and job.hears:
        waveform = decode(utterance.audio)
        changes = conversions(probe(utterance.audio))
        utterance = dataclasses.replace(utterance, duration=len(waveform) / SAMPLE_RATE)
    records = {family.name: family.record(utterance, waveform) for family in job.features}
    if UTTERANCES in job.families:
        records[UTTERANCES] = encode(utterance)
    if job.tokenizer is not None:
        text = tf.constant([clean(utterance.transcript, job.cleaning)])
        ids, mask = _tokenizer(job.tokenizer)(text)
        records[TOKENS] = encode(utterance, {TOKENS: ids[mask].numpy()})
    return utterance, records, changes


def _gpu_helps(features: Sequence[FeatureFamily]) -> bool:
    """Whether an encoder is to run where there is a GPU, which one process uses best."""
    encoders = any(isinstance(family.feature, StatesFeature) for family in features)
    return encoders and bool(tf.config.list_physical_devices("GPU"))


@cache
def _tokenizer(folder: Path) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    return tf.function(Tokenizer.load(folder), input_signature=[tf.TensorSpec((1,), tf.string)])


def sha256(file: Path) -> str:
    """Checksum of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _report_to_text(report: ShardReport, root: Path) -> str:
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
