"""Averages and groups by scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

from mmer_tf.evaluation.metrics import score, score_groups
from mmer_tf.evaluation.predictions import Predictions

LABELS = ("angry", "happy", "neutral", "sad")


def random_answers(classes: int = 4, n: int = 80, seed: int = 0) -> Predictions:
    """Answers of four classes, of which the first `classes` occur."""
    random = np.random.default_rng(seed)
    ids = np.array([f"u{i:03d}" for i in range(n)])
    return Predictions(ids, random.integers(0, classes, n), random.dirichlet([0.5] * 4, n), LABELS)


@pytest.mark.parametrize("occurring", [4, 3, 1])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_are_scikit_learns_over_the_classes_that_occur(occurring, average):
    p = random_answers(occurring)
    figures = precision_recall_fscore_support(
        p.targets, p.predicted, average=average, labels=range(occurring), zero_division=0.0
    )
    report = score(p)
    ours = [report[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
    assert ours == pytest.approx(list(figures[:3]))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.parametrize("occurring", [4, 3])
def test_ua_is_balanced_accuracy_and_macro_recall_and_wa_is_weighted_recall(occurring):
    p = random_answers(occurring)
    report = score(p)
    assert report["ua"] == pytest.approx(balanced_accuracy_score(p.targets, p.predicted))
    assert report["ua"] == report["macro_recall"]
    assert report["wa"] == pytest.approx(report["weighted_recall"])


def test_matrices_are_scikit_learns():
    p = random_answers(3)
    for key, normalise in (("confusion_matrix", None), ("confusion_matrix_normalised", "true")):
        expected = confusion_matrix(p.targets, p.predicted, labels=range(4), normalize=normalise)
        np.testing.assert_allclose(score(p)[key], expected)
    assert score(p)["confusion_matrix_normalised"][3] == [0.0] * 4  # no `sad` among the targets


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_groups_are_scored_alone():
    p = random_answers()
    names = np.random.default_rng(1).choice(["b", "a", "c"], len(p.ids))
    groups = dict(zip(p.ids.tolist(), names.tolist(), strict=True))
    groups["u000"] = None
    del groups["u001"]
    scores = score_groups(p, groups)
    assert list(scores) == ["a", "b", "c"]
    for name, figures in scores.items():
        here = np.array([groups.get(id) == name for id in p.ids.tolist()])
        targets, predicted = p.targets[here], p.predicted[here]
        assert figures == pytest.approx(
            {
                "wa": accuracy_score(targets, predicted),
                "ua": balanced_accuracy_score(targets, predicted),
                "n": here.sum(),
            }
        )
    assert sum(figures["n"] for figures in scores.values()) == 78


def test_no_known_group_gives_no_scores():
    assert score_groups(random_answers(), {}) == {}
