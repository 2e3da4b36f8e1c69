"""One trained `gmu` as Keras, SavedModel and .tflite against the same network in PyTorch and ONNX.

    python -m venv opponents && opponents/bin/pip install -r benchmarks/requirements-torch.txt
    python benchmarks/deployment.py --opponents opponents/bin/python

Every contender runs in a process of its own, on one core and with one thread, and answers the same
test utterances one by one, from the waveform and the words to the probabilities. The contenders
take turns, round after round; what they answer is compared before the times are.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markdown_table import command_line, markdown_table, versions
from measuring import Question, write_questions

from mmer_tf import cli
from mmer_tf.atomic import write_text

HERE = Path(__file__).parent
OWN = ("keras", "saved_model", "tflite_none", "tflite_dynamic", "tflite_float16", "tflite_int8")
OPPONENTS = ("pytorch", "onnx")
NAMES = {
    "keras": "Keras (`predict --run`)",
    "saved_model": "SavedModel, in process",
    "tflite_none": "TFLite, float32",
    "tflite_dynamic": "TFLite, dynamic range",
    "tflite_float16": "TFLite, float16",
    "tflite_int8": "TFLite, int8",
    "pytorch": "PyTorch, eager",
    "onnx": "ONNX Runtime",
}
TOLERANCE = 1e-3
"""Of float contenders, in probability: Keras and the SavedModel round features to half precision,
as the shards that the model was trained on, the others do not."""
ROUNDED = ("tflite_dynamic", "tflite_float16", "tflite_int8")


@dataclass
class Measured:
    """What one contender answered, and in what time.

    Args:
        rounds: seconds of each utterance, round by round.
        probabilities: (utterances, classes).
        size: bytes of its files.
    """

    rounds: list[list[float]]
    probabilities: np.ndarray
    size: int

    def percentile(self, share: float) -> float:
        """Milliseconds for one utterance."""
        return float(np.percentile(np.concatenate(self.rounds), share)) * 1e3

    @property
    def medians(self) -> list[float]:
        """Seconds for one utterance, round by round."""
        return [statistics.median(one) for one in self.rounds]

    @property
    def per_second(self) -> float:
        """Utterances answered one after the other in a second; the median round."""
        return statistics.median(len(one) / sum(one) for one in self.rounds)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare, measure in turns, and write what came out."""
    args = make_parser().parse_args(argv)
    refused = prepare(args)
    contenders = [name for name in OWN if name not in refused]
    contenders += OPPONENTS if args.opponents else ()
    measured: dict[str, Measured] = {}
    for number in range(args.rounds):
        for name in contenders:
            told = run(args, name)
            one = measured.setdefault(
                name, Measured([], np.array(told["probabilities"]), told["bytes"])
            )
            one.rounds.append(told["seconds"])
            _require_same(name, one.probabilities, measured["keras"].probabilities)
            print(f"round {number + 1} {name}: {one.medians[-1] * 1e3:.1f} ms", flush=True)
    text = page(args, measured, refused)
    write_text(args.out, text)
    print(text)
    print(f"written to {args.out}")


def _require_same(name: str, probabilities: np.ndarray, reference: np.ndarray) -> None:
    """Refuse to compare the times of another network."""
    difference = np.abs(probabilities - reference).max()
    if name not in ROUNDED and difference > TOLERANCE:
        raise SystemExit(f"{name} is not the same network: {difference:.1e} in probability")


def prepare(args: argparse.Namespace) -> dict[str, str]:
    """Leave model, weights and utterances in the work folder; name what cannot be exported."""
    cli.silence_libraries(verbose=False)
    cli.import_tensorflow()
    from mmer_tf.audio.decode import decode
    from mmer_tf.audio.features import LogMel
    from mmer_tf.bundle import Bundle
    from mmer_tf.data.manifest import read_dataset
    from mmer_tf.run_files import read_split
    from mmer_tf.text.normalise import clean

    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    run = cli.run_folder(args.run).resolve()
    bundle, split = Bundle.load(run), read_split(run)
    write_text(args.work / "run.json", json.dumps(str(run)))
    rows = {row.id: row for row in read_dataset(Path(split["data"])).rows}
    chosen = [rows[identifier] for identifier in split["test"]][:: args.every]
    # The opponents do not write contractions out.
    questions = [Question(decode(row.audio), clean(row.transcript)) for row in chosen]
    write_questions(args.work, questions)
    weights = {weight.path: np.asarray(weight) for weight in bundle.model.weights}
    weights |= {"mel_filters": LogMel().filters, "temperature": np.array(bundle.temperature)}
    np.savez(args.work / "weights.npz", **weights)
    shutil.copy(run / "tokenizer" / "vocab.txt", args.work)
    command = [sys.executable, "-m", "mmer_tf.export", "--run", str(run)]
    subprocess.run([*command, "--out", str(args.work / "saved_model")], check=True)
    refused = {}
    for quantisation in ("none", "dynamic", "float16", "int8"):
        out = args.work / f"{quantisation}.tflite"
        lite = ["--format", "tflite", "--quantize", quantisation, "--out", str(out)]
        lite += ["--max-seconds", str(args.max_seconds)]
        done = subprocess.run([*command, *lite], capture_output=True, text=True)
        if done.returncode and quantisation != "int8":
            raise SystemExit(f"{out.name}: {done.stderr.strip()}")
        if done.returncode:  # a model that 8 bits do not suit is refused with the reason
            refused[f"tflite_{quantisation}"] = done.stderr.strip().removeprefix("error: ")
    return refused


def run(args: argparse.Namespace, name: str) -> dict:
    """One round of one contender."""
    own = name in OWN
    python = sys.executable if own else str(args.opponents)
    script = HERE / ("own_contenders.py" if own else "torch_gmu.py")
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    subprocess.run(
        [python, str(script), name, str(args.work)], check=True, env=os.environ | one_thread
    )
    return json.loads((args.work / f"{name}.json").read_text(encoding="utf-8"))


def page(args: argparse.Namespace, measured: dict[str, Measured], refused: dict[str, str]) -> str:
    """The Markdown of all contenders."""
    reference = measured["keras"].probabilities
    opponent = measured.get("pytorch")
    rows = []
    for name, one in measured.items():
        ratios = [] if opponent is None else [
            theirs / ours for theirs, ours in zip(opponent.medians, one.medians, strict=True)
        ]  # fmt: skip
        rows.append(
            (
                NAMES[name],
                f"{one.percentile(50):.1f}",
                f"{one.percentile(99):.1f}",
                f"{one.per_second:.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
                if ratios
                else "",
                f"{one.size / 1e6:.2f}",
                f"{np.abs(one.probabilities - reference).max():.1e}",
                f"{(one.probabilities.argmax(1) == reference.argmax(1)).mean():.1%}",
            )
        )
    count = len(reference)
    return "\n".join(
        (
            "# Deployment\n",
            command_line(),
            f"One trained `gmu`, {count} test utterances of the synthetic corpus one by one, from "
            f"waveform and words to probabilities; one core, one thread, {args.rounds} rounds in "
            f"turns. Milliseconds: over all rounds. Times as fast as PyTorch: median of the rounds "
            f"(smallest–largest). The .tflite files take clips of up to {args.max_seconds:g} s. "
            "Difference: the largest in probability against Keras; agreement: of the labels.\n",
            versions(),
            markdown_table(
                ("contender", "p50 ms", "p99 ms", "utterances/s", "times as fast as PyTorch",
                 "MB", "difference", "agreement"),
                rows,
            ),
            *(f"{NAMES[name]}: not measured — {reason}\n" for name, reason in refused.items()),
        )
    )  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="gmu-synthetic-speaker-fold0-seed0", help="a `gmu`")
    parser.add_argument(
        "--opponents", type=Path, metavar="PYTHON", help="of the environment with PyTorch"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="take each Nth utterance")
    parser.add_argument("--max-seconds", type=float, default=10.0, help="of a .tflite file")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("saved_models") / "benchmarks" / "deployment",
        metavar="DIR",
        help="exports, weights, utterances (default: saved_models/benchmarks/deployment)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_suffix(".md"), metavar="FILE"
    )
    return parser


if __name__ == "__main__":
    main()
