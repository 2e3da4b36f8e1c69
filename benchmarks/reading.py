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
from reading_corpus import FEATURES, WORKERS, Recording, epochs, write_corpus
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
    shards, recordings, others = (f"{way}_{feature}" for way in ("shards", "recordings", "others"))
    differences: dict[str, float] = {}

    def compare(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        for name in (recordings, others):
            differences[name] = largest_difference(answers, shards, name, TOLERANCE)

    timed = take_turns(
        [
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
    read = _rates(timed[shards], count * epochs(feature))

    def line(opponent: str, rates: list[float], goal: float, **fields: str) -> Line:
        return Line(
            what=f"batches of {feature} from shards, {count} utterances an epoch",
            opponent=opponent,
            unit="examples/s",
            ours=statistics.median(read),
            theirs=statistics.median(rates),
            ratios=tuple(a / b for a, b in zip(read, rates, strict=True)),
            goal=goal,
            **fields,
        )

    yield line(
        f"decoding and extracting in every epoch: {OTHERS[feature]}, two processes of one thread",
        _rates(timed[others], count),
        AGAINST_RECORDINGS,
        difference=f"{differences[others]:.1e}",
        note="batches of 16 of neighbouring length on both sides. From shards: `make_dataset` as "
        "`train` calls it, shuffled, the start of the iterator included. Recordings are 16 kHz "
        "already, so that none is resampled",
    )
    yield line(
        "decoding and extracting in every epoch: this package's, batch by batch",
        _rates(timed[recordings], count),
        AGAINST_RECORDINGS,
        difference=f"{differences[recordings]:.1e}",
        note="one process that decodes in Python and computes with two threads, where librosa has "
        "two processes",
    )
    yield line(
        "a training step of `gmu`",
        _rates(timed["gmu-16"], trained),
        AGAINST_TRAINING,
        note="utterances a second that training consumes, of log_mel whatever is read; without "
        "augmentation and modality dropout",
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
