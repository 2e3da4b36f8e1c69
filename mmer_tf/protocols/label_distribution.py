"""Whether the classes are alike in the parts of a split."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from scipy.special import chdtrc

from mmer_tf.protocols.finding import Finding

SHIFT = 0.1
"""Total variation distance from which a shift is told, where it is no chance either."""

CHANCE = 0.01
"""Probability below which a shift is no chance."""


def missing_classes(labels: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Classes that a part lacks though another has them. An empty part is no matter of classes.

    Args:
        labels: part -> label of each of its utterances.
    """
    known = set(chain.from_iterable(labels.values()))
    for part, values in labels.items():
        if values and (lacking := known - set(values)):
            yield Finding(
                "missing class",
                "note",
                f"classes that no utterance of {part} has",
                len(lacking),
                tuple(sorted(lacking)),
            )


def shifted_labels(labels: Mapping[str, Sequence[str]], first: str) -> Iterator[Finding]:
    """Parts whose shares of the classes differ from those of the first, beyond chance.

    Told where the total variation distance of the two distributions, half the sum of the
    absolute differences of their shares, is 0.1 or more and Pearson's chi-squared test of
    homogeneity rejects at 0.01. The test takes utterances as independent, which those of one
    speaker are not quite.

    Args:
        labels: part -> label of each of its utterances.
        first: the part with which the others are compared.
    """
    for part, values in labels.items():
        if part == first or not values or not labels[first]:
            continue
        distance, chance = compare_distributions(labels[first], values)
        if distance >= SHIFT and chance < CHANCE:
            yield Finding(
                "label shift",
                "note",
                f"the classes have other shares in {part} than in {first}",
                1,
                (f"total variation distance {distance:.2f}, p = {chance:.1g}",),
            )


def compare_distributions(one: Sequence[str], other: Sequence[str]) -> tuple[float, float]:
    """Total variation distance of two samples of labels, and p of the chi-squared test.

    Args:
        one, other: a label for each utterance, at least one on each side.
    """
    names = sorted({*one, *other})
    counts = np.array([[Counter(side)[name] for name in names] for side in (one, other)], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if len(names) == 1:
        return distance, 1.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = (np.square(counts - expected) / expected).sum()
    return distance, float(chdtrc(len(names) - 1, statistic))
