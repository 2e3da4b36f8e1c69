"""A `.tflite` file as a classifier of Python, without TensorFlow.

Needs ai-edge-litert, numpy and tokenizers alone; everything else lies in the file.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mmer_tf.deploy.lite_file import LiteFile, LiteFileError
from mmer_tf.deploy.lite_inputs import LiteInputs
from mmer_tf.modalities import utterances
from mmer_tf.types import Answer


class LiteRTClassifier:
    """Answers what the run answers that the file was made of.

    May be shared by threads, which then wait for each other.

    Args:
        path: a file written by `python -m mmer_tf.export --format tflite`.
        num_threads: of one answer, at least 1.

    Raises:
        LiteFileError: no such file, not one of this package, damaged, or of a newer version.
        ValueError: `num_threads` < 1.
    """

    def __init__(self, path: Path | str, num_threads: int = 1):
        if num_threads < 1:
            raise ValueError(f"`num_threads` must be >= 1. Received: num_threads={num_threads}.")
        file = LiteFile.read(Path(path))
        self.description = file.description
        self.labels = file.labels
        try:
            self.inputs = LiteInputs.of(file)
            # Whole and read into memory: another file may take this one's place.
            interpreter = Interpreter(model_content=file.model, num_threads=num_threads)
            self._run = interpreter.get_signature_runner()
            self._lock = Lock()  # an interpreter has one set of inputs
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise LiteFileError(f"{path}: damaged; export the run again") from error

    @property
    def hears(self) -> bool:
        """Whether it takes the voice."""
        return self.inputs.window is not None

    @property
    def reads(self) -> bool:
        """Whether it takes the words."""
        return self.inputs.text is not None

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """Classify utterances, each alone.

        Args:
            waveforms: float32 (samples,) in [-1, 1], 16 kHz mono; None where there is no
                recording. Of a clip longer than the window the middle is taken.
            transcripts: as spoken; empty where there is none.

        Raises:
            NothingToReadError: an utterance lacks what the model hears or reads.
            ValueError: a waveform of another shape, or with values that are no numbers.
        """
        return [self._classify(*one) for one in utterances(waveforms, transcripts)]

    def _classify(self, waveform: np.ndarray | None, transcript: str) -> Answer:
        inputs = self.inputs(waveform, transcript)
        with self._lock:
            outputs = self._run(**inputs)
        return Answer.of(self.labels, {name: values[0] for name, values in outputs.items()})
