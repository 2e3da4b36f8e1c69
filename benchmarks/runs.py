"""Trainings of a benchmark: each in a process of its own, and none of them twice.

A training is known by its recipe's content, data set, fold and seed, which make up the name of
its folder. A finished one is only read; one that was killed goes on after its last epoch.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmer_tf.recipe import fingerprint, load_recipe, shipped_recipes

RUNS = Path("saved_models") / "benchmarks"
"""Where trainings of benchmarks go, below the folder that the script is started in."""

REPORT = "report.json"


@dataclass(frozen=True)
class Finished:
    """One training that is done.

    Args:
        folder: the run.
        report: its `report.json`.
        epochs: passes over the training data, of all stages together.
    """

    folder: Path
    report: Mapping[str, Any]
    epochs: int


def add_arguments(parser: argparse.ArgumentParser, script: str) -> None:
    """What every script that trains takes: where runs and the table go, and their size.

    Args:
        parser: of the script.
        script: its file, beside which the table is written.
    """
    out = Path(script).with_suffix(".md")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help=f"default: {RUNS}")
    parser.add_argument("--tiny", action="store_true", help="recipes at their trial size")
    parser.add_argument(
        "--out", type=Path, default=out, metavar="FILE", help=f"default: benchmarks/{out.name}"
    )


def train(
    name: str,
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    data: Path | None,
    fold: int,
    seed: int,
    runs: Path = RUNS,
    tiny: bool = False,
) -> Finished:
    """Train a recipe with held-out speakers, or read what an earlier call left.

    Args:
        name: what the system is called; begins the name of the run.
        recipe: name of a shipped recipe.
        overrides: changes of it, as `train.epochs=3`.
        data: prepared data set; None is the synthetic corpus.
        fold: of the protocol `speaker`.
        seed: of the training.
        runs: folder of the runs.
        tiny: the recipe at its trial size.

    Raises:
        SystemExit: the training failed; it has said why.
    """
    settings = load_recipe(shipped_recipes()[recipe], overrides, tiny)
    described = replace(settings, summary="", published="", tiny={})  # what changes no figure
    data_name = data.resolve().name if data else "synthetic"
    run = f"{name}-{fingerprint(described)}-{data_name}-speaker-fold{fold}-seed{seed}"
    folder = runs / run
    if not (folder / REPORT).is_file():
        command = [sys.executable, "-m", "mmer_tf.train", "--model", recipe, *overrides]
        command += ["--protocol", "speaker", "--folds", str(fold), "--seed", str(seed)]
        command += ["--run", run, "--runs", str(runs)]
        command += ["--data", str(data)] if data else []
        command += ["--tiny"] if tiny else []
        code = subprocess.run(command).returncode
        if code:
            raise SystemExit(f"{run}: exit code {code}; the same command goes on from here")
    stages = [settings.train_of(stage) for stage in settings.stages] or [settings.train]
    return Finished(
        folder=folder,
        report=read_json(folder / REPORT),
        epochs=sum(stage.epochs for stage in stages),
    )


def read_json(file: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(file.read_text(encoding="utf-8"))
