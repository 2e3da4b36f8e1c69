"""`python -m mmer_tf.evaluate`: what a trained run, or several that vote, are worth on a split."""

import argparse
import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group

from mmer_tf import cli
from mmer_tf.evaluation.cross_corpus import EvaluationError
from mmer_tf.remote import as_path

if TYPE_CHECKING:
    from mmer_tf.evaluation.judgement import Judged, Question

EXAMPLES = """examples:
  python -m mmer_tf.evaluate --run gmu-synthetic-speaker-fold0-seed0
  python -m mmer_tf.evaluate --run saved_models/my_run --split validation --robustness
  python -m mmer_tf.evaluate --run my_run --explain utterance-7 utterance-12
  python -m mmer_tf.evaluate --run my_run --data data/other --map "ang=anger,hap=joy+excited"
  python -m mmer_tf.evaluate --ensemble my_run-fold0-seed0 my_run-fold0-seed1 --vote majority
  python -m mmer_tf.evaluate --compare my_run-folds-seed0 other_run-folds-seed0
"""

ONE_RUN = ("robustness", "explain")
ANSWERING = ("split", "map", "weights", *ONE_RUN)
"""Options for runs that answer anew, which a comparison does not have them do."""


def main(args: argparse.Namespace) -> None:
    """Predict the split, print the table, write the report."""
    _check_options(args)
    if args.compare:
        _compare(args)
        return
    cli.import_tensorflow()
    if args.ensemble:
        _evaluate_ensemble(args, args.vote or "mean")
    else:
        _evaluate_run(args)


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing together."""
    if args.vote and not args.ensemble:
        raise EvaluationError("--vote is for several runs: name them with --ensemble")
    if args.explain and args.report == "figures":
        raise EvaluationError("--explain draws pictures, which --report figures leaves out")
    if args.map and not args.data:
        raise EvaluationError("--map is for the classes of another corpus: name it with --data")
    for name in ANSWERING:
        if args.compare and getattr(args, name):
            raise EvaluationError(
                f"--compare takes what the runs have answered already, without --{name}"
            )
        if args.ensemble and name in ONE_RUN and getattr(args, name):
            raise EvaluationError(f"--{name} looks into one run: name it with --run")


def _evaluate_run(args: argparse.Namespace) -> None:
    from mmer_tf.evaluation.analysis import analyse
    from mmer_tf.evaluation.auditing import audit_text
    from mmer_tf.evaluation.evaluate import write_report
    from mmer_tf.evaluation.judged_report import judged_report
    from mmer_tf.evaluation.judgement import judge, open_run, require_readers
    from mmer_tf.evaluation.modalities import judge_modalities, modalities_table
    from mmer_tf.evaluation.report import report_table
    from mmer_tf.evaluation.robustness import bundle_robustness, robustness_table

    run = cli.run_folder(args.run, args.runs)
    require_readers([run], args.weights)
    bundle = open_run(run, args.weights)
    judged = judge(bundle, run, _question(args))
    out = args.out or _report_folder(run, judged)
    if not (judged.is_own_test and out.resolve() == run.resolve()):
        _require_no_run(out)
    title = f"{judged.run}: {judged.data}, {judged.split}"
    pictures = args.report == "full"
    look = (bundle, judged.dataset, judged.predictions, judged.ids, args.explain)
    analysis = analyse(*look) if pictures else None
    report = judged_report(judged, bundle, run, cli.progress_bar)
    tables = [report_table(report, title)]
    if modalities := judge_modalities(bundle, judged.dataset, judged.predictions):
        report["modalities"] = modalities
        tables.append(modalities_table(modalities))
    tables.append(audit_text(report["audit"]))
    if args.robustness:
        rows = bundle_robustness(bundle, judged.dataset, judged.ids, progress=cli.progress_bar)
        report["robustness"] = rows
        tables.append(robustness_table(rows, f"{title}: distorted"))
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, judged.predictions, out, pictures=pictures, analysis=analysis, run=run)
    cli.show_result(Group(*tables), out)


def _evaluate_ensemble(args: argparse.Namespace, vote: str) -> None:
    """Both rules in one table; `vote` says whose report is written."""
    from mmer_tf.evaluation.auditing import audit_text
    from mmer_tf.evaluation.ensemble import combine, ensemble_table, figures
    from mmer_tf.evaluation.evaluate import make_report, write_report
    from mmer_tf.evaluation.judgement import comparable, require_readers
    from mmer_tf.evaluation.report import joint_notes, report_table
    from mmer_tf.protocols.audit import joint_audit

    if args.out:
        _require_no_run(args.out)
    folders = [cli.run_folder(run, args.runs) for run in args.ensemble]
    _require_several(folders)
    require_readers(folders, args.weights)
    members_and_audits = [_judge_member(folder, args) for folder in folders]
    judged = comparable([member for member, _ in members_and_audits], args.data)
    # The same name may stand in two folders of runs.
    names = [entry.run for entry in judged]
    titles = names if len(set(names)) == len(names) else [str(folder) for folder in folders]
    members = {title: entry.predictions for title, entry in zip(titles, judged, strict=True)}
    audits = [audit for _, audit in members_and_audits]
    votes = combine(members)
    first = next((entry for entry in judged if entry.is_own), judged[0])
    name = _joint_name("ensemble", sorted(titles))
    report = make_report(
        votes[vote],
        run=name,
        data=first.data,
        split=first.split,
        protocol=_joint(entry.stored["protocol"] for entry in judged),
        fold=_joint(entry.stored["fold"] for entry in judged),
        seed=sorted({entry.stored["seed"] for entry in judged}),
        notes=joint_notes([(entry.run, entry.notes) for entry in judged]),
        utterances=[row for entry in judged for row in entry.dataset.rows],
        audit=joint_audit(list(zip(titles, audits, strict=True))),
    )
    report |= {
        "vote": vote,
        "votes": {rule: figures(predictions) for rule, predictions in votes.items()},
        "members": [{"run": title, **figures(one)} for title, one in members.items()],
    }
    out = args.out or _report_folder(args.runs / name, first)
    out.mkdir(parents=True, exist_ok=True)
    write_report(report, votes[vote], out, pictures=args.report == "full")
    title = f"{name}: {first.data}, {first.split}"
    tables = (ensemble_table(members, votes, title), report_table(report, f"by {vote}"))
    cli.show_result(Group(*tables, audit_text(report["audit"])), out)


def _judge_member(folder: Path, args: argparse.Namespace) -> "tuple[Judged, dict[str, Any]]":
    """What a member answers, and its audit; its model is not kept."""
    from mmer_tf.evaluation.auditing import audit_judged
    from mmer_tf.evaluation.judgement import judge_unseen, open_run

    bundle = open_run(folder, args.weights)
    judged = judge_unseen(bundle, folder, _question(args))
    return judged, audit_judged(judged, bundle, cli.progress_bar)


def _compare(args: argparse.Namespace) -> None:
    """Both tests between two finished runs; imports no TensorFlow."""
    from mmer_tf.evaluation.comparison import compare, comparison_table
    from mmer_tf.evaluation.report import write_json
    from mmer_tf.evaluation.stored_answers import speakers, stored_answers, stored_speakers

    folders = [cli.run_folder(run, args.runs) for run in args.compare]
    first, second = (stored_answers(folder) for folder in folders)
    if args.data:
        groups = speakers(args.data)
    else:
        groups = {id: who for folder in folders for id, who in stored_speakers(folder).items()}
    names = folders[0].name, folders[1].name
    titles = names if names[0] != names[1] else (str(folders[0]), str(folders[1]))
    comparison = compare(first, second, groups, titles)
    out = args.out or args.runs / _joint_name("comparison", titles)
    out.mkdir(parents=True, exist_ok=True)
    write_json(comparison, out / "comparison.json")
    cli.show_result(comparison_table(comparison, "the first against the second"), out)


def _question(args: argparse.Namespace) -> "Question":
    from mmer_tf.evaluation.judgement import Question

    return Question(args.data, args.split, args.map, cli.progress_bar)


def _require_several(folders: Sequence[Path]) -> None:
    if len(folders) < 2:
        raise EvaluationError(f"an ensemble needs at least two runs, not {folders[0]} alone")
    resolved = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, resolved, strict=True):
        if resolved.count(place) > 1:
            raise EvaluationError(f"{folder} is named twice; its vote would count twice")


def _joint_name(kind: str, names: Sequence[str]) -> str:
    """A name for what comes out of several runs."""
    return f"{kind}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}"


def _joint(values: Iterable[Any]) -> Any:
    """The value that all have, or all values in words."""
    distinct = sorted(set(values))
    return distinct[0] if len(distinct) == 1 else ", ".join(map(str, distinct))


def _report_folder(home: Path, judged: "Judged") -> Path:
    """The folder of the run for its own test split, else one in it."""
    return home if judged.is_own_test else home / f"{judged.data}-{judged.split}"


def _require_no_run(out: Path) -> None:
    """Refuse to write over the report of a run, which summaries read as that of its test."""
    if (out / "split.json").is_file():
        raise EvaluationError(
            f"--out {out} is the folder of a run and keeps the report of the run's own test split; "
            "name another folder, or leave out --out"
        )


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser("evaluate", "Evaluate a run, several that vote, or compare two.")
    parser.epilog = EXAMPLES
    which = cli.add_run_arguments(parser, ensembles=True)
    which.add_argument(
        "--compare",
        nargs=2,
        metavar="RUN",
        help="two finished runs, or summaries over folds: is the first better than the second?",
    )
    cli.add_weights_argument(parser)
    parser.add_argument(
        "--vote",
        choices=("majority", "mean"),
        help="whose report an ensemble writes: of the majority vote, where the higher mean "
        "probability decides a draw, or of the mean probability (default)",
    )
    parser.add_argument(
        "--data", type=as_path, metavar="DIR", help="prepared data set (default: the run's own)"
    )
    parser.add_argument(
        "--map",
        metavar="OURS=THEIRS,…",
        help="of --data with other names of the classes: each of the run's classes, and what "
        "the data calls it; `hap=joy+excited` takes two for one; others are left out",
    )
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        help="default: test; all for other data",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="measure it on distorted recordings and transcripts too",
    )
    parser.add_argument(
        "--explain",
        nargs="+",
        default=[],
        metavar="ID",
        help="utterances of the split to show attention of (default: some right and wrong ones)",
    )
    cli.add_report_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the report goes (default: the run, or a folder in it; for an ensemble "
        "saved_models/ensemble-…, for a comparison saved_models/comparison-…)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
