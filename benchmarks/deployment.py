"""One trained `gmu` as Keras, SavedModel, .tflite and behind `serve`, against PyTorch and ONNX.

The same weights and utterances, from the waveform and the words to the probabilities: one by one
with one thread, in batches on all cores, and asked by several clients of a server at once.
"""

import json
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from contest import Contender, Line, Timed, largest_difference, line, read_answers, take_turns
from deployment_own import CLIENTS, REQUESTS
from deployment_questions import BATCHES, Question, write_questions
from run import Setting

from mmer_tf import cli
from mmer_tf.atomic import write_text

RUN = "gmu-synthetic-speaker-fold0-seed0"
"""Of `make train`; where it is not there, one is trained for fewer epochs."""

EPOCHS = 6
SINGLE, BATCH = 40, 16
"""Utterances that are answered one by one, and at once."""

MAX_SECONDS = 10
"""Of a .tflite file."""

NAMES = {
    "keras": "Keras, `predict --run`",
    "saved_model": "SavedModel in process",
    "tflite_none": ".tflite, float32",
    "tflite_dynamic": ".tflite, dynamic range",
}
BATCHED = {
    "keras_batch": "Keras",
    "saved_model_batch": "SavedModel in process",
    "tflite_batch": ".tflite, float32, one after the other",
}
OPPONENTS = {"pytorch": "PyTorch, eager", "onnx": "ONNX Runtime"}
TOLERANCES = {"tflite_dynamic": 0.05}
TOLERANCE = 1e-3
"""Of float contenders, in probability: Keras and the SavedModel round features to half precision,
as the shards that the model was trained on, the others do not."""


def measure(setting: Setting) -> Iterator[Line]:
    """Latency, throughput in batches, and throughput of a server."""
    work = setting.folder("deployment")
    prepare(setting, work)
    ours = [Contender(name, "deployment_own.py") for name in NAMES]
    theirs = [Contender(name, "deployment_torch.py", setting.torch) for name in OPPONENTS]
    timed = _turns(setting, work, [*ours, *theirs], threads=1)
    for opponent in OPPONENTS:
        for name in NAMES:
            yield _latency(setting, work, timed, name, opponent)
    ours = [Contender(name, "deployment_own.py") for name in BATCHED]
    theirs = [
        Contender(f"{name}_batch", "deployment_torch.py", setting.torch) for name in OPPONENTS
    ]
    timed = _turns(setting, work, [*ours, *theirs], threads=setting.cores)
    for opponent in OPPONENTS:
        for name in BATCHED:
            yield _throughput(setting, work, timed, name, opponent)
    servers = [Contender(name, "deployment_own.py") for name in ("serve", "pytorch_serve")]
    timed = _turns(setting, work, servers, threads=setting.cores)
    yield _served(setting, work, timed)


def prepare(setting: Setting, work: Path) -> None:
    """Leave model, exports, weights and utterances in the work folder."""
    cli.import_tensorflow()
    from mmer_tf.audio.decode import decode
    from mmer_tf.audio.features import LogMel
    from mmer_tf.bundle import Bundle
    from mmer_tf.data.prepare import prepare_synthetic
    from mmer_tf.text.normalise import clean

    dataset = prepare_synthetic(work / "data", ["log_mel"], utterances_per_cell=4, workers=0)
    run = _trained(setting, work)
    bundle = Bundle.load(run)
    # The opponents do not write contractions out.
    questions = [
        Question(in_16_bits(decode(row.audio)), clean(row.transcript)) for row in dataset.rows
    ]
    write_questions(work, "single", questions[:: len(questions) // SINGLE][:SINGLE])
    write_questions(work, "batch", of_one_length(questions, bundle.tokenizer, BATCH))
    weights = {weight.path: np.asarray(weight) for weight in bundle.model.weights}
    weights |= {"mel_filters": LogMel().filters, "temperature": np.array(bundle.temperature)}
    np.savez(work / "weights.npz", **weights)
    (work / "model.onnx").unlink(missing_ok=True)
    shutil.copy(run / "tokenizer" / "vocab.txt", work)
    write_text(work / "run.json", json.dumps(str(run)))
    write_text(work / "labels.json", json.dumps(list(bundle.labels)))
    export = [sys.executable, "-m", "mmer_tf.export", "--run", str(run)]
    saved_model = work / "saved_model"
    shutil.rmtree(saved_model, ignore_errors=True)
    subprocess.run([*export, "--out", str(saved_model)], check=True)
    for quantisation in ("none", "dynamic"):
        lite = ["--format", "tflite", "--quantize", quantisation]
        lite += ["--out", str(work / f"{quantisation}.tflite"), "--max-seconds", str(MAX_SECONDS)]
        lite += ["--data", str(dataset.folder)]
        subprocess.run([*export, *lite], check=True)
    serve = [sys.executable, "-m", "mmer_tf.serve", "--model", str(saved_model), "--port", "0"]
    script = Path(__file__).with_name("deployment_torch_server.py")
    other = [str(setting.torch), str(script), str(work)]
    for name, command in (("serve", serve), ("pytorch_serve", other)):
        write_text(work / f"{name}.json", json.dumps(command))


def in_16_bits(waveform: np.ndarray) -> np.ndarray:
    """The nearest samples that a WAV file holds, so that clients can send one."""
    steps = np.clip(np.rint(waveform * 2**15), -(2**15), 2**15 - 1)
    return (steps / 2**15).astype("float32")


def of_one_length(questions: Sequence[Question], tokenizer, count: int) -> list[Question]:
    """As many utterances with the same number of tokens, cut to the shortest of them, so that a
    batch needs no padding."""
    lengths = [int(tokenizer([question.words])[1].numpy().sum()) for question in questions]
    common, found = Counter(lengths).most_common(1)[0]
    if found < count:
        raise SystemExit(f"only {found} utterances have {common} tokens, {count} are needed")
    chosen = [one for one, length in zip(questions, lengths, strict=True) if length == common]
    samples = min(len(one.waveform) for one in chosen[:count])
    return [replace(one, waveform=one.waveform[:samples]) for one in chosen[:count]]


def _trained(setting: Setting, work: Path) -> Path:
    """The run of `make train`, or another that is trained here."""
    run = cli.run_folder(RUN).resolve()
    if (run / "model.keras").is_file() and not setting.tiny:
        return run
    name = "tiny" if setting.tiny else "gmu"
    command = [sys.executable, "-m", "mmer_tf.train", "--model", "gmu", "--runs", str(work)]
    command += ["--run", name, "--overwrite", "--no-tensorboard"]
    command += ["--tiny", "--data", str(work / "data")] if setting.tiny else []
    subprocess.run([*command, f"train.epochs={1 if setting.tiny else EPOCHS}"], check=True)
    return work / name


def _turns(
    setting: Setting, work: Path, contenders: Sequence[Contender], threads: int
) -> Mapping[str, Timed]:
    """Times of contenders whose answers are the first one's."""

    def compare(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        first = contenders[0].name
        for name in answers:
            largest_difference(answers, name, first, TOLERANCES.get(name, TOLERANCE))

    return take_turns(contenders, work, threads=threads, rounds=setting.rounds, compare=compare)


def _difference(work: Path, ours: str, theirs: str) -> str:
    """The largest in probability, and how many labels are the same."""
    one, other = (read_answers(work, name)["probabilities"] for name in (ours, theirs))
    agreement = (one.argmax(1) == other.argmax(1)).mean()
    return f"{np.abs(one - other).max():.1e} in probability, {agreement:.0%} of the labels agree"


def _latency(
    setting: Setting, work: Path, timed: Mapping[str, Timed], name: str, opponent: str
) -> Line:
    """The median milliseconds of an utterance in each round."""
    ours, theirs = (timed[one].facts["milliseconds"][-setting.rounds :] for one in (name, opponent))
    sizes = [timed[one].facts["bytes"] / 1e6 for one in (name, opponent)]
    return Line(
        what=f"{NAMES[name]}: one utterance, one thread, median of {SINGLE}",
        opponent=OPPONENTS[opponent],
        unit="ms",
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        ratios=tuple(them / us for us, them in zip(ours, theirs, strict=True)),
        difference=_difference(work, name, opponent),
        note=f"files of {sizes[0]:.1f} MB against {sizes[1]:.1f} MB",
    )


def _throughput(
    setting: Setting, work: Path, timed: Mapping[str, Timed], name: str, opponent: str
) -> Line:
    return line(
        (timed[name], timed[f"{opponent}_batch"]),
        count=BATCH * BATCHES,
        what=f"{BATCHED[name]}: a batch of {BATCH}, {setting.cores} threads",
        opponent=OPPONENTS[opponent],
        unit="utterances/s",
        difference=_difference(work, name, f"{opponent}_batch"),
        note="cut to one length and one number of tokens, so that the opponent needs no masks",
    )


def _served(setting: Setting, work: Path, timed: Mapping[str, Timed]) -> Line:
    return line(
        (timed["serve"], timed["pytorch_serve"]),
        count=REQUESTS,
        what=f"`serve`, REST: {CLIENTS} clients, each an utterance a request",
        opponent="PyTorch, eager, behind Python's `http.server`",
        unit="requests/s",
        difference=_difference(work, "serve", "pytorch_serve"),
        note=f"the same clients, WAV files in JSON; server and clients share {setting.cores} cores",
    )
