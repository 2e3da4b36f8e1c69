"""Which trained runs the page offers, found without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmer_tf.recipe import RecipeError, load_recipe

_MARKS = ("model.keras", "labels.json", "recipe.yaml")


class NoRunError(ValueError):
    """No trained run to show."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        name: as the page calls it.
        folder: where it is.
        hears, reads: whether its model takes the voice, the words.
    """

    name: str
    folder: Path
    hears: bool
    reads: bool

    @property
    def title(self) -> str:
        """What the model takes, which a narrow screen shows first, and the name.

        >>> Run("gmu", Path("runs/gmu"), True, True).title
        'multimodal: gmu'
        """
        kind = "lexical"
        if self.hears:
            kind = "multimodal" if self.reads else "acoustic"
        return f"{kind}: {self.name}"


def find_runs(runs: Path, first: Path | None = None) -> Mapping[str, Run]:
    """The finished runs of a folder, the newest first; what is none is passed over.

    Args:
        runs: folder of runs.
        first: a run that comes before the others, wherever it is.

    Raises:
        NoRunError: `first` is no finished run, or there is none at all.
    """
    found: dict[str, Run] = {}
    if first is not None:
        if (run := _read(first)) is None:
            raise NoRunError(
                f"{first}: no finished run; `ls {runs}` shows what is there, "
                "and `make train` trains one"
            )
        found[run.name] = run
    folders = [one for one in runs.iterdir() if one.is_dir()] if runs.is_dir() else []
    for folder in sorted(folders, key=_written, reverse=True):
        if run := _read(folder):
            found.setdefault(run.name, run)
    if not found:
        raise NoRunError(f"{runs}: no finished run; train one with `make train`, or name --runs")
    return found


def _written(folder: Path) -> tuple[float, str]:
    model = folder / "model.keras"
    return (model.stat().st_mtime if model.is_file() else 0.0, folder.name)


def _read(folder: Path) -> Run | None:
    if not all((folder / name).is_file() for name in _MARKS):
        return None
    try:
        recipe = load_recipe(folder / "recipe.yaml")
    except (RecipeError, OSError):  # of another version, or not ours to read
        return None
    name = folder.resolve().name
    return Run(name, folder, recipe.speech is not None, recipe.text is not None)
