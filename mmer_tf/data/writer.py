"""Shards, written by several processes and finished one by one.

A shard is a fixed part of the corpus: neither the number of workers nor an interruption changes
its bytes. Each is written under a temporary name and renamed; then a small report beside it says
that it is finished, and a later run with the same settings takes it over.
"""

import contextlib
import dataclasses
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache, partial
from itertools import chain
from pathlib import Path

import tensorflow as tf

from mmer_tf.atomic import replacing, write_text
from mmer_tf.audio.decode import AudioError, conversions, listen
from mmer_tf.data.families import FeatureFamily, forget_extractors
from mmer_tf.data.manifest import SHARDS, Conversion, Dataset, DatasetError, ShardFile
from mmer_tf.data.schema import TOKENS, encode
from mmer_tf.data.shard_job import (
    REPORT,
    UTTERANCES,
    Runner,
    ShardJob,
    ShardReport,
    finished_report,
    report_to_text,
)
from mmer_tf.data.states import StatesFeature
from mmer_tf.data.worker import end_with_parent, silent_children, worker_context
from mmer_tf.text.normalise import Style, clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE, Rejected, Utterance

UTTERANCES_PER_SHARD = 64
MOST_SHARDS = 256


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
    runner: Runner | None = None,
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
        runner: what does the work in place of these processes, perhaps on other machines, which
            must reach `out` and `root`.
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
    if runner is None:
        workers = 0 if workers is None and _gpu_helps(features) else workers
        runner = partial(_write_all, workers=workers)
    # The names of the families go in: they may be written in several rounds.
    digest = hashlib.sha256(f"{digest} {families}".encode()).hexdigest()
    jobs = [
        ShardJob(
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
    found = set(folder.glob(f"*{REPORT}"))
    for stale in found - {job.report for job in jobs}:
        stale.unlink(missing_ok=True)
    reports = {
        number: report
        for number, job in enumerate(jobs)
        if job.report in found and (report := finished_report(job))
    }
    pending = {number: job for number, job in enumerate(jobs) if number not in reports}
    done = 0
    for number, report in chain(list(reports.items()), runner(pending)):
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
            file.unlink(missing_ok=True)  # another run may tidy too


def _write_all(
    jobs: Mapping[int, ShardJob], workers: int | None
) -> Iterator[tuple[int, ShardReport]]:
    """Do the numbered jobs, in whatever order they are finished."""
    if workers == 0:
        try:
            for number, job in jobs.items():
                yield number, write_shard(job)
        finally:
            forget_extractors()
        return
    if not jobs:
        return
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    pool = ProcessPoolExecutor(workers, worker_context(), _start_worker)
    try:
        with silent_children():
            futures = {pool.submit(write_shard, job): number for number, job in jobs.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a worker process died (was memory short?); run the same command again, perhaps with "
            "fewer --workers: finished shards are kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    end_with_parent()
    compute_alone()


def compute_alone() -> None:
    """Make this process compute the same bytes however many there are; to be called first."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.set_visible_devices([], "GPU")


def write_shard(job: ShardJob) -> ShardReport:
    """Decode, extract, encode and write one shard; runs in a worker."""
    kept: list[Utterance] = []
    rejected: list[Rejected] = []
    converted: list[Conversion] = []
    # A name of its own: a cluster may start the same work twice.
    own = f"{uuid.uuid4().hex}-"
    with contextlib.ExitStack() as stack:
        temporary = {
            family: stack.enter_context(replacing(job.file(family), own)) for family in job.families
        }
        with contextlib.ExitStack() as records_stack:
            writers = {
                family: records_stack.enter_context(tf.io.TFRecordWriter(str(file)))
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
        files = {
            family: ShardFile(job.file(family).name, len(kept), file.stat().st_size, sha256(file))
            for family, file in temporary.items()
        }
    report = ShardReport(files, tuple(kept), tuple(rejected), tuple(converted))
    write_text(job.report, report_to_text(report, job.root))
    return report


def _compute(
    utterance: Utterance, job: ShardJob
) -> tuple[Utterance, dict[str, bytes], tuple[str, ...]]:
    """The utterance with its measured duration, its records, and what decoding changed."""
    changes: tuple[str, ...] = ()
    waveform = None
    if utterance.audio is not None and job.hears:
        waveform, info = listen(utterance.audio)
        changes = conversions(info)
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
