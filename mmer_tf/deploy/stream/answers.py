"""What a classifier says of several windows, asked in the way that is fastest for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmer_tf.types import Word

if TYPE_CHECKING:
    from mmer_tf.deploy.classifier import Classifier


def probabilities_of(
    classifier: "Classifier",
    waveforms: Sequence[np.ndarray],
    transcripts: Sequence[str],
    words: Sequence[Sequence[Word]],
) -> np.ndarray:
    """Probabilities (windows, classes) of windows.

    Args:
        classifier: one that has `predict_probabilities`, as a run does, is given all at once,
            with the timings of the words.
        waveforms: float32 (samples,) each, 16 kHz.
        transcripts: empty where there are no words.
        words: of the transcripts, with their times in the windows.
    """
    if not waveforms:
        return np.zeros((0, len(classifier.labels)))
    voices = waveforms if classifier.hears else None
    together = getattr(classifier, "predict_probabilities", None)
    if together is not None:
        return together(voices, transcripts, words)
    answers = classifier.predict(voices, transcripts)
    return np.array([[one.probabilities[label] for label in classifier.labels] for one in answers])
