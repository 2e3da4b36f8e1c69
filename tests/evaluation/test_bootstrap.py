"""Intervals whose resamples can be counted by hand, and scipy's bootstrap."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmer_tf.evaluation import bootstrap as bootstrap_module
from mmer_tf.evaluation.bootstrap import bootstrap_interval, choose_groups, intervals
from mmer_tf.evaluation.predictions import Predictions


def answers(targets, predicted, classes: int = 2) -> Predictions:
    ids = np.array([f"u{i}" for i in range(len(targets))])
    return Predictions(
        ids, np.array(targets), np.eye(classes)[list(predicted)], tuple("abcdef"[:classes])
    )


def random_answers(n: int = 300, speakers: int = 10, seed: int = 0):
    """Some speakers are understood well and some badly."""
    random = np.random.default_rng(seed)
    groups, targets = random.integers(0, speakers, n), random.integers(0, 4, n)
    right = random.random(n) < 0.3 + 0.06 * groups
    predicted = np.where(right, targets, random.integers(0, 4, n))
    return answers(targets, predicted, 4), [f"speaker{group}" for group in groups]


def test_two_speakers_by_hand():
    """A is always right, B never in class 1: UA is 1, 0.5, or for A and B pooled
    (3/3 + 1/4) / 2 = 0.625 with one and three utterances of class 1. Each pair is drawn in a
    quarter of the resamples, the mixed one in a half."""
    predictions = answers([0, 0, 1, 0, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0])
    speakers = ["A"] * 3 + ["B"] * 4
    assert bootstrap_interval(predictions, speakers) == (0.5, 1.0)
    assert bootstrap_interval(predictions, speakers, confidence=0.4) == (0.625, 0.625)
    # WA: 3/3, 1/4, and pooled 4/7.
    assert bootstrap_interval(predictions, speakers, "wa") == (0.25, 1.0)
    assert bootstrap_interval(predictions, speakers, "wa", confidence=0.4)[0] == 4 / 7


def test_class_that_a_speaker_lacks_is_left_out_of_its_resamples():
    predictions = answers([0, 0, 1, 1], [0, 1, 1, 1])  # A: UA 0.5 on class 0 alone; B: 1.0
    assert bootstrap_interval(predictions, ["A", "A", "B", "B"]) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("figure", "truth"), [("wa", accuracy_score), ("ua", balanced_accuracy_score)]
)
def test_interval_is_scipys(figure, truth):
    predictions, speakers = random_answers()
    members = [np.flatnonzero(np.array(speakers) == name) for name in sorted(set(speakers))]

    def statistic(drawn):
        rows = np.concatenate([members[int(i)] for i in drawn])
        return truth(predictions.targets[rows], predictions.predicted[rows])

    theirs = bootstrap(
        (np.arange(len(members)),),
        statistic,
        n_resamples=1000,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert bootstrap_interval(predictions, speakers, figure) == pytest.approx(theirs, abs=0.02)


def test_seed_decides_and_one_speaker_has_no_width():
    predictions, speakers = random_answers()
    first = bootstrap_interval(predictions, speakers, resamples=200)
    assert first == bootstrap_interval(predictions, speakers, resamples=200)
    assert first != bootstrap_interval(predictions, speakers, resamples=200, seed=1)
    alone = bootstrap_interval(predictions, ["one"] * 300)
    truth = balanced_accuracy_score(predictions.targets, predictions.predicted)
    assert alone == pytest.approx((truth, truth))


def test_mistakes():
    predictions, speakers = random_answers()
    with pytest.raises(ValueError, match=r"`groups` must name one .* Received: 299"):
        bootstrap_interval(predictions, speakers[1:])
    with pytest.raises(ValueError, match=r"`confidence` must be between 0 and 1. Received: 95"):
        bootstrap_interval(predictions, speakers, confidence=95)


def test_a_report_has_intervals_over_speakers():
    predictions, speakers = random_answers()
    known = dict(zip(predictions.ids.tolist(), speakers, strict=True))
    found = intervals(predictions, known)
    assert (found["over"], found["groups"]) == ("speakers", 10)
    for figure in ("wa", "ua"):
        assert found[figure] == list(bootstrap_interval(predictions, speakers, figure))


def test_without_two_known_speakers_utterances_are_drawn():
    predictions, speakers = random_answers()
    ids = predictions.ids.tolist()
    for known in ({}, dict.fromkeys(ids, None), dict.fromkeys(ids, "the only one")):
        found = intervals(predictions, known)
        assert (found["over"], found["groups"]) == ("utterances", 300)
    # Utterances of one speaker are alike, so drawing them apart is too narrow.
    over_speakers = intervals(predictions, dict(zip(ids, speakers, strict=True)))
    widths = [entry["ua"][1] - entry["ua"][0] for entry in (found, over_speakers)]
    assert widths[0] < widths[1]


def test_unknown_speakers_stand_for_themselves():
    predictions, _ = random_answers(5)
    over, groups = choose_groups(predictions, {"u0": "u4", "u1": "u4", "u2": "other"})
    assert over == "speakers"
    assert groups[0] == groups[1] and len(set(groups)) == 4


def test_many_groups_are_drawn_in_parts(monkeypatch):
    predictions, speakers = random_answers()
    whole = bootstrap_interval(predictions, speakers, resamples=4000)
    monkeypatch.setattr(bootstrap_module, "_NUMBERS_AT_ONCE", 70)  # seven resamples at a time
    assert bootstrap_interval(predictions, speakers, resamples=4000) == pytest.approx(
        whole, abs=0.01
    )
