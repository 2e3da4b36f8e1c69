"""`python -m mmer_tf.audit`: whether test utterances leak into training, and what else they share.

Exit code 0 without leaks, 1 with, 2 where it cannot be told.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mmer_tf import cli
from mmer_tf.data.fingerprints import dataset_fingerprints
from mmer_tf.data.manifest import Dataset, read_dataset
from mmer_tf.data.progress import Progress, silent
from mmer_tf.feasibility import in_classes
from mmer_tf.leakage import (
    audit_dataset,
    audit_other_dataset,
    own_dataset,
    published_weights,
    seen_ids,
)
from mmer_tf.protocols.audit import audit_split, joint_audit
from mmer_tf.protocols.predefined import PARTS
from mmer_tf.protocols.splits import PROTOCOLS, num_folds, split
from mmer_tf.remote import as_path
from mmer_tf.run_files import read_split

EXIT_CODES = {"clean": 0, "leak": 1, "unknown": cli.USER_ERROR}

SHOWN = 2
LONGEST = 60
"""Examples of a finding on the screen, and their characters; JSON has them all, and whole."""

EXAMPLES = """exit code: 0 without leaks, 1 with, 2 where it cannot be told

examples:
  python -m mmer_tf.audit --data data/emodb --protocol speaker
  python -m mmer_tf.audit --data data/emodb --protocol sentence --fold 0 --json
  python -m mmer_tf.audit --run gmu-emodb-speaker-fold0-seed0
  python -m mmer_tf.audit --run gmu-emodb-speaker-fold0-seed0 --data data/other
"""


class AuditRequestError(ValueError):
    """Something that cannot be audited, with what to name instead."""


def main(args: argparse.Namespace) -> int:
    """Audit a protocol on a data set, or a run; print the verdict first."""
    progress = silent if args.json else cli.progress_bar
    result = (_audit_run if args.run else _audit_protocol)(args, progress)
    if args.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _show(result)
    return EXIT_CODES[result["verdict"]]


def _audit_protocol(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Every fold that was asked for, and all of them together."""
    if args.data is None or args.protocol is None:
        raise AuditRequestError("name a data set and a protocol (--data, --protocol), or a --run")
    dataset = read_dataset(args.data)
    count = num_folds(dataset.rows, args.protocol)
    folds = range(count) if args.fold in (None, "all") else [int(args.fold)]
    seed = args.seed or 0
    divisions = [split(dataset.rows, args.protocol, fold, seed) for fold in folds]
    fingerprints = dataset_fingerprints(dataset, progress)
    audits = [
        audit_split(
            dataset.rows,
            {part: getattr(division, part) for part in PARTS},
            args.protocol,
            fingerprints=fingerprints,
        ).to_mapping()
        for division in divisions
    ]
    named = [(f"fold {one.fold}", audit) for one, audit in zip(divisions, audits, strict=True)]
    about = {"data": str(args.data), "protocol": args.protocol, "seed": seed}
    if len(divisions) == 1:
        return about | {"fold": divisions[0].fold} | audits[0]
    each = [{"fold": one.fold} | audit for one, (_, audit) in zip(divisions, named, strict=True)]
    return about | {"fold": "all"} | joint_audit(named) | {"folds": each}


def _audit_run(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """A run's own division and what it was fitted to; or its evaluation on other data."""
    if args.fold is not None:
        raise AuditRequestError("a run has one fold, its own: leave out --fold")
    if args.seed is not None:
        raise AuditRequestError("a run has one seed, its own: leave out --seed")
    cli.import_tensorflow()
    from mmer_tf.bundle import Bundle
    from mmer_tf.fitted import with_what_is_fitted

    folder = cli.run_folder(args.run, args.runs)
    bundle = Bundle.load(folder)
    stored = read_split(folder)
    data = args.data or as_path(stored["data"])
    dataset = read_dataset(data)
    is_own = dataset.digest == stored.get("data_digest")
    dataset = _in_classes(bundle, dataset)
    published = published_weights(bundle.recipe)
    about = {"run": folder.name, "data": str(data)}
    if not is_own:
        if args.protocol:
            raise AuditRequestError(
                f"{data} is not the data that {folder.name} was divided on: leave out --protocol"
            )
        own = own_dataset(stored)
        own = _in_classes(bundle, own) if own else None
        ids = [row.id for row in dataset.rows]
        seen = seen_ids(stored, bundle.trained_on)
        audit = audit_other_dataset(own, seen, dataset, ids, published=published, progress=progress)
        return about | audit.to_mapping()
    protocol = args.protocol or stored["protocol"]
    audit = audit_dataset(
        dataset,
        stored,
        trained_on=bundle.trained_on,
        published=published,
        protocol=protocol,
        progress=progress,
    )
    audit = with_what_is_fitted(audit, bundle, dataset, stored)
    about |= {"protocol": protocol, "fold": stored["fold"], "seed": stored["seed"]}
    return about | audit.to_mapping()


def _in_classes(bundle: Any, dataset: Dataset) -> Dataset:
    """The classes kept and merged as for the run's training, where need be."""
    known = set(dataset.labels) <= set(bundle.labels)
    return dataset if known else in_classes(bundle.recipe, dataset)


def _show(result: Mapping[str, Any]) -> None:
    """The verdict on the first line, then a row a finding."""
    leaks = sum(finding["severity"] == "leak" for finding in result["findings"])
    notes = len(result["findings"]) - leaks
    style = {"clean": "green", "leak": "red", "unknown": "yellow"}[result["verdict"]]
    about = ", ".join(
        f"{name} {result[name]}"
        for name in ("run", "data", "protocol", "fold", "seed")
        if result.get(name) is not None
    )
    verdict = Text(result["verdict"], style=f"bold {style}")
    verdict.append(
        f": {_number(leaks, 'leak')}, {_number(notes, 'note')}, "
        f"{len(result['unknown'])} unknown ({about})",
        style="not bold default",
    )
    cli.console.print(verdict, soft_wrap=True)
    if result["findings"]:
        several = "folds" in result
        table = Table("", "kind", "count", "what", *(["folds"] if several else []), "examples")
        table.columns[2].justify = "right"
        for finding in result["findings"]:
            cells = [finding["severity"], finding["kind"], str(finding["count"])]
            cells += [finding["message"]]
            if several:
                cells += [_where(finding["runs"], len(result["folds"]))]
            shown = finding["examples"][:SHOWN]
            cells += ["\n".join(textwrap.shorten(e, LONGEST, placeholder=" …") for e in shown)]
            table.add_row(*map(Text, cells), style="red" if cells[0] == "leak" else None)
        cli.console.print(table)
    for message in result["unknown"]:
        cli.console.print(Text(f"unknown: {message}"), soft_wrap=True)


def _where(runs: list[str], count: int) -> str:
    return "all" if len(runs) == count else ", ".join(run.removeprefix("fold ") for run in runs)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def make_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = cli.make_parser(
        "audit", "Tell leaks between training and test from overlap that the protocol permits."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("--data", type=as_path, metavar="DIR", help="prepared data set")
    parser.add_argument(
        "--protocol",
        choices=sorted(PROTOCOLS),
        help="whose folds are audited; with --run, whose promises count (default: its own)",
    )
    parser.add_argument(
        "--fold",
        "--folds",
        type=cli.fold_number,
        metavar="K|all",
        help="one fold, counted from 0, or all of them (default)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of what a protocol draws (default: 0)"
    )
    parser.add_argument(
        "--run", help="audit a trained run and what it was fitted to: a name, or a folder"
    )
    parser.add_argument("--runs", type=Path, default=cli.RUNS, metavar="DIR", help="where runs are")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(cli.run(main, make_parser()))
