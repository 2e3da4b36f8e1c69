"""`python -m mmer_tf.evaluate`: what a trained run, or several that vote, are worth on a split."""

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from mmer_tf import cli
from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import Dataset, read_dataset
from mmer_tf.feasibility import usable_rows

if TYPE_CHECKING:
    from mmer_tf.evaluation.predictions import Predictions

EXAMPLES = """examples:
  python -m mmer_tf.evaluate --run gmu-synthetic-speaker-fold0-seed0
  python -m mmer_tf.evaluate --run saved_models/my_run --split validation
  python -m mmer_tf.evaluate --run my_run --data data/other --split all
  python -m mmer_tf.evaluate --ensemble my_run-fold0-seed0 my_run-fold0-seed1 --vote majority
"""


class EvaluationError(ValueError):
    """A run and a data set that do not go together."""


@dataclass(frozen=True)
class Judged:
    """What one run says of a split.

    Args:
        run: its name.
        data: name of the data set.
        split: which part of it.
        is_own: the run was divided on this data set.
        stored: the run's `split.json`.
        notes: what a reader of the figures must know.
        predictions: its answers.
    """

    run: str
    data: str
    split: str
    is_own: bool
    stored: Mapping[str, Any]
    notes: tuple[str, ...]
    predictions: "Predictions"


def main(args: argparse.Namespace) -> None:
    """Predict the split, print the table, write the report."""
    if args.vote and not args.ensemble:
        raise EvaluationError("--vote is for several runs: name them with --ensemble")
    cli.import_tensorflow()
    if args.ensemble:
        _evaluate_ensemble(args, args.vote or "mean")
    else:
        _evaluate_run(args)


def _evaluate_run(args: argparse.Namespace) -> None:
    from mmer_tf.evaluation.evaluate import make_report, write_report
    from mmer_tf.evaluation.report import report_table

    run = cli.run_folder(args.run, args.runs)
    _require_readers([run], args.weights)
    judged = _judge(run, args)
    report = make_report(
        judged.predictions,
        run=judged.run,
        data=judged.data,
        split=judged.split,
        protocol=judged.stored["protocol"],
        fold=judged.stored["fold"],
        seed=judged.stored["seed"],
        notes=judged.notes,
    )
    out = args.out or _report_folder(run, judged)
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, judged.predictions, out)
    cli.show_result(report_table(report, f"{judged.run}: {judged.data}, {judged.split}"), out)


def _evaluate_ensemble(args: argparse.Namespace, vote: str) -> None:
    """Both rules in one table; `vote` says whose report is written."""
    from mmer_tf.evaluation.ensemble import combine, ensemble_table, figures
    from mmer_tf.evaluation.evaluate import make_report, write_report
    from mmer_tf.evaluation.report import joint_notes, report_table

    folders = [cli.run_folder(run, args.runs) for run in args.ensemble]
    _require_several(folders)
    _require_readers(folders, args.weights)
    judged = _comparable([_judge_unseen(folder, args) for folder in folders], args.data)
    # The same name may stand in two folders of runs.
    names = [entry.run for entry in judged]
    titles = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    members = {title: entry.predictions for title, entry in zip(titles, judged, strict=True)}
    votes = combine(members)
    first = next((entry for entry in judged if entry.is_own), judged[0])
    name = f"ensemble-{hashlib.sha256(' '.join(sorted(titles)).encode()).hexdigest()[:8]}"
    report = make_report(
        votes[vote],
        run=name,
        data=first.data,
        split=first.split,
        protocol=_joint(entry.stored["protocol"] for entry in judged),
        fold=_joint(entry.stored["fold"] for entry in judged),
        seed=sorted({entry.stored["seed"] for entry in judged}),
        notes=joint_notes([(entry.run, entry.notes) for entry in judged]),
    )
    report |= {
        "vote": vote,
        "votes": {rule: figures(predictions) for rule, predictions in votes.items()},
        "members": [{"run": title, **figures(one)} for title, one in members.items()],
    }
    out = args.out or _report_folder(args.runs / name, first)
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, votes[vote], out)
    title = f"{name}: {first.data}, {first.split}"
    tables = Group(ensemble_table(members, votes, title), report_table(report, f"by {vote}"))
    cli.show_result(tables, out)


def _judge(run: Path, args: argparse.Namespace) -> Judged:
    """Load a run and let it answer for the split that was asked for."""
    from mmer_tf.bundle import Bundle
    from mmer_tf.data.prepare import ensure_features
    from mmer_tf.evaluation.evaluate import predict_ids

    bundle = Bundle.load(run)
    bundle = bundle.with_weights(
        {name: place for name, place in args.weights if f"{name}_states" in bundle.encoders}
    )
    if not (run / "split.json").is_file():
        raise EvaluationError(f"{run} lacks split.json, which says who was tested; copy it again")
    stored = json.loads((run / "split.json").read_text(encoding="utf-8"))
    data = args.data or Path(stored["data"])
    lacking = bundle.missing_from(read_dataset(data))
    dataset = ensure_features(data, lacking, cli.progress_bar)
    is_own = dataset.digest == stored.get("data_digest")  # also a copy, or a folder that moved
    dataset = _with_known_labels(dataset, bundle.labels, bundle.recipe.data.labels, run.name)
    dataset, notes = usable_rows(bundle.recipe, dataset)
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
    return Judged(
        run=run.name,
        data=dataset.folder.resolve().name,
        split=split,
        is_own=is_own,
        stored=stored,
        notes=tuple(notes),
        predictions=predict_ids(bundle, dataset, ids),
    )


def _judge_unseen(run: Path, args: argparse.Namespace) -> Judged:
    """A member's answers, without those for utterances that it was trained on."""
    from mmer_tf.evaluation.predictions import restrict

    judged = _judge(run, args)
    if judged.is_own:
        if judged.split in ("train", "all"):
            raise EvaluationError(
                f"{judged.run} was trained on {judged.data}, and --split {judged.split} would mix "
                "what it has learnt into the vote; an ensemble takes --split test or validation"
            )
        return judged
    seen = {*judged.stored["train"], *judged.stored["validation"]} & set(judged.predictions.ids)
    if not seen:
        return judged
    note = f"utterances left out because {judged.run} was trained on them: {len(seen)}"
    unseen = restrict(judged.predictions, set(judged.predictions.ids) - seen)
    return dataclasses.replace(judged, predictions=unseen, notes=(*judged.notes, note))


def _comparable(members: Sequence[Judged], data: Path | None) -> list[Judged]:
    """The members' answers for the utterances that they can judge together.

    On data that is its own, a member judges what it tested. Where there is such a member, the
    others judge no more than that; without one, all judge what each of them can.
    """
    from mmer_tf.evaluation.predictions import restrict

    for other in members[1:]:
        digests = [one.stored.get("data_digest") for one in (members[0], other)]
        if data is None and digests[0] != digests[1]:
            raise EvaluationError(
                f"{members[0].run} and {other.run} were divided on different data sets; "
                "name the one to evaluate on with --data"
            )
    ids = {
        own: [set(one.predictions.ids) for one in members if one.is_own == own]
        for own in (True, False)
    }
    tested, readable = set().union(*ids[True]), ids[False]
    common = set.intersection(*readable, *([tested] if tested else []))
    if not common:
        raise EvaluationError("no utterance is left that all of the runs can judge")
    return [
        dataclasses.replace(one, predictions=restrict(one.predictions, common)) for one in members
    ]


def _require_several(folders: Sequence[Path]) -> None:
    if len(folders) < 2:
        raise EvaluationError(f"an ensemble needs at least two runs, not {folders[0]} alone")
    resolved = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, resolved, strict=True):
        if resolved.count(place) > 1:
            raise EvaluationError(f"{folder} is named twice; its vote would count twice")


def _require_readers(folders: Sequence[Path], weights: Sequence[tuple[str, str]]) -> None:
    """Raise EvaluationError for weights of an encoder whose states none of the runs reads."""
    from mmer_tf.bundle import read_encoders

    read = {name for folder in folders for name in read_encoders(folder)}
    for encoder, source in weights:
        if f"{encoder}_states" not in read and all(folder.is_dir() for folder in folders):
            raise EvaluationError(
                f"--weights {encoder}={source}: no stored hidden states of '{encoder}' are read; "
                f"those that are: {', '.join(sorted(read)) or 'none'}"
            )


def _joint(values: Iterable[Any]) -> Any:
    """The value that all have, or all values in words."""
    distinct = sorted(set(values))
    return distinct[0] if len(distinct) == 1 else ", ".join(map(str, distinct))


def _report_folder(home: Path, judged: Judged) -> Path:
    """The folder of the run for its own test split, else one in it."""
    own_test = judged.is_own and judged.split == "test"
    return home if own_test else home / f"{judged.data}-{judged.split}"


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
    parser = cli.make_parser("evaluate", "Evaluate a trained run, or several that vote.")
    parser.epilog = EXAMPLES
    cli.add_run_arguments(parser, ensembles=True)
    cli.add_weights_argument(parser)
    parser.add_argument(
        "--vote",
        choices=("majority", "mean"),
        help="whose report an ensemble writes: of the majority vote, where the higher mean "
        "probability decides a draw, or of the mean probability (default)",
    )
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
        help="where the report goes (default: the run, or a folder in it; for an ensemble "
        "saved_models/ensemble-…)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
