"""Several classifiers judge the same utterances: majority vote and mean probability.

Probabilities are averaged as each run answers them, divided by its own temperature first: a
member that is too sure of itself does not outvote the others.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import Predictions, reorder_classes

VOTES = {"majority": "majority vote", "mean": "mean probability"}
"""The rules, and what they are called in a table."""


class EnsembleError(ValueError):
    """Classifiers whose answers cannot be put together; says which and why."""


def majority_vote(probabilities: np.ndarray) -> np.ndarray:
    """Each member gives one vote, the mean over the members one more, in shares.

    The most probable class is the one with the most votes, and among classes with equally many
    the one of higher mean probability: the shares of the mean are below one vote. So the answer
    stays a distribution, whose loss is finite where nobody voted for the true class.

    Args:
        probabilities: (members, n, classes).

    Returns:
        (n, classes), each row summing to 1.
    """
    members, _, classes = probabilities.shape
    votes = np.eye(classes)[probabilities.argmax(axis=-1)].sum(axis=0)  # (n, classes)
    return (votes + probabilities.mean(axis=0)) / (members + 1)


def mean_probability(probabilities: np.ndarray) -> np.ndarray:
    """The mean over the members (Kittler et al. 1998, doi 10.1109/34.667881, sum rule).

    Args:
        probabilities: (members, n, classes).

    Returns:
        (n, classes), each row summing to 1.
    """
    return probabilities.mean(axis=0)


def combine(members: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """Put together what several runs say of each utterance.

    Runs of one fold judge the same utterances; of runs of several folds, each utterance is judged
    by those that tested it. Every utterance must have equally many judges, and at least two.

    Args:
        members: name of a run -> its answers; classes in any order.

    Returns:
        Rule of `VOTES` -> answers for all utterances, sorted by id, with the classes in the order
        of the first member.

    Raises:
        EnsembleError: fewer than two members, other classes, other true classes, or utterances
            that too few of the members judged.
    """
    if len(members) < 2:
        raise EnsembleError(f"an ensemble needs at least two runs. Received: {len(members)}.")
    names = list(members)
    labels = members[names[0]].labels
    answers: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    judges: defaultdict[str, list[str]] = defaultdict(list)
    targets: dict[str, int] = {}
    for name, predictions in members.items():
        ordered = _in_order(predictions, labels, name, names[0])
        for id, target, row in zip(
            ordered.ids, ordered.targets, ordered.probabilities, strict=True
        ):
            if targets.setdefault(str(id), int(target)) != target:
                raise EnsembleError(
                    f"utterance '{id}' is {labels[targets[id]]} for {judges[id][0]} and "
                    f"{labels[target]} for {name}; train them with the same `data.labels`"
                )
            answers[str(id)].append(row)
            judges[str(id)].append(name)
    _require_equally_many(judges, names)
    ids = sorted(answers)
    stacked = np.stack([answers[id] for id in ids], axis=1)  # (judges, n, classes)
    true = np.array([targets[id] for id in ids])
    return {
        "majority": Predictions(np.array(ids), true, majority_vote(stacked), labels),
        "mean": Predictions(np.array(ids), true, mean_probability(stacked), labels),
    }


def _in_order(
    predictions: Predictions, labels: Sequence[str], name: str, first: str
) -> Predictions:
    """The answers of one member with the classes in the order of `labels`."""
    if set(predictions.labels) != set(labels):
        raise EnsembleError(
            f"{name} knows the classes {', '.join(predictions.labels)} and {first} knows "
            f"{', '.join(labels)}; an ensemble needs the same classes"
        )
    return reorder_classes(predictions, labels)


def _require_equally_many(judges: Mapping[str, Sequence[str]], names: Sequence[str]) -> None:
    """Raise EnsembleError unless all utterances have equally many judges, two or more."""
    fewest = min(judges, key=lambda id: (len(judges[id]), id))
    if 2 <= len(judges[fewest]) == max(map(len, judges.values())):
        return
    other = next(name for name in names if name not in judges[fewest])
    raise EnsembleError(
        f"{judges[fewest][0]} and {other} tested different utterances, and "
        f"'{fewest}' is judged by {len(judges[fewest])} of the {len(names)} runs; give each fold "
        "equally many seeds, two or more, or --data with utterances that no run was trained on"
    )


def ensemble_table(
    members: Mapping[str, Predictions], votes: Mapping[str, Predictions], title: str
) -> RenderableType:
    """WA and UA of each member on what it judged, then of each rule."""
    table = Table("", title=title, title_justify="left")
    for heading in ("WA", "UA", "n"):
        table.add_column(heading, justify="right")
    for name, predictions in members.items():
        table.add_row(name, *_row(predictions))
    table.add_section()
    for rule, predictions in votes.items():
        table.add_row(VOTES[rule], *_row(predictions))
    return table


def figures(predictions: Predictions) -> dict[str, Any]:
    """WA, UA and the number of utterances, for a report of several classifiers."""
    return {name: value for name, value in score(predictions).items() if name in ("wa", "ua", "n")}


def _row(predictions: Predictions) -> tuple[str, str, str]:
    values = figures(predictions)
    return f"{values['wa']:.3f}", f"{values['ua']:.3f}", str(values["n"])
