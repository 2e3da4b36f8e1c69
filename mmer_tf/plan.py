"""What the command `train` is about to do: each training, its name and its folder.

Imports neither TensorFlow nor Keras, so that a mistake is told before anything is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmer_tf.data.manifest import Dataset
from mmer_tf.feasibility import usable_rows
from mmer_tf.protocols.splits import Split, num_folds, split
from mmer_tf.recipe import Recipe, Train, fingerprint, load_recipe, shipped_recipes
from mmer_tf.run_files import REPORT, SPLIT, read_split


class RunError(ValueError):
    """A run that cannot be started or continued, with what to do."""


@dataclass(frozen=True)
class Plan:
    """One training: everything that decides what comes out.

    Args:
        recipe: overrides applied.
        data: the utterances that it can read.
        split: who trains, who chooses the epoch, who tests.
        seed: of the weights, the order and all that is drawn.
        folder: where the run goes.
        encoder_split: the division on which the stages `speech` and `text` are trained, where it
            is another one (see `leaky`).
    """

    recipe: Recipe
    data: Dataset
    split: Split
    seed: int
    folder: Path
    encoder_split: Split | None = None

    @property
    def data_name(self) -> str:
        """What the data set is called in names and reports."""
        return self.data.folder.resolve().name  # resolved, since `.` has no name

    @property
    def finished(self) -> bool:
        """The report is written last."""
        return (self.folder / REPORT).is_file()

    @property
    def identity(self) -> dict[str, Any]:
        """What, with the recipe, makes two runs one and the same."""
        return {
            "digest": self.split.digest,
            "seed": self.seed,
            "data_digest": self.data.digest,
            "encoder_digest": self.encoder_split.digest if self.encoder_split else None,
        }


@dataclass(frozen=True)
class Training:
    """One fit, of which a plan has one, or one for each stage of its recipe.

    Args:
        name: `1-speech`, `2-head`, …; empty for a recipe without stages.
        trains: as of `recipe.Stage`.
        recipe: of the model that is fitted: of one branch alone for `speech` and `text`.
        split: whose training utterances it sees and whose validation utterances choose its epoch.
        settings: of this stage.
    """

    name: str
    trains: str
    recipe: Recipe
    split: Split
    settings: Train

    @property
    def alone(self) -> bool:
        """Whether the model is one of its own, whose encoder the whole takes over."""
        return self.trains in ("speech", "text")


def trainings(plan: Plan) -> list[Training]:
    """What a plan fits, one after the other.

    Raises:
        RunError: a stage of one branch has no utterance to train or to validate on.
    """
    recipe = plan.recipe
    if not recipe.stages:
        return [Training("", "all", recipe, plan.split, recipe.train)]
    planned = []
    for number, stage in enumerate(recipe.stages, 1):
        name, settings = f"{number}-{stage.trains}", recipe.train_of(stage)
        training = Training(name, stage.trains, recipe, plan.split, settings)
        planned.append(_one_branch(plan, training) if training.alone else training)
    return planned


def _one_branch(plan: Plan, training: Training) -> Training:
    """The same for the voice or the words alone, and the utterances that have them."""
    other = "text" if training.trains == "speech" else "speech"
    changes: dict[str, Any] = {other: None, "fusion": None, "fusion_options": {}, "stages": ()}
    recipe = replace(plan.recipe, train=training.settings, **changes)
    division = plan.encoder_split or plan.split
    readable = {row.id for row in usable_rows(recipe, plan.data)[0].rows}
    parts = {}
    for part in ("train", "validation"):
        parts[part] = tuple(id for id in getattr(division, part) if id in readable)
        if not parts[part]:
            lacking = "recording" if recipe.speech else "transcript"
            raise RunError(
                f"no {part} utterance of {plan.data.folder} has a {lacking} for the stage "
                f"`{training.trains}`; choose another --protocol or a recipe without that stage"
            )
    return replace(training, recipe=recipe, split=replace(division, **parts))


def make_plans(
    recipe: Recipe,
    data: Dataset,
    notes: Sequence[str],
    *,
    protocol: str,
    fold: int | str,
    seeds: Sequence[int],
    run: str | None,
    runs: Path,
) -> list[Plan]:
    """A training for each seed and fold.

    Args:
        recipe: overrides applied.
        data: the utterances that it can read.
        notes: what a reader of the figures must know about them.
        protocol: how they are divided.
        fold: number of the fold that tests, or "all".
        seeds: one or more.
        run: name of the run; None derives it from what decides the outcome.
        runs: where runs go.

    Raises:
        RunError: `run` is not a name.
        groups.ProtocolError: the protocol cannot divide these utterances, or has no such fold.
    """
    last = num_folds(data.rows, protocol)
    folds = range(last) if fold == "all" else [int(fold)]
    several = len(folds) * len(seeds) > 1
    plans = []
    for seed in seeds:
        for number in folds:
            division = split(data.rows, protocol, number, seed)
            division = replace(division, notes=(*division.notes, *notes))
            if run:
                name = f"{run}-fold{number}-seed{seed}" if several else run
            else:
                name = _run_name(recipe, data, protocol, f"fold{number}", seed)
            plans.append(Plan(recipe, data, division, seed, run_folder(runs, name)))
    return plans


def summary_folder(
    plans: Sequence[Plan], fold: int | str, seeds: Sequence[int], run: str | None
) -> Path:
    """Where the figures over several of `make_plans`' runs go."""
    first = plans[0]
    folds = "folds" if fold == "all" else f"fold{fold}"
    protocol, numbers = first.split.protocol, ",".join(map(str, seeds))
    name = run or _run_name(first.recipe, first.data, protocol, folds, numbers)
    return run_folder(first.folder.parent, name)


def require_encoder_stages(recipe: Recipe) -> None:
    """Refuse a recipe of which there is no leaky variant.

    Raises:
        RunError: it trains no encoder in a stage of its own.
    """
    if not any(stage.trains in ("speech", "text") for stage in recipe.stages):
        raise RunError(
            f"recipe {recipe.name} trains no encoder in a stage of its own, so that none can leak; "
            "--leaky needs a recipe with a stage `speech` or `text`, such as alexnet_bert"
        )


def leaky(plan: Plan) -> Plan:
    """The same run with encoders that come from another division of the utterances.

    Several published systems train their encoders on one random split and test the fusion of them
    on another. The difference to the clean run is what the encoders remember of test utterances.
    """
    encoder_split = split(plan.data.rows, "random", 0, plan.seed + 1)
    test = set(plan.split.test)
    note = (
        f"leaky on purpose and no result: its encoders were trained on another split and have "
        f"seen {len(test & set(encoder_split.train))} of the {len(test)} test utterances"
    )
    return replace(
        plan,
        split=replace(plan.split, notes=(*plan.split.notes, note)),
        folder=plan.folder.with_name(f"{plan.folder.name}-leaky"),
        encoder_split=encoder_split,
    )


def run_folder(runs: Path, name: str) -> Path:
    """The folder of a run.

    Raises:
        RunError: `name` is a path.
    """
    if name != Path(name).name or name == "..":
        raise RunError(f"a run needs a name, not a path such as '{name}'; --runs DIR says where")
    return runs / name


def check_folders(plans: Sequence[Plan], summaries: Sequence[Path], overwrite: bool) -> None:
    """Refuse, before anything is trained, what would mix or destroy runs.

    Raises:
        RunError: a folder holds something else, or the only run is finished.
        RunFileError: a run that was begun is damaged.
    """
    for plan in plans:
        _check_folder(plan, overwrite)
    for summary in summaries:
        if (summary / SPLIT).is_file():
            raise RunError(
                f"{summary} is one run, not the summary of several; choose another --run"
            )
    if len(plans) == 1 and plans[0].finished and not overwrite:
        raise RunError(
            f"{plans[0].folder} is finished; --overwrite trains it anew, --run NAME keeps both, "
            f"python -m mmer_tf.evaluate --run {plans[0].folder.name} shows its report"
        )


def _check_folder(plan: Plan, overwrite: bool) -> None:
    recipe_file = plan.folder / "recipe.yaml"
    if not (plan.folder / SPLIT).is_file():
        if plan.folder.exists() and any(file != recipe_file for file in plan.folder.iterdir()):
            raise RunError(f"{plan.folder} holds other files than a run's; choose another --run")
        return
    if overwrite:
        return
    stored = read_split(plan.folder)
    same = all(stored.get(key) == value for key, value in plan.identity.items())
    if not same or load_recipe(recipe_file) != plan.recipe:
        raise RunError(
            f"{plan.folder} is a run of another recipe, data set, split or seed; "
            "--overwrite replaces it, --run NAME keeps both"
        )


def _run_name(recipe: Recipe, data: Dataset, protocol: str, fold: str, seed: int | str) -> str:
    """Readable, and different whenever the outcome may differ."""
    shipped = shipped_recipes()
    as_shipped = recipe.name in shipped and load_recipe(shipped[recipe.name]) == recipe
    variant = "" if as_shipped else f"+{fingerprint(recipe)}"
    return f"{recipe.name}{variant}-{data.folder.resolve().name}-{protocol}-{fold}-seed{seed}"
