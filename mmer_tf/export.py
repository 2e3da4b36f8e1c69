"""`python -m mmer_tf.export`: a trained run for TensorFlow Serving, or for a phone."""

import argparse
import sys
from pathlib import Path

from mmer_tf import cli

EXAMPLES = """examples:
  python -m mmer_tf.export --run gmu-synthetic-speaker-fold0-seed0
  python -m mmer_tf.export --run my_run --out served/emotion
"""


class ExportError(ValueError):
    """A request that cannot be exported as it stands."""


def main(args: argparse.Namespace) -> None:
    """Export one run."""
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle
    from mmer_tf.deploy.saved_model import export_saved_model

    run = cli.run_folder(args.run, args.runs)
    bundle = Bundle.load(run).with_weights(dict(args.weights))
    folder = export_saved_model(bundle, args.out or run / "served" / run.name)
    print(f"written to {folder}/")


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("export", "Export a run as a SavedModel for TensorFlow Serving.")
    parser.epilog = EXAMPLES
    cli.add_run_arguments(parser)
    cli.add_weights_argument(parser)
    parser.add_argument("--format", choices=("saved_model",), default="saved_model")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the versions, whose name is that of the served model "
        "(default: served/RUN in the run's folder)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
