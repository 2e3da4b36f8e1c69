"""The field's figures, by scikit-learn's definitions.

WA (weighted accuracy) is the accuracy over utterances; UA (unweighted accuracy) is the mean of
the per-class recalls.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from mmer_tf.evaluation.predictions import Predictions


def score(predictions: Predictions) -> dict[str, Any]:
    """Metrics of one set of predictions.

    Classes that do not occur among the targets have no recall, so they are left out of UA and of
    every macro average; they are listed under `absent_classes`. A class that is never predicted
    has precision 0.

    Returns:
        `wa, ua`, `macro_` and `weighted_` with each of `precision, recall, f1`, `loss` (mean
        negative log likelihood), `n, labels, per_class, confusion_matrix,
        confusion_matrix_normalised, absent_classes`; rows of the matrices are true classes,
        columns predicted ones; a row of the normalised one sums to 1, or is 0 for an absent class.
    """
    labels = predictions.labels
    targets, predicted = predictions.targets, predictions.predicted
    classes = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=classes, zero_division=0.0
    )
    occurs = support > 0
    clipped = np.clip(predictions.probabilities, 1e-7, 1.0)
    counts = confusion_matrix(targets, predicted, labels=classes)
    return {
        "wa": float(np.mean(targets == predicted)),
        "ua": float(recall[occurs].mean()),
        "macro_precision": float(precision[occurs].mean()),
        "macro_recall": float(recall[occurs].mean()),
        "macro_f1": float(f1[occurs].mean()),
        "weighted_precision": float(np.average(precision, weights=support)),
        "weighted_recall": float(np.average(recall, weights=support)),
        "weighted_f1": float(np.average(f1, weights=support)),
        "loss": float(
            log_loss(targets, clipped / clipped.sum(axis=1, keepdims=True), labels=classes)
        ),
        "n": len(targets),
        "labels": list(labels),
        "per_class": {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "n": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion_matrix": counts.tolist(),
        "confusion_matrix_normalised": (
            counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        ).tolist(),
        "absent_classes": [label for label, here in zip(labels, occurs, strict=True) if not here],
    }


def score_groups(
    predictions: Predictions, groups: Mapping[str, str | None]
) -> dict[str, dict[str, float]]:
    """WA and UA of each speaker, each gender, or whatever the utterances are grouped by.

    UA of a group is the mean recall over the classes that occur in the group.

    Args:
        predictions: n answers.
        groups: id -> its group; utterances of no known group are left out.

    Returns:
        Group, sorted -> `wa, ua, n`.
    """
    targets, right = predictions.targets, predictions.predicted == predictions.targets
    group = np.array([groups.get(str(id)) or "" for id in predictions.ids])
    scores = {}
    for name in sorted(set(group.tolist()) - {""}):
        here = group == name
        recalls = [right[here & (targets == k)].mean() for k in np.unique(targets[here])]
        scores[name] = {
            "wa": float(right[here].mean()),
            "ua": float(np.mean(recalls)),
            "n": int(here.sum()),
        }
    return scores


SUMMARISED = ("wa", "ua", "macro_f1", "weighted_f1", "loss")


def mean_and_deviation(
    reports: Sequence[Mapping[str, Any]], figures: Sequence[str] = SUMMARISED
) -> dict[str, dict[str, float]]:
    """Mean and sample deviation (n − 1) of each figure over folds or seeds."""
    return {
        name: {
            "mean": float(np.mean([report[name] for report in reports])),
            "deviation": (
                float(np.std([report[name] for report in reports], ddof=1))
                if len(reports) > 1
                else 0.0
            ),
        }
        for name in figures
    }
