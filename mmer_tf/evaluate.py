"""`python -m mmer_tf.evaluate`: what a trained run is worth on a split."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mmer_tf import cli
from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import Dataset

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
    from mmer_tf.bundle import Bundle, usable_rows
    from mmer_tf.data.prepare import ensure_features
    from mmer_tf.evaluation.evaluate import make_report, predict_ids, write_report
    from mmer_tf.evaluation.report import report_table

    run = cli.run_folder(args.run, args.runs)
    bundle = Bundle.load(run)
    if not (run / "split.json").is_file():
        raise EvaluationError(f"{run} lacks split.json, which says who was tested; copy it again")
    stored = json.loads((run / "split.json").read_text(encoding="utf-8"))
    data = args.data or Path(stored["data"])
    dataset = ensure_features(data, bundle.features, cli.progress_bar)
    is_own = dataset.digest == stored.get("data_digest")  # also a copy, or a folder that moved
    dataset = _with_known_labels(dataset, bundle.labels, bundle.recipe.data.labels, run.name)
    dataset, notes = usable_rows(bundle.recipe, dataset)
    name = dataset.folder.resolve().name
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
    notes = list(stored["notes"]) if is_own else notes
    if split in ("train", "all") and is_own:
        notes.append("holds utterances that the model was trained on: not a result")
    predictions = predict_ids(bundle, dataset, ids)
    report = make_report(
        predictions,
        run=run.name,
        data=name,
        split=split,
        protocol=stored["protocol"],
        fold=stored["fold"],
        seed=stored["seed"],
        notes=notes,
    )
    out = args.out or (run if is_own and split == "test" else run / f"{name}-{split}")
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, predictions, out)
    cli.show_result(report_table(report, f"{run.name}: {name}, {split}"), out)


def _with_known_labels(
    dataset: Dataset, known: Sequence[str], selection: str | None, run: str
) -> Dataset:
    """The data set with the classes of the run, selected as for its training where need be."""
    if selection and not set(dataset.labels) <= set(known):
        dataset = dataset.select(parse_labels(selection))
    unknown = sorted(set(dataset.labels) - set(known))
    if unknown:
        raise EvaluationError(
            f"{dataset.folder} has the class '{unknown[0]}', which {run} does not know; "
            f"it knows {', '.join(known)}: prepare the data with matching --labels"
        )
    return dataset


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("evaluate", "Evaluate a trained run.")
    parser.epilog = EXAMPLES
    cli.add_run_arguments(parser)
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
