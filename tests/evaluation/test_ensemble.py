"""Votes by hand and by scikit-learn's VotingClassifier; utterances that do not fit together."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder

from mmer_tf.cli import console
from mmer_tf.evaluation.ensemble import (
    EnsembleError,
    combine,
    ensemble_table,
    figures,
    majority_vote,
    mean_probability,
)
from mmer_tf.evaluation.predictions import Predictions, restrict

LABELS = ("angry", "happy", "sad")


def answers(rows, ids=None, targets=None, labels=LABELS) -> Predictions:
    ids = ids or [f"u{i}" for i in range(len(rows))]
    targets = np.zeros(len(rows), int) if targets is None else np.array(targets)
    return Predictions(np.array(ids), targets, np.array(rows, float), labels)


def random_members(count: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([0.5] * 3, (count, n))


class Fixed(ClassifierMixin, BaseEstimator):
    """A fitted classifier that knows its answers: x is the number of the row."""

    def __init__(self, probabilities=None):
        self.probabilities = probabilities

    def predict_proba(self, x):
        return self.probabilities[x[:, 0]]

    def predict(self, x):
        return self.predict_proba(x).argmax(axis=1)


def voting(probabilities: np.ndarray, rule: str) -> VotingClassifier:
    members = [Fixed(one) for one in probabilities]
    classifier = VotingClassifier([(str(i), one) for i, one in enumerate(members)], voting=rule)
    classifier.estimators_ = members
    classifier.le_ = LabelEncoder().fit(range(3))
    classifier.classes_ = classifier.le_.classes_
    return classifier


@pytest.mark.parametrize("count", [2, 3, 5])
def test_mean_is_scikit_learns_soft_vote(count):
    members, rows = random_members(count, 40), np.arange(40)[:, None]
    soft = voting(members, "soft")
    np.testing.assert_allclose(mean_probability(members), soft.predict_proba(rows), atol=1e-12)
    np.testing.assert_array_equal(mean_probability(members).argmax(axis=1), soft.predict(rows))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_majority_is_scikit_learns_hard_vote_where_there_is_no_draw(count):
    members = random_members(count, 200)
    hard = voting(members, "hard").predict(np.arange(200)[:, None])
    votes = np.array([np.bincount(row, minlength=3) for row in members.argmax(axis=2).T])
    clear = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    assert 20 < clear.sum() < 200
    np.testing.assert_array_equal(majority_vote(members).argmax(axis=1)[clear], hard[clear])


def test_majority_and_draws_by_hand():
    members = np.array(
        [
            # two votes against one sure one   draw of angry and sad   three ways
            [[0.4, 0.3, 0.3], [0.6, 0.0, 0.4], [0.5, 0.3, 0.2]],
            [[0.4, 0.3, 0.3], [0.2, 0.1, 0.7], [0.1, 0.8, 0.1]],
            [[0.0, 0.0, 1.0], [0.2, 0.5, 0.3], [0.2, 0.2, 0.6]],
        ]
    )
    # Means of the second: 1/3, 0.2, 1.4/3, one vote each; of the third: 0.8, 1.3, 0.9 thirds.
    voted = majority_vote(members)
    assert list(voted.argmax(axis=1)) == [0, 2, 1]
    assert list(mean_probability(members).argmax(axis=1)) == [2, 2, 1]
    # Two of three votes and the mean, in quarters: (2 + 0.8 / 3) / 4.
    assert voted[0] == pytest.approx([0.5666667, 0.05, 0.3833333], abs=1e-6)
    np.testing.assert_allclose(voted.sum(axis=1), 1.0)


def test_a_vote_outweighs_any_mean():
    """The most extreme case: four weak votes against three certain ones."""
    weak, certain = [0.34, 0.33, 0.33], [0.0, 1.0, 0.0]
    members = np.array([[weak]] * 4 + [[certain]] * 3)
    assert majority_vote(members).argmax() == 0
    assert mean_probability(members).argmax() == 1


def test_classes_in_another_order_are_reordered_by_name():
    first = answers([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], targets=[0, 2])
    second = answers(
        [[0.1, 0.5, 0.4], [0.9, 0.0, 0.1]], targets=[1, 0], labels=("sad", "angry", "happy")
    )
    mean = combine({"a": first, "b": second})["mean"]
    assert mean.labels == LABELS
    assert list(mean.targets) == [0, 2]
    np.testing.assert_allclose(mean.probabilities, [[0.6, 0.3, 0.1], [0.05, 0.35, 0.6]])


def test_each_utterance_is_judged_by_the_runs_of_its_fold():
    """Two folds, two seeds each; the members list their utterances in any order."""
    p = random_members(4, 2)
    votes = combine(
        {
            "fold0-seed0": answers(p[0], ["c", "a"], [2, 0]),
            "fold0-seed1": answers(p[1], ["a", "c"], [0, 2]),
            "fold1-seed0": answers(p[2], ["b", "d"], [1, 0]),
            "fold1-seed1": answers(p[3], ["b", "d"], [1, 0]),
        }
    )
    for one in votes.values():
        assert list(one.ids) == ["a", "b", "c", "d"]
        assert list(one.targets) == [0, 1, 2, 0]
    expected = [p[0, 1] + p[1, 0], p[2, 0] + p[3, 0], p[0, 0] + p[1, 1], p[2, 1] + p[3, 1]]
    np.testing.assert_allclose(votes["mean"].probabilities, np.array(expected) / 2)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": answers([[1, 0, 0]])}, "at least two runs"),
        (
            {"a": answers([[1, 0, 0]]), "b": answers([[1, 0, 0]], labels=("angry", "sad", "calm"))},
            "b knows the classes angry, sad, calm and a knows angry, happy, sad",
        ),
        (
            {"a": answers([[1, 0, 0]]), "b": answers([[1, 0, 0]], targets=[1])},
            "'u0' is angry for a and happy for b",
        ),
        (
            {"fold0": answers([[1, 0, 0]], ["x"]), "fold1": answers([[1, 0, 0]], ["y"])},
            "fold0 and fold1 tested different utterances",
        ),
        (
            {
                "fold0-seed0": answers([[1, 0, 0]], ["x"]),
                "fold0-seed1": answers([[1, 0, 0]], ["x"]),
                "fold1-seed0": answers([[1, 0, 0]], ["y"]),
            },
            "'y' is judged by 1 of the 3 runs",
        ),
        (
            {
                "a": answers([[1, 0, 0]] * 2, ["x", "y"]),
                "b": answers([[1, 0, 0]] * 2, ["x", "y"]),
                "c": answers([[1, 0, 0]], ["x"]),
            },
            "'y' is judged by 2 of the 3 runs",
        ),
    ],
)
def test_members_that_do_not_fit_together(members, message):
    with pytest.raises(EnsembleError, match=message):
        combine(members)


def test_restricting_keeps_rows_together():
    kept = restrict(answers(np.eye(3), ["c", "a", "b"], [2, 1, 0]), {"b", "c", "z"})
    assert list(kept.ids) == ["c", "b"]
    assert list(kept.targets) == [2, 0]
    np.testing.assert_array_equal(kept.probabilities, np.eye(3)[[0, 2]])


def test_table_shows_every_member_and_both_rules():
    members = {
        "first": answers([[0.9, 0.1, 0], [0.6, 0.4, 0], [0.8, 0.2, 0]], targets=[0, 1, 1]),
        "second": answers([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.4, 0.6, 0]], targets=[0, 1, 1]),
    }
    votes = combine(members)
    assert figures(members["second"]) == {"wa": 1.0, "ua": 1.0, "n": 3}
    assert figures(votes["mean"]) == pytest.approx({"wa": 2 / 3, "ua": 3 / 4, "n": 3})
    with console.capture() as captured:
        console.print(ensemble_table(members, votes, "both"))
    rows = [line for line in captured.get().splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert cells == [
        ["first", "0.333", "0.500", "3"],
        ["second", "1.000", "1.000", "3"],
        ["majority vote", "0.667", "0.750", "3"],
        ["mean probability", "0.667", "0.750", "3"],
    ]
