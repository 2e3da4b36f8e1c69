"""Batches from shards against decoding and extracting in every epoch, and against training.

The corpus is EmoDB where there is one, else synthetic speech. A training step of `gmu` is that of
the section `training_step`.
"""

import shutil
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from contest import Contender, Line, Timed, largest_difference, take_turns
from reading_corpus import EPOCHS, FEATURES, WORKERS, Recording, write_corpus
from training_batches import BATCH_SIZE, PASSES, VOCABULARIES, write_batches

from mmer_tf import cli

if TYPE_CHECKING:
    from run import Setting

AGAINST_RECORDINGS, AGAINST_TRAINING = 10.0, 5.0
PER_CELL = 9
"""Utterances a speaker and emotion of the synthetic corpus, for as many clips as EmoDB has."""

TOLERANCE = 0.02
"""Of the mean of each value over an utterance: shards store float16."""

TRAINED_BATCHES = 20
OTHERS = {"log_mel": "librosa", "log_spectrogram": "librosa's decoding, scipy and numpy"}


def measure(setting: "Setting") -> Iterator[Line]:
    """Yield the lines of this section."""
    work = setting.folder("reading")
    count = prepare(setting, work)
    words = VOCABULARIES["gmu"]
    write_batches(work / "gmu.npz", "log_mel", TRAINED_BATCHES, vocabulary=words)
    trained = TRAINED_BATCHES * BATCH_SIZE * PASSES["gmu"]
    for feature in FEATURES:
        yield from _contest(setting, work, feature, count, trained)


def _contest(
    setting: "Setting", work: Path, feature: str, count: int, trained: int
) -> Iterator[Line]:
    memory, shards, recordings, others = (
        f"{way}_{feature}" for way in ("memory", "shards", "recordings", "others")
    )
    differences: dict[tuple[str, str], float] = {}

    def compare(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        for ours in (memory, shards):
            for name in (recordings, others):
                differences[ours, name] = largest_difference(answers, ours, name, TOLERANCE)

    timed = take_turns(
        [
            Contender(memory, "reading_own.py"),
            Contender(shards, "reading_own.py"),
            Contender(recordings, "reading_own.py"),
            Contender(others, "reading_others.py", setting.audio, processes=WORKERS),
            Contender("gmu-16", "training_own.py"),
        ],
        work,
        threads=min(2, setting.cores),
        rounds=setting.rounds,
        compare=compare,
    )
    rates = {
        memory: _rates(timed[memory], count * EPOCHS),
        shards: _rates(timed[shards], count * EPOCHS),
        recordings: _rates(timed[recordings], count),
        others: _rates(timed[others], count),
        "gmu-16": _rates(timed["gmu-16"], trained),
    }
    opponents = {
        others: (
            f"decoding and extracting in every epoch: {OTHERS[feature]}, two processes of one "
            "thread",
            AGAINST_RECORDINGS,
            "batches of 16 of neighbouring length on both sides. From shards: `make_dataset` as "
            f"`train` calls it, shuffled, all {EPOCHS} epochs with opening the data set, whose "
            "checksums were computed before. "
            "Recordings are 16 kHz already, so that none is resampled",
        ),
        recordings: (
            "decoding and extracting in every epoch: this package's, batch by batch",
            AGAINST_RECORDINGS,
            "one process that decodes in Python and computes with two threads, where librosa has "
            "two processes",
        ),
        "gmu-16": (
            "a training step of `gmu`",
            AGAINST_TRAINING,
            "utterances a second that training consumes, of log_mel whatever is read; without "
            "augmentation and modality dropout",
        ),
    }
    told = {memory: "kept in memory, as up to 512 MB are", shards: "read anew in every epoch"}
    for ours, kind in told.items():
        for name, (opponent, goal, note) in opponents.items():
            difference = differences.get((ours, name))
            yield Line(
                what=f"batches of {feature} from shards, {kind}: {count} utterances an epoch",
                opponent=opponent,
                unit="examples/s",
                ours=statistics.median(rates[ours]),
                theirs=statistics.median(rates[name]),
                ratios=tuple(a / b for a, b in zip(rates[ours], rates[name], strict=True)),
                goal=goal,
                difference="" if difference is None else f"{difference:.1e}",
                note=note if ours == memory else "",
            )


def _rates(timed: Timed, count: int) -> list[float]:
    return [count / seconds for seconds in timed.seconds]


def prepare(setting: "Setting", work: Path) -> int:
    """Leave the shards and the list of recordings; how many there are."""
    cli.import_tensorflow()
    from mmer_tf.data.prepare import prepare_dataset, prepare_synthetic

    shutil.rmtree(work / "data", ignore_errors=True)
    if setting.corpora and (setting.corpora / "EmoDB" / "wav").is_dir():
        root = setting.corpora / "EmoDB"
        dataset = prepare_dataset("emodb", root, work / "data", list(FEATURES), workers=0)
    else:
        dataset = prepare_synthetic(
            work / "data", list(FEATURES), utterances_per_cell=PER_CELL, workers=0
        )
    recordings = [Recording(row.id, str(row.audio), row.duration or 0.0) for row in dataset.rows]
    write_corpus(work, recordings)
    return len(recordings)
