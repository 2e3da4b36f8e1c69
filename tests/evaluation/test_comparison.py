"""Two classifiers on the same utterances: by hand, by binomial sums and by a plain resampling."""

from math import comb

import numpy as np
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmer_tf.cli import console
from mmer_tf.evaluation.comparison import (
    ComparisonError,
    compare,
    comparison_table,
    mcnemar,
    pair,
    paired_bootstrap,
)
from mmer_tf.evaluation.predictions import Predictions

LABELS = ("angry", "happy", "sad")


def answers(predicted, targets, ids=None, labels=LABELS) -> Predictions:
    ids = [f"u{i:03d}" for i in range(len(predicted))] if ids is None else ids
    return Predictions(np.array(ids), np.array(targets), np.eye(3)[list(predicted)], labels)


def two_judges(n: int = 200, gain: float = 0.15, seed: int = 0):
    """The second is right less often; the utterances are of 20 speakers."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, n)
    judges = []
    for share in (0.5 + gain, 0.5):
        wrong = (targets + random.integers(1, 3, n)) % 3
        judges.append(answers(np.where(random.random(n) < share, targets, wrong), targets))
    speakers = {f"u{i:03d}": f"s{i % 20}" for i in range(n)}
    return *judges, speakers


def test_mcnemar_is_a_sum_of_binomials():
    """Nine differ: the first alone is right in eight of them. Both tails hold 0 or 1, 8 or 9."""
    targets = [0] * 14
    first = answers([0] * 3 + [0] * 8 + [1] + [1] * 2, targets)
    second = answers([0] * 3 + [1] * 8 + [0] + [2] * 2, targets)
    found = mcnemar(first, second)
    counts = {name: found[name] for name in ("both_right", "only_first", "only_second")}
    assert counts == {"both_right": 3, "only_first": 8, "only_second": 1}
    assert found["both_wrong"] == 2
    assert found["p"] == pytest.approx(2 * (comb(9, 0) + comb(9, 1)) / 2**9)
    assert mcnemar(second, first)["p"] == found["p"]


def test_mcnemar_is_the_permutation_test_of_pairs():
    first, second, _ = two_judges(40)
    right = [(one.predicted == one.targets).astype(float) for one in (first, second)]
    theirs = permutation_test(
        right,
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    assert mcnemar(first, second)["p"] == pytest.approx(theirs.pvalue, abs=0.02)


def test_equal_judges_do_not_differ():
    first, _, speakers = two_judges()
    assert mcnemar(first, first)["p"] == 1.0
    found = paired_bootstrap(first, first, speakers)
    for figure in ("wa", "ua"):
        assert found[figure] == {"difference": 0.0, "interval": [0.0, 0.0], "p": 1.0}


def test_paired_bootstrap_is_a_plain_resampling():
    first, second, speakers = two_judges(gain=0.3)
    found = paired_bootstrap(first, second, speakers)
    assert (found["over"], found["groups"]) == ("speakers", 20)
    random, names = np.random.default_rng(5), sorted(set(speakers.values()))
    group = np.array([speakers[id] for id in first.ids.tolist()])
    rows = {name: np.flatnonzero(group == name) for name in names}
    scores = {"wa": accuracy_score, "ua": balanced_accuracy_score}
    differences = {figure: [] for figure in scores}
    for _ in range(250):
        drawn = np.concatenate([rows[name] for name in random.choice(names, len(names))])
        for figure, truth in scores.items():
            a, b = (truth(one.targets[drawn], one.predicted[drawn]) for one in (first, second))
            differences[figure].append(a - b)
    for figure, truth in scores.items():
        whole = truth(first.targets, first.predicted) - truth(second.targets, second.predicted)
        assert found[figure]["difference"] == pytest.approx(whole)
        low, high = np.quantile(differences[figure], [0.025, 0.975])
        assert found[figure]["interval"] == pytest.approx([low, high], abs=0.03)
        assert found[figure]["p"] < 0.05 and low > 0
    turned = paired_bootstrap(second, first, speakers)
    assert turned["ua"]["p"] == found["ua"]["p"]
    assert turned["ua"]["difference"] == -found["ua"]["difference"]


def test_two_speakers_by_hand():
    """The first is better by 1 on A and worse by 1 on B: a quarter of the resamples each, and
    half of them draw, which counts for either side: p = 2 · 3/4, at most 1."""
    targets = [0, 0]
    first, second = answers([0, 1], targets), answers([1, 0], targets)
    found = paired_bootstrap(first, second, {"u000": "A", "u001": "B"})
    expected = {"difference": 0.0, "interval": [-1.0, 1.0], "p": 1.0}
    assert found["ua"] == found["wa"] == expected


def test_speakers_move_together():
    """The same answers are less telling where one speaker makes all the difference."""
    targets = [0] * 40
    first = answers([0] * 40, targets)
    second = answers([1] * 10 + [0] * 30, targets)
    one_speaker = {f"u{i:03d}": f"s{i // 10}" for i in range(40)}
    spread = {f"u{i:03d}": f"s{i % 10}" for i in range(40)}
    p = [paired_bootstrap(first, second, groups)["wa"]["p"] for groups in (one_speaker, spread)]
    assert p[0] == pytest.approx(2 * 0.75**4, abs=0.02)  # the speaker is not drawn
    assert p[1] < 0.001


def test_only_common_utterances_count_in_any_order_of_ids_and_classes():
    first = answers([0, 1, 2, 0], [0, 1, 2, 2], ["d", "c", "b", "a"])
    second = Predictions(
        np.array(["a", "c", "e"]),
        np.array([0, 2, 1]),
        np.eye(3)[[2, 2, 1]],
        ("sad", "angry", "happy"),
    )
    one, other = pair(first, second)
    assert list(one.ids) == list(other.ids) == ["a", "c"]
    assert other.labels == LABELS
    assert list(one.targets) == list(other.targets) == [2, 1]
    assert (list(one.predicted), list(other.predicted)) == ([0, 1], [1, 1])
    told = compare(first, second, {"a": "A", "c": "C"}, ("one", "two"))
    assert (told["n"], [run["left_out"] for run in told["runs"]]) == (2, [2, 1])
    assert [run["wa"] for run in told["runs"]] == [0.5, 0.5]
    assert told["notes"] == [
        "utterances left out because one alone judged them: 2",
        "utterances left out because two alone judged them: 1",
        "2 speakers are few: intervals are too narrow and p too small",
    ]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (answers([0], [0], labels=("angry", "calm", "sad")), "beta knows angry, calm, sad"),
        (answers([0], [1]), "'u000' is angry for alpha and happy for beta"),
        (answers([0], [0], ["x"]), "alpha and beta tested different utterances"),
        (answers([0, 0], [0, 0], ["u000", "u000"]), "beta judges 'u000' 2 times"),
    ],
)
def test_what_cannot_be_compared(second, message):
    with pytest.raises(ComparisonError, match=message):
        compare(answers([0], [0]), second, {}, ("alpha", "beta"))


def test_table_tells_what_was_found():
    first, second, speakers = two_judges()
    told = compare(first, second, {}, ("one", "two"))
    assert told["difference"]["over"] == "utterances"
    assert "speakers are not known" in told["notes"][0]
    told = compare(first, second, speakers, ("one", "two"))
    with console.capture() as captured:
        console.print(comparison_table(told, "one against two"))
    shown = captured.get()
    figures = told["difference"]["ua"]
    for expected in (
        f"{told['runs'][0]['ua']:.3f}",
        f"{figures['difference']:+.3f}",
        f"[{figures['interval'][0]:+.3f}, {figures['interval'][1]:+.3f}]",
        f"only the first {told['mcnemar']['only_first']}",
        "20 speakers",
    ):
        assert expected in shown
