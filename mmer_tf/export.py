"""`python -m mmer_tf.export`: a trained run for TensorFlow Serving, or for a phone."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmer_tf import cli
from mmer_tf.remote import as_path
from mmer_tf.types import Seconds

if TYPE_CHECKING:
    from mmer_tf.bundle import Bundle
    from mmer_tf.deploy.lite_export import Example

EXAMPLES = """examples:
  python -m mmer_tf.export --run gmu-synthetic-speaker-fold0-seed0
  python -m mmer_tf.export --run my_run --out served/emotion
  python -m mmer_tf.export --run my_run --format tflite
  python -m mmer_tf.export --run my_run --format tflite --quantize int8 --max-seconds 6
"""

QUANTISATIONS = ("none", "float16", "dynamic", "int8")

MAX_SECONDS: Seconds = 10.0

MEASURED = 200
"""Utterances of the test split that a .tflite file is compared on."""

CALIBRATED = 100
"""Utterances of the training split that ranges are taken from."""


class ExportError(ValueError):
    """A request that cannot be exported as it stands."""


def main(args: argparse.Namespace) -> None:
    """Export one run."""
    _check_options(args)
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle

    run = cli.run_folder(args.run, args.runs)
    bundle = Bundle.load(run).with_weights(dict(args.weights))
    if args.format == "tflite":
        _export_tflite(args, bundle, run)
    else:
        _export_saved_model(args, bundle, run)


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing together."""
    for name in ("quantize", "max_seconds", "data"):
        if args.format != "tflite" and getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise ExportError(f"--{option} is for phones: add --format tflite")


def _export_saved_model(args: argparse.Namespace, bundle: "Bundle", run: Path) -> None:
    from mmer_tf.deploy.saved_model import export_saved_model

    folder = export_saved_model(bundle, args.out or run / "served" / run.name)
    print(f"written to {folder}/")


def _export_tflite(args: argparse.Namespace, bundle: "Bundle", run: Path) -> None:
    from mmer_tf.deploy import lite_export

    quantisation = args.quantize or lite_export.default_quantisation(bundle)
    file = args.out or run / f"{run.name}-{quantisation}.tflite"
    if file.is_dir():
        raise ExportError(f"--out {file} is a folder; name the file in it")
    file.parent.mkdir(parents=True, exist_ok=True)
    calibration = ()
    if quantisation == "int8":
        calibration = _utterances(run, args.data, bundle, "train", CALIBRATED)
    tested = _utterances(run, args.data, bundle, "test", MEASURED)
    seconds = MAX_SECONDS if args.max_seconds is None else args.max_seconds
    with lite_export.LiteExport(bundle, seconds) as export:
        lite = export.write(file, quantisation, calibration)
    figures = lite_export.measure(bundle, file, tested)
    described = lite_export.add_figures(lite, file, figures)
    print(f"size: {described['bytes'] / 1e6:.2f} MB ({quantisation})")
    print(
        f"against the run on {figures.utterances} test utterances: largest difference of a "
        f"probability {figures.largest_difference:.1e}, same label {figures.agreement:.1%}"
    )
    print(f"one answer on one thread: {figures.milliseconds:.1f} ms (median, this machine)")
    if figures.agreement < lite_export.LEAST_AGREEMENT:
        print(
            f"warning: {file} gives the run's label to only {figures.agreement:.1%} of the test "
            "utterances; use a finer --quantize",
            file=sys.stderr,
        )
    print(f"written to {file}")


def _utterances(
    run: Path, data: Path | None, bundle: "Bundle", part: str, most: int
) -> "Sequence[Example]":
    """Recordings and transcripts of a part of the run's split, evenly over the whole of it."""
    from mmer_tf.audio.decode import AudioError, decode
    from mmer_tf.data.manifest import read_dataset
    from mmer_tf.run_files import read_split

    split = read_split(run)
    dataset = read_dataset(data or split["data"])
    rows = {row.id: row for row in dataset.rows}
    ids = [name for name in split[part] if name in rows]
    if not ids:
        raise ExportError(
            f"{dataset.folder} holds no {part} utterance of {run.name}; name the data set that "
            "it was divided on with --data"
        )
    step = max(1.0, len(ids) / most)
    chosen = [rows[ids[int(number * step)]] for number in range(min(most, len(ids)))]
    try:
        return [
            (decode(row.audio) if bundle.hears and row.audio else None, row.transcript)
            for row in chosen
        ]
    except AudioError as error:
        raise ExportError(
            f"a .tflite file is compared with the run on its recordings: {error}"
        ) from error


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser(
        "export", "Export a run as a SavedModel for TensorFlow Serving, or as .tflite for a phone."
    )
    parser.epilog = EXAMPLES
    cli.add_run_arguments(parser)
    cli.add_weights_argument(parser)
    parser.add_argument("--format", choices=("saved_model", "tflite"), default="saved_model")
    parser.add_argument(
        "--quantize",
        choices=QUANTISATIONS,
        help="of a .tflite file (default: dynamic for a model with LSTMs, none for others)",
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help="window of a .tflite file; longer clips are judged by their middle (default: "
        f"{MAX_SECONDS:g}, at most the recipe's data.max_seconds)",
    )
    parser.add_argument(
        "--data",
        type=as_path,
        metavar="DIR",
        help="prepared data set whose utterances a .tflite file is calibrated and compared on "
        "(default: the run's own)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder of the versions, whose name is that of the served model (default: "
        "served/RUN in the run's folder), or the .tflite file (default: RUN-QUANTISATION.tflite "
        "in the run's folder)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
