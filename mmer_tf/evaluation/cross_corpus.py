"""The classes of a data set in the words of a run that was trained on another."""

from collections.abc import Sequence

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.labels import LabelSelection, parse_labels
from mmer_tf.data.manifest import Dataset


class EvaluationError(ValueError):
    """A run and a data set that do not go together."""


def known_classes(
    dataset: Dataset, known: Sequence[str], selection: str | None, run: str
) -> Dataset:
    """The data set with the classes of the run, selected as for its training where need be.

    Args:
        dataset: whose classes carry the run's names.
        known: the run's classes.
        selection: the run's `data.labels`.
        run: its name.

    Raises:
        EvaluationError: a class that the run does not know.
    """
    if selection and not set(dataset.labels) <= set(known):
        dataset = dataset.select(parse_labels(selection))
    unknown = sorted(set(dataset.labels) - set(known))
    if unknown:
        raise EvaluationError(
            f"{dataset.folder} has the class '{unknown[0]}', which {run} does not know; "
            f"it knows {', '.join(known)}: say with --map which class is which, or prepare the "
            "data with matching --labels"
        )
    return dataset


def read_label_map(text: str, dataset: Dataset, known: Sequence[str], run: str) -> LabelSelection:
    """Which of the run's classes are which of another corpus's, from `ang=anger,hap=joy+fun`.

    Left of the sign stands a class of the run, right of it what the other corpus calls it; several
    that count as one are joined by `+`. `sad` alone is short for `sad=sad`.

    Args:
        text: as typed.
        dataset: of the other corpus.
        known: the run's classes.
        run: its name.

    Raises:
        EvaluationError: a class that one of the two does not have, or that is given twice.
    """
    try:
        found = parse_labels(text)
    except CorpusError as error:
        raise EvaluationError(f"--map: {error}") from error
    strange = [(name, run) for name in found.names if name not in known]
    theirs = {label for _, members in found.classes for label in members}
    strange += [(label, str(dataset.folder)) for label in sorted(theirs - set(dataset.labels))]
    if strange:
        name, who = strange[0]
        raise EvaluationError(
            f"--map: '{name}' is no class of {who}; left of = stands one of the run's classes "
            f"({', '.join(known)}), right of it the data's ({', '.join(dataset.labels)})"
        )
    return found


def map_classes(
    dataset: Dataset, label_map: LabelSelection, known: Sequence[str]
) -> tuple[Dataset, list[str]]:
    """The utterances whose class has a place in the map, under the run's names.

    Args:
        dataset: of the other corpus.
        label_map: of `read_label_map`.
        known: the run's classes; those without a place stay possible answers, and wrong ones.

    Returns:
        The data set, and what a reader of the figures must know.
    """
    counts = dataset.count("label")
    taken = {label for _, members in label_map.classes for label in members}
    notes = [
        f"utterances left out because --map gives their class no place: {counts[label]} {label}"
        for label in dataset.labels
        if label not in taken and counts[label]
    ]
    if unused := [name for name in known if name not in label_map.names]:
        notes.append(
            f"--map gives {', '.join(unused)} no place: possible answers, which are always wrong"
        )
    return dataset.select(label_map), notes
