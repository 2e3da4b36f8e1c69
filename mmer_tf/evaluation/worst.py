"""The wrong answers that a classifier was surest of."""

from collections.abc import Sequence
from typing import Any

from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.types import Utterance

MOST = 12


def worst_confusions(
    predictions: Predictions, utterances: Sequence[Utterance] = (), most: int = MOST
) -> list[dict[str, Any]]:
    """Wrong answers, the most confident first; an utterance that was judged twice stands once.

    Args:
        predictions: n answers.
        utterances: whose transcripts and recordings are told, as far as they are among them.
        most: how many are told.

    Returns:
        For each `id, true, predicted, probability` (of the predicted class), `transcript`, and
        `audio`, the path of the recording; both None where they are not known.
    """
    known = {utterance.id: utterance for utterance in utterances}
    predicted = predictions.predicted
    wrong = [
        (float(predictions.probabilities[row, predicted[row]]), str(predictions.ids[row]), row)
        for row in (predicted != predictions.targets).nonzero()[0]
    ]
    worst: dict[str, dict[str, Any]] = {}
    for probability, id, row in sorted(wrong, key=lambda entry: (-entry[0], entry[1])):
        if id in worst:
            continue
        if len(worst) == most:
            break
        utterance = known.get(id)
        audio = utterance.audio if utterance else None
        worst[id] = {
            "id": id,
            "true": predictions.labels[predictions.targets[row]],
            "predicted": predictions.labels[predicted[row]],
            "probability": probability,
            "transcript": utterance.transcript if utterance else None,
            "audio": str(audio) if audio else None,
        }
    return list(worst.values())
