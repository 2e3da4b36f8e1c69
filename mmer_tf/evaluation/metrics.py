"""The field's figures, by scikit-learn's definitions.

WA (weighted accuracy) is the accuracy over utterances; UA (unweighted accuracy) is the mean of
the per-class recalls.
"""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from mmer_tf.evaluation.predictions import Predictions


def score(predictions: Predictions) -> dict[str, Any]:
    """Metrics of one set of predictions.

    Classes that do not occur among the targets have no recall, so they are left out of UA and
    macro F1; they are listed under `absent_classes`.

    Returns:
        `wa, ua, macro_f1, weighted_f1, loss, n, labels, per_class, confusion_matrix,
        absent_classes`; rows of the matrix are true classes, columns predicted ones.
    """
    labels = predictions.labels
    targets, predicted = predictions.targets, predictions.predicted
    classes = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=classes, zero_division=0.0
    )
    occurs = support > 0
    clipped = np.clip(predictions.probabilities, 1e-7, 1.0)
    return {
        "wa": float(np.mean(targets == predicted)),
        "ua": float(recall[occurs].mean()),
        "macro_f1": float(f1[occurs].mean()),
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
        "confusion_matrix": confusion_matrix(targets, predicted, labels=classes).tolist(),
        "absent_classes": [label for label, here in zip(labels, occurs, strict=True) if not here],
    }


SUMMARISED = ("wa", "ua", "macro_f1", "weighted_f1", "loss")


def mean_and_deviation(reports: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
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
        for name in SUMMARISED
    }
