"""Shards written by an Apache Beam pipeline: on Flink, Spark, Dataflow, or in this process.

One element is the work of one shard. What a worker finished stands in the report beside its shard,
so that work that is started twice, or a pipeline that is started again, does nothing twice.
"""

import contextlib
import dataclasses
import io
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from mmer_tf.data.manifest import DatasetError
from mmer_tf.data.shard_job import ShardJob, ShardReport, finished_report
from mmer_tf.data.writer import compute_alone, write_shard
from mmer_tf.registry import did_you_mean


class BeamOptionError(ValueError):
    """An option that Beam would discard, so that the work were done elsewhere than meant."""


def check_options(options: Sequence[str]) -> None:
    """Refuse what Beam only warns of, or tells when the corpus has been read.

    Args:
        options: of the pipeline, as `--runner=FlinkRunner`.

    Raises:
        BeamOptionError: an unknown name, an unknown runner, or a value of the wrong type.
    """
    parsers: list[ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            known, unknown = parsers[0].parse_known_args(list(options))
    except SystemExit:
        reason = said.getvalue().splitlines()[-1].rpartition("error: ")[2]
        raise BeamOptionError(f"--beam-options: {reason.replace('--', '')}") from None
    for option in unknown:
        name = option.removeprefix("--").partition("=")[0]
        raise BeamOptionError(f"--beam-options: {_unknown('option', name, vars(known))}")
    # As Beam does: `flink` is FlinkRunner, and a name with dots is a class of one's own.
    runners = {name.lower(): name for name in StandardOptions.KNOWN_RUNNER_NAMES}
    runner = known.runner or StandardOptions.DEFAULT_RUNNER
    if "." not in runner and not {runner.lower(), f"{runner.lower()}runner"} & runners.keys():
        raise BeamOptionError(f"--beam-options: {_unknown('runner', runner, runners.values())}")


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return f"Beam has no {kind} '{name}'{did_you_mean(name, known)}"


def run_pipeline(
    jobs: Mapping[int, ShardJob], options: Sequence[str] = ()
) -> Iterator[tuple[int, ShardReport]]:
    """Do numbered jobs, each by `write_shard`: a `writer.Runner`.

    Args:
        jobs: whose folders and recordings every worker can reach.
        options: of the pipeline, as `--runner=FlinkRunner`; none runs it in this process.

    Raises:
        DatasetError: the pipeline failed; what it finished is kept.
    """
    if not jobs:
        return
    # A recording that cannot be used stands in the report; a cluster would try an error again.
    patient = [dataclasses.replace(job, strict=False) for job in jobs.values()]
    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = (
                pipeline
                | "Shards" >> beam.Create(patient)
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.ParDo(WriteShard())
            )
    except Exception as error:  # each runner has errors of its own
        raise DatasetError(
            f"the pipeline failed ({_last_line(error)}); run the same command again: finished "
            "shards are kept"
        ) from error
    for number, job in jobs.items():
        report = finished_report(job)
        if report is None:
            raise DatasetError(
                f"the pipeline left no {job.report}; every worker must be able to write to this "
                "folder, as gs://bucket/folder or one that all machines share"
            )
        yield number, report


class WriteShard(beam.DoFn):
    """Writes one shard and its report, unless they are there."""

    def setup(self) -> None:
        """Once a worker, before its first shard."""
        with contextlib.suppress(RuntimeError):  # in a process whose TensorFlow is at work
            compute_alone()

    def process(self, job: ShardJob) -> None:
        """Gives nothing on: the report tells what became of the shard."""
        if finished_report(job) is None:
            write_shard(job)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
