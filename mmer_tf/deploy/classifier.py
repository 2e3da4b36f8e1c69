"""An exported SavedModel as a classifier of Python, like a bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from mmer_tf.audio.lld import extract_lld
from mmer_tf.deploy.description import ServedModelError, read_description, version_folder
from mmer_tf.deploy.loading import load_saved_model
from mmer_tf.modalities import middle, require_readable, utterances
from mmer_tf.types import SAMPLE_RATE, Answer


class Classifier(Protocol):
    """What a run, its SavedModel and its .tflite file have in common."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes."""
        ...

    @property
    def hears(self) -> bool:
        """Whether it takes the voice."""
        ...

    @property
    def reads(self) -> bool:
        """Whether it takes the words."""
        ...

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """Classify utterances; see `Bundle.predict`."""
        ...


class SavedModelClassifier:
    """Answers as the model server does, without one.

    Args:
        folder: of the versions, of which the newest is taken, or of one version.

    Raises:
        ServedModelError: no model of this package there, or one of a newer version.
    """

    def __init__(self, folder: Path):
        version = version_folder(folder)
        described = read_description(version)
        if not described:
            raise ServedModelError(f"{version}: not written by `python -m mmer_tf.export`")
        self.labels = tuple(described["labels"])
        self.hears = "speech" in described["modalities"]
        self.reads = "text" in described["modalities"]
        self._longest = int(described["max_seconds"] * SAMPLE_RATE)
        self._loaded = load_saved_model(version)  # its variables live as long as this
        self._answer = self._loaded.signatures["serving_default"]
        self._inputs = set(self._answer.structured_input_signature[1])

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """Classify utterances, each alone.

        Args:
            waveforms: float32 in [-1, 1], 16 kHz mono; None where there is no recording.
            transcripts: as spoken; empty where there is none.

        Raises:
            NothingToReadError: an utterance lacks the only modality that the model has.
            ValueError: a waveform of another shape, or with values that are no numbers.
        """
        return [self._classify(*one) for one in utterances(waveforms, transcripts)]

    def _classify(self, waveform: np.ndarray | None, transcript: str) -> Answer:
        given = {"transcript": tf.constant([transcript])}
        if "waveform" in self._inputs:
            samples = np.zeros(1) if waveform is None else waveform
            given["waveform"] = tf.constant(samples[None], tf.float32)
            given["num_samples"] = tf.constant([0 if waveform is None else len(waveform)])
        elif "lld" in self._inputs:
            given |= self._descriptors(waveform)
        tensors = self._answer(**{name: given[name] for name in self._inputs})
        # Sliced as arrays: of tensors each slice is an operation more.
        outputs = {name: values.numpy()[0] for name, values in tensors.items()}
        if not outputs["label"]:  # the graph found nothing to judge, nor any word
            require_readable(self.hears, self.reads, waveform is not None, words=False)
        return Answer.of(self.labels, outputs)

    def _descriptors(self, waveform: np.ndarray | None) -> dict[str, tf.Tensor]:
        """openSMILE's descriptors of the middle of a clip, as a bundle has them computed."""
        if waveform is None:
            return {"lld": tf.zeros((1, 1, 65)), "num_frames": tf.constant([0])}
        values = extract_lld(middle(waveform, self._longest))
        return {"lld": tf.constant(values[None]), "num_frames": tf.constant([len(values)])}
