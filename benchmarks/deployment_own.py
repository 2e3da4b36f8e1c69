"""This package's side of deployment.py: one trained run as Keras, SavedModel and .tflite files.

Also the clients of both servers, this package's and the one in PyTorch. Started by contest.py.
"""

import atexit
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from contender import Maker, Work, contend
from deployment_questions import Question, one_by_one, read_questions, together
from serving_load import ADDRESS, ask

from mmer_tf import cli
from mmer_tf.deploy.client import EmotionClient

CLIENTS = 8
REQUESTS = 160
"""Of one round."""


def make_keras(work: Path) -> Work:
    """The run itself, one by one."""
    bundle, size = _load_run(work)
    return one_by_one(_answering(bundle), read_questions(work, "single"), size)


def make_keras_batch(work: Path) -> Work:
    """The run itself, several at once."""
    bundle, _ = _load_run(work)

    def answer(questions: Sequence[Question]) -> np.ndarray:
        waveforms = [question.waveform for question in questions]
        words = [question.words for question in questions]
        return bundle.predict_probabilities(waveforms, words, batch_size=len(questions))

    return together(answer, read_questions(work, "batch"))


def make_saved_model(work: Path) -> Work:
    """The exported SavedModel, one by one."""
    cli.import_tensorflow()
    from mmer_tf.deploy.classifier import SavedModelClassifier

    folder = work / "saved_model"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    answer = _answering(SavedModelClassifier(folder))
    return one_by_one(answer, read_questions(work, "single"), size)


def make_saved_model_batch(work: Path) -> Work:
    """The exported SavedModel, several at once."""
    cli.import_tensorflow()
    import tensorflow as tf

    from mmer_tf.deploy.description import version_folder
    from mmer_tf.deploy.loading import load_saved_model

    loaded = load_saved_model(version_folder(work / "saved_model"))
    signature = loaded.signatures["serving_default"]

    def answer(questions: Sequence[Question]) -> np.ndarray:
        waveform = np.stack([question.waveform for question in questions])
        outputs = signature(
            waveform=tf.constant(waveform),
            num_samples=tf.fill([len(waveform)], waveform.shape[1]),
            transcript=tf.constant([question.words for question in questions]),
        )
        return outputs["probabilities"].numpy()

    return together(answer, read_questions(work, "batch"))


def make_tflite(quantisation: str, work: Path) -> Work:
    """A .tflite file, one by one."""
    answer, size = _answering_lite(work, quantisation, num_threads=1)
    return one_by_one(answer, read_questions(work, "single"), size)


def make_tflite_batch(work: Path) -> Work:
    """The same utterances one after the other, since a .tflite file takes no more at once."""
    answer, _ = _answering_lite(work, "none", num_threads=len(os.sched_getaffinity(0)))
    return together(
        lambda questions: np.stack([answer(question) for question in questions]),
        read_questions(work, "batch"),
    )


def make_clients(server: str, work: Path) -> Work:
    """Clients that ask a server at the same time; WORK/SERVER.json holds its command line."""
    command = json.loads((work / f"{server}.json").read_text(encoding="utf-8"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    match = ADDRESS.match(process.stdout.readline() if process.stdout else "")
    if match is None:
        raise SystemExit(f"{server}: the server did not start")
    name, address = match.groups()
    questions = read_questions(work, "single")
    waveforms, transcript = [question.waveform for question in questions], questions[0].words

    def run() -> None:
        load = ask(address, name, waveforms, CLIENTS, REQUESTS, transcript)
        if load.lost:
            raise SystemExit(f"{server}: {load.lost[0]}")

    with EmotionClient(address, name, batch_size=1) as client:
        answers = client.predict(waveforms, [transcript] * len(waveforms))
    return Work(run, {"probabilities": np.stack(list(map(_probabilities, answers)))}, {})


def _load_run(work: Path) -> tuple[Any, int]:
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle

    run = Path(json.loads((work / "run.json").read_text(encoding="utf-8")))
    return Bundle.load(run), (run / "model.keras").stat().st_size


def _answering_lite(
    work: Path, quantisation: str, num_threads: int
) -> tuple[Callable[[Question], np.ndarray], int]:
    from mmer_tf.deploy.tflite import LiteRTClassifier

    file = work / f"{quantisation}.tflite"
    return _answering(LiteRTClassifier(file, num_threads)), file.stat().st_size


def _answering(classifier) -> Callable[[Question], np.ndarray]:
    def answer(question: Question) -> np.ndarray:
        (one,) = classifier.predict([question.waveform], [question.words])
        return _probabilities(one)

    return answer


def _probabilities(answer) -> np.ndarray:
    return np.array(list(answer.probabilities.values()))


MAKERS: dict[str, Maker] = {
    "keras": make_keras,
    "saved_model": make_saved_model,
    "tflite_none": partial(make_tflite, "none"),
    "tflite_dynamic": partial(make_tflite, "dynamic"),
    "keras_batch": make_keras_batch,
    "saved_model_batch": make_saved_model_batch,
    "tflite_batch": make_tflite_batch,
    "serve": partial(make_clients, "serve"),
    "pytorch_serve": partial(make_clients, "pytorch_serve"),
}


if __name__ == "__main__":
    cli.silence_libraries(verbose=False)
    contend(MAKERS)
