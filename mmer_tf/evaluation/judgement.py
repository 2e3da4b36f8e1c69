"""What a run says of a split: of its own data, or of another corpus."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmer_tf.bundle import Bundle, read_encoders
from mmer_tf.corpora.labels import LabelSelection
from mmer_tf.data.manifest import Dataset, read_dataset
from mmer_tf.data.prepare import ensure_features
from mmer_tf.data.progress import Progress, silent
from mmer_tf.evaluation.cross_corpus import (
    EvaluationError,
    known_classes,
    map_classes,
    read_label_map,
)
from mmer_tf.evaluation.evaluate import predict_ids
from mmer_tf.evaluation.predictions import Predictions, restrict
from mmer_tf.feasibility import usable_rows
from mmer_tf.remote import as_path
from mmer_tf.run_files import read_split


@dataclass(frozen=True)
class Question:
    """What runs are asked to judge.

    Args:
        data: prepared data set; None is each run's own.
        split: "train", "validation", "test" or "all"; None is the test split of the run's own
            data, and all of other data.
        label_map: which of the run's classes are which of the data's, as `read_label_map` reads
            it; None where they have the same names.
        progress: shows how far missing features are computed.
    """

    data: Path | None = None
    split: str | None = None
    label_map: str | None = None
    progress: Progress = silent


@dataclass(frozen=True)
class Judged:
    """What one run says of a split.

    Args:
        run: its name.
        dataset: the utterances that it can judge, under its own names of the classes.
        split: which part of them was asked for.
        is_own: the run was divided on this data set.
        stored: the run's `split.json`.
        label_map: class of the run -> classes of the data; None where they have the same names.
        notes: what a reader of the figures must know.
        predictions: its answers.
    """

    run: str
    dataset: Dataset
    split: str
    is_own: bool
    stored: Mapping[str, Any]
    label_map: Mapping[str, Sequence[str]] | None
    notes: tuple[str, ...]
    predictions: Predictions

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.dataset.folder.resolve().name

    @property
    def is_own_test(self) -> bool:
        """What the run's own report is of."""
        return self.is_own and self.split == "test"

    @property
    def ids(self) -> list[str]:
        """The utterances that were judged."""
        return self.predictions.ids.tolist()


def open_run(run: Path, weights: Sequence[tuple[str, str]] = ()) -> Bundle:
    """The classifier of a run.

    Args:
        run: its folder.
        weights: encoder of stored hidden states -> where its weights lie now; of encoders that
            this run does not read too.

    Raises:
        BundleError: no finished run.
    """
    bundle = Bundle.load(run)
    return bundle.with_weights(
        {name: place for name, place in weights if f"{name}_states" in bundle.encoders}
    )


def judge(bundle: Bundle, run: Path, question: Question) -> Judged:
    """Let a run answer for a split.

    Args:
        bundle: its classifier.
        run: its folder.
        question: what it is asked.

    Raises:
        EvaluationError: the run and the data do not go together.
        RunFileError: the run does not say who was tested.
        DatasetError: the data cannot be read.
    """
    stored = read_split(run)
    data = question.data or as_path(stored["data"])
    manifest = read_dataset(data)
    is_own = manifest.digest == stored.get("data_digest")  # also a copy, or a folder that moved
    label_map = None
    if question.label_map is not None:
        if is_own:
            raise EvaluationError(
                f"--map is for the classes of another corpus, and {data} is the data that "
                f"{run.name} was divided on"
            )
        label_map = read_label_map(question.label_map, manifest, bundle.labels, run.name)
    _in_own_words(manifest, bundle, run.name, label_map)  # a mistake is told before any work
    dataset = ensure_features(data, bundle.missing_from(manifest), question.progress)
    dataset, map_notes = _in_own_words(dataset, bundle, run.name, label_map)
    dataset, notes = usable_rows(bundle.recipe, dataset)
    split = question.split or ("test" if is_own else "all")
    if split == "all":
        ids = [row.id for row in dataset.rows]
    elif is_own:
        ids = stored[split]
    else:
        raise EvaluationError(
            f"{dataset.folder} is not the data that {run.name} was divided on; "
            "--split all evaluates on the whole of it"
        )
    if is_own:
        notes = list(stored["notes"])
    else:
        notes = [*(f"training: {note}" for note in stored["notes"]), *map_notes, *notes]
    if split in ("train", "all") and is_own:
        notes.append("holds utterances that the model was trained on: not a result")
    return Judged(
        run=run.name,
        dataset=dataset,
        split=split,
        is_own=is_own,
        stored=stored,
        label_map={name: list(labels) for name, labels in label_map.classes} if label_map else None,
        notes=tuple(notes),
        predictions=predict_ids(bundle, dataset, ids),
    )


def _in_own_words(
    dataset: Dataset, bundle: Bundle, run: str, label_map: LabelSelection | None
) -> tuple[Dataset, list[str]]:
    """The data set under the run's names of its classes, and what must be said about it."""
    if label_map is not None:
        return map_classes(dataset, label_map, bundle.labels)
    return known_classes(dataset, bundle.labels, bundle.recipe.data.labels, run), []


def judge_unseen(bundle: Bundle, run: Path, question: Question) -> Judged:
    """A member's answers to a vote, without those for utterances that it was trained on.

    Raises:
        EvaluationError: the run and the data do not go together, or the split is one that the
            run was trained on.
    """
    judged = judge(bundle, run, question)
    if judged.is_own:
        if judged.split in ("train", "all"):
            raise EvaluationError(
                f"{judged.run} was trained on {judged.data}, and --split {judged.split} would mix "
                "what it has learnt into the vote; an ensemble takes --split test or validation"
            )
        return judged
    seen = {*judged.stored["train"], *judged.stored["validation"]} & set(judged.ids)
    if not seen:
        return judged
    note = f"utterances left out because {judged.run} was trained on them: {len(seen)}"
    unseen = restrict(judged.predictions, set(judged.ids) - seen)
    return dataclasses.replace(judged, predictions=unseen, notes=(*judged.notes, note))


def comparable(members: Sequence[Judged], data: Path | None) -> list[Judged]:
    """The members' answers for the utterances that they can judge together.

    On data that is its own, a member judges what it tested. Where there is such a member, the
    others judge no more than that; without one, all judge what each of them can.

    Args:
        members: of a vote.
        data: the data set that was asked for; None is each member's own.

    Raises:
        EvaluationError: the members' own data sets differ, or no utterance is left.
    """
    for other in members[1:]:
        digests = [one.stored.get("data_digest") for one in (members[0], other)]
        if data is None and digests[0] != digests[1]:
            raise EvaluationError(
                f"{members[0].run} and {other.run} were divided on different data sets; "
                "name the one to evaluate on with --data"
            )
    ids = {own: [set(one.ids) for one in members if one.is_own == own] for own in (True, False)}
    tested, readable = set().union(*ids[True]), ids[False]
    common = set.intersection(*readable, *([tested] if tested else []))
    if not common:
        raise EvaluationError("no utterance is left that all of the runs can judge")
    return [
        dataclasses.replace(one, predictions=restrict(one.predictions, common)) for one in members
    ]


def require_readers(folders: Sequence[Path], weights: Sequence[tuple[str, str]]) -> None:
    """Refuse weights that nobody would read.

    Raises:
        EvaluationError: weights of an encoder whose states none of the runs reads.
    """
    read = {name for folder in folders for name in read_encoders(folder)}
    for encoder, source in weights:
        if f"{encoder}_states" not in read and all(folder.is_dir() for folder in folders):
            raise EvaluationError(
                f"--weights {encoder}={source}: no stored hidden states of '{encoder}' are read; "
                f"those that are: {', '.join(sorted(read)) or 'none'}"
            )
