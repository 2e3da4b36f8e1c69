"""How a classifier fares when its input is not what it was trained on.

Voice or words of every utterance are distorted; the table tells what is left of UA, and how many
predictions stay what they were.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.progress import Progress, silent
from mmer_tf.evaluation.conditions import Heard, Modality, conditions
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.text.normalise import Style, clean
from mmer_tf.text.word_errors import count_words
from mmer_tf.types import Utterance, Word

Predict = Callable[
    [Sequence[np.ndarray | None], Sequence[str], Sequence[Sequence[Word]]], np.ndarray
]
"""Waveforms, transcripts and word timings of n utterances -> probabilities (n, classes)."""


def robustness(
    predict: Predict,
    utterances: Sequence[Utterance],
    waveforms: Sequence[np.ndarray | None],
    labels: Sequence[str],
    *,
    hears: bool = True,
    reads: bool = True,
    cleaning: Style = "sentences",
    vocabulary: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Measure a classifier on clean and on distorted input.

    A row is measured on the utterances that have what it distorts, and of which the distortion
    leaves something to judge; a condition without such utterances is left out.

    Args:
        predict: the classifier.
        utterances: with their true classes.
        waveforms: of the utterances, float32 in [-1, 1], 16 kHz; None where there is none.
        labels: classes in the order of the probabilities.
        hears: the classifier takes the voice.
        reads: the classifier takes the words.
        cleaning: of the transcripts, by which it is told whether one says anything.
        vocabulary: see `text.word_errors.count_words`; that of the utterances by default.
        seed: see `conditions`.
        progress: shows how many conditions are done.

    Returns:
        One row a condition, the clean one first: `condition`, `modality` ("none", "speech" or
        "text"), `ua`, `wa`, `unchanged` (share of the row's utterances whose predicted class is
        the clean one), `n`.

    Raises:
        ValueError: a class that is not among `labels`, or no utterance that can be judged.
    """
    if unknown := {utterance.label for utterance in utterances} - set(labels):
        raise ValueError(f"`labels` must hold every class. Missing: {min(unknown)}.")
    if vocabulary is None:
        vocabulary = count_words(utterance.transcript for utterance in utterances)

    def says_something(one: Heard) -> bool:
        return bool(clean(one.utterance.transcript, cleaning))

    def can_be_judged(one: Heard) -> bool:
        return (hears and one.waveform is not None) or (reads and says_something(one))

    def has(one: Heard, modality: Modality) -> bool:
        return one.waveform is not None if modality == "speech" else says_something(one)

    everything = [Heard(*one) for one in zip(utterances, waveforms, strict=True)]
    everything = [one for one in everything if can_be_judged(one)]
    if not everything:
        raise ValueError("`utterances` must hold one that can be judged. Received: none.")
    relevant = {"speech": hears, "text": reads}
    chosen = [one for one in conditions(vocabulary, seed) if relevant[one.modality]]
    with progress("robustness", 1 + len(chosen)) as advance:
        before = _judge(predict, everything, labels)
        answers = dict(zip(before.ids, before.predicted, strict=True))
        rows = [_row("clean", "none", before, answers)]
        advance(1)
        for done, condition in enumerate(chosen, 2):
            affected = [one for one in everything if has(one, condition.modality)]
            left = [one for one in condition.distort(affected) if can_be_judged(one)]
            if left:
                after = _judge(predict, left, labels)
                rows.append(_row(condition.name, condition.modality, after, answers))
            advance(done)
    return rows


def bundle_robustness(
    bundle: Bundle,
    dataset: Dataset,
    ids: Sequence[str],
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Measure a run on utterances of a prepared data set, from their recordings.

    Args:
        bundle: the run.
        dataset: where the utterances are; wrong words are drawn from all its transcripts.
        ids: the utterances.
        seed: of noise and word errors.
        progress: shows how many recordings are read, and how many conditions are done.

    Returns:
        The rows of `robustness`.

    Raises:
        DatasetError: an unknown id, or a recording that is gone or cannot be read.
    """
    wanted = set(ids)
    utterances = [row for row in dataset.rows if row.id in wanted]
    if unknown := wanted - {row.id for row in utterances}:
        raise DatasetError(f"{dataset.folder} holds no utterance '{min(unknown)}'")
    hears, reads = bundle.recipe.speech is not None, bundle.recipe.text is not None
    nothing: list[np.ndarray | None] = [None] * len(utterances)
    return robustness(
        bundle.predict_probabilities,
        utterances,
        _decode_all(dataset, utterances, progress) if hears else nothing,
        bundle.labels,
        hears=hears,
        reads=reads,
        cleaning=bundle.recipe.data.cleaning,
        vocabulary=count_words(row.transcript for row in dataset.rows),
        seed=seed,
        progress=progress,
    )


def robustness_table(rows: Sequence[Mapping[str, Any]], title: str) -> RenderableType:
    """The rows of `robustness` on a terminal, the voice's and the words' apart."""
    table = Table("condition", title=title, title_justify="left")
    for heading in ("UA", "WA", "unchanged", "n"):
        table.add_column(heading, justify="right")
    modality = rows[0]["modality"] if rows else ""
    for row in rows:
        if row["modality"] != modality:
            table.add_section()
            modality = row["modality"]
        shares = (f"{row[name]:.3f}" for name in ("ua", "wa", "unchanged"))
        table.add_row(row["condition"], *shares, str(row["n"]))
    return table


def _decode_all(
    dataset: Dataset, utterances: Sequence[Utterance], progress: Progress
) -> list[np.ndarray | None]:
    """The recordings; threads will do, since decoding and resampling let go of the interpreter."""
    waveforms: list[np.ndarray | None] = []
    with progress("reading recordings", len(utterances)) as advance, ThreadPoolExecutor() as pool:
        try:
            for waveform in pool.map(_decode, utterances):
                waveforms.append(waveform)
                advance(len(waveforms))
        except AudioError as error:
            pool.shutdown(cancel_futures=True)
            raise DatasetError(
                f"{dataset.folder}: distortions are made of the recordings, and {error}"
            ) from error
    return waveforms


def _decode(utterance: Utterance) -> np.ndarray | None:
    return None if utterance.audio is None else decode(utterance.audio)


def _judge(predict: Predict, heard: Sequence[Heard], labels: Sequence[str]) -> Predictions:
    utterances = [one.utterance for one in heard]
    probabilities = predict(
        [one.waveform for one in heard],
        [utterance.transcript for utterance in utterances],
        [utterance.words for utterance in utterances],
    )
    places = {label: place for place, label in enumerate(labels)}
    return Predictions(
        np.array([utterance.id for utterance in utterances]),
        np.array([places[utterance.label] for utterance in utterances]),
        np.asarray(probabilities),
        tuple(labels),
    )


def _row(
    name: str, modality: Modality, after: Predictions, answers: Mapping[str, int]
) -> dict[str, Any]:
    figures = score(after)
    same = [answers[id] == now for id, now in zip(after.ids, after.predicted, strict=True)]
    return {
        "condition": name,
        "modality": modality,
        "ua": figures["ua"],
        "wa": figures["wa"],
        "unchanged": float(np.mean(same)),
        "n": figures["n"],
    }
