"""`python -m mmer_tf.evaluate`: what a trained run is worth on a split."""

import argparse
import json
import sys
from pathlib import Path

from mmer_tf import cli

EXAMPLES = """examples:
  python -m mmer_tf.evaluate --run gmu-synthetic-speaker-fold0-seed0
  python -m mmer_tf.evaluate --run saved_models/my_run --split validation
  python -m mmer_tf.evaluate --run my_run --data data/other --split all
"""


class EvaluationError(ValueError):
    """A run and a data set that do not go together."""


def main(args: argparse.Namespace) -> None:
    """Predict the split, print the table, write the report."""
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle
    from mmer_tf.data.manifest import Dataset
    from mmer_tf.data.prepare import ensure_features
    from mmer_tf.evaluation.evaluate import make_report, predict_ids, write_report
    from mmer_tf.evaluation.report import report_table

    run = cli.run_folder(args.run, args.runs)
    bundle = Bundle.load(run)
    stored = json.loads((run / "split.json").read_text(encoding="utf-8"))
    own_data = Path(stored["data"])
    dataset: Dataset = ensure_features(args.data or own_data, bundle.features, cli.progress_bar)
    is_own = dataset.folder.resolve() == own_data.resolve()
    split = args.split or ("test" if is_own else "all")
    if split == "all":
        ids = [row.id for row in dataset.rows]
    elif is_own:
        ids = stored[split]
    else:
        raise EvaluationError(
            f"{dataset.folder} is not the data that {run.name} was divided on; "
            "--split all evaluates on the whole of it"
        )
    unknown = sorted(set(dataset.labels) - set(bundle.labels))
    if unknown:
        raise EvaluationError(
            f"{dataset.folder} has the class '{unknown[0]}', which {run.name} does not know; "
            f"it knows {', '.join(bundle.labels)}: prepare the data with matching --labels"
        )
    notes = list(stored["notes"])
    if split in ("train", "all") and is_own:
        notes.append("holds utterances that the model was trained on: not a result")
    predictions = predict_ids(bundle, dataset.folder, ids)
    report = make_report(
        predictions,
        run=run.name,
        data=dataset.name,
        split=split,
        protocol=stored["protocol"],
        fold=stored["fold"],
        seed=stored["seed"],
        notes=notes,
    )
    out = args.out or (run if is_own and split == "test" else run / f"{dataset.name}-{split}")
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, predictions, out)
    cli.console.print(report_table(report, f"{run.name}: {dataset.name}, {split}"))
    cli.console.print(f"written to {out}/", highlight=False, soft_wrap=True)


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("evaluate", "Evaluate a trained run.")
    parser.epilog = EXAMPLES
    parser.add_argument("--run", required=True, help="name below saved_models/, or a folder")
    parser.add_argument("--runs", type=Path, default=cli.RUNS, metavar="DIR", help="where runs are")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="prepared data set (default: the run's own)"
    )
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="default: test; all for other data",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the report goes (default: the run, or a folder in it)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
