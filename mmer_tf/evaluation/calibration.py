"""Whether a classifier is right as often as it is sure (Guo et al. 2017, arXiv 1706.04599)."""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from mmer_tf.evaluation.predictions import Predictions

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.1, 10.0
"""Few utterances can ask for any temperature; beyond these it is their chance that speaks."""


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that makes the true classes most likely (section 4.2 of the paper).

    The mean negative log likelihood of softmax(logits / T) is convex in 1 / T, so its minimum
    between `LOWEST_TEMPERATURE` and `HIGHEST_TEMPERATURE` is the only one. Where every utterance
    is answered rightly it falls as far as T does: such utterances tell nothing about doubt, and
    the temperature stays 1. The most probable classes are the same at any temperature.

    Args:
        logits: (n, classes) of utterances that the weights were not fitted to.
        targets: (n,) the true classes.

    Raises:
        ValueError: a logit is not finite, or there is not one target a row.
    """
    logits, targets = np.asarray(logits, "float64"), np.asarray(targets)
    if logits.ndim != 2 or len(logits) != len(targets):
        raise ValueError(
            "`logits` must be (n, classes) with n targets. "
            f"Received: {logits.shape} and {len(targets)} targets."
        )
    if not np.isfinite(logits).all():
        raise ValueError("`logits` must be finite. Received: NaN or infinite ones.")
    if (logits.argmax(axis=1) == targets).all():
        return 1.0
    rows = np.arange(len(targets))

    def negative_log_likelihood(inverse: float) -> float:
        return -log_softmax(logits * inverse, axis=1)[rows, targets].mean()

    bounds = (1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE)
    found = minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    # The search never tries a bound itself.
    best = min((*bounds, float(found.x)), key=negative_log_likelihood)
    return 1 / best


def logits_of(predictions: Predictions) -> np.ndarray:
    """(n, classes) the logits behind probabilities of temperature 1, but for a constant a row.

    A constant a row changes no softmax, so that `fit_temperature` takes them as they are.
    """
    return np.log(np.maximum(predictions.probabilities, np.finfo("float64").tiny))


def soften(predictions: Predictions, temperature: float) -> Predictions:
    """The same answers at another temperature: above 1 less sure, below 1 more.

    Answers of a bundle of temperature T become those of the raw model by `soften(answers, 1 / T)`.

    Raises:
        ValueError: `temperature` <= 0.
    """
    if temperature <= 0:
        raise ValueError(f"`temperature` must be > 0. Received: {temperature}.")
    probabilities = softmax(logits_of(predictions) / temperature, axis=1)
    return dataclasses.replace(predictions, probabilities=probabilities)


def reliability(predictions: Predictions, bins: int = 15) -> list[dict[str, float]]:
    """How often answers are right that are equally sure: the points of a reliability diagram.

    Args:
        predictions: n answers.
        bins: of equal width over the probability of the answer; each holds its upper edge.

    Returns:
        For each bin that holds answers, in order: its edges `low` and `high`, mean probability
        of the answers (`confidence`), share of right ones (`accuracy`) and their number `n`.

    Raises:
        ValueError: `bins` < 1.
    """
    if bins < 1:
        raise ValueError(f"`bins` must be >= 1. Received: {bins}.")
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.predicted == predictions.targets
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)  # (n,) number of the bin
    return [
        {
            "low": float(edges[number]),
            "high": float(edges[number + 1]),
            "confidence": float(confidence[place == number].mean()),
            "accuracy": float(right[place == number].mean()),
            "n": int((place == number).sum()),
        }
        for number in np.unique(place)
    ]


def expected_calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their answers.

    Eq. 3 of the paper; 0 is perfect.
    """
    found = reliability(predictions, bins)
    gaps = [abs(one["accuracy"] - one["confidence"]) for one in found]
    return float(np.average(gaps, weights=[one["n"] for one in found]))
