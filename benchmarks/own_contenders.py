"""This package's side of deployment.py: one trained run as Keras, SavedModel and .tflite files.

python benchmarks/own_contenders.py keras WORK
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")

import numpy as np
from measuring import Question, measure, read_questions

from mmer_tf import cli

Maker = Callable[[Path], tuple[Callable[[Question], np.ndarray], int]]


def make_keras(work: Path):
    """The run itself."""
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle

    run = Path(json.loads((work / "run.json").read_text(encoding="utf-8")))
    return _answering(Bundle.load(run)), (run / "model.keras").stat().st_size


def make_saved_model(work: Path):
    """The exported SavedModel."""
    cli.import_tensorflow()
    from mmer_tf.deploy.classifier import SavedModelClassifier

    folder = work / "saved_model"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return _answering(SavedModelClassifier(folder)), size


def make_tflite(quantisation: str, work: Path):
    """A .tflite file."""
    from mmer_tf.deploy.tflite import LiteRTClassifier

    file = work / f"{quantisation}.tflite"
    return _answering(LiteRTClassifier(file)), file.stat().st_size


def _answering(classifier) -> Callable[[Question], np.ndarray]:
    def answer(question: Question) -> np.ndarray:
        (one,) = classifier.predict([question.waveform], [question.words])
        return np.array(list(one.probabilities.values()))

    return answer


MAKERS: dict[str, Maker] = {"keras": make_keras, "saved_model": make_saved_model} | {
    f"tflite_{name}": partial(make_tflite, name) for name in ("none", "dynamic", "float16", "int8")
}


if __name__ == "__main__":
    cli.silence_libraries(verbose=False)
    name, work = sys.argv[1], Path(sys.argv[2])
    measure(name, work, MAKERS[name], read_questions(work))
