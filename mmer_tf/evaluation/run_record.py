"""What the files of a run say of its making, as far as they are there."""

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import yaml

from mmer_tf.bundle import BundleError, read_encoders
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.labels import parse_labels
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.evaluation.history import best_epoch, read_history
from mmer_tf.run_files import SPLIT, RunFileError, read_split

MODEL = "model.keras"
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder tells it; what is not there is empty or None.

    Args:
        name: of the folder.
        recipe: plain values of `recipe.yaml`.
        stored: what `split.json` holds.
        dataset: that it was divided on, in the recipe's classes; None where that is gone or is
            no longer the same.
        encoders: of stored hidden states, as `encoders.json` has them.
        epochs: stage -> epochs trained, and which of them was kept; "" is the only stage.
        weights: numbers in the model.
        bytes: of the model's file.
    """

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    dataset: Dataset | None = None
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    weights: int | None = None
    bytes: int | None = None

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """What a folder holds; a damaged file counts as none."""
        recipe = _recipe(folder)
        stored = _stored(folder)
        model = folder / MODEL
        return cls(
            name=folder.resolve().name,
            recipe=recipe,
            stored=stored,
            dataset=_dataset(stored, recipe),
            encoders=_encoders(folder),
            epochs={
                stage: (len(rows), int(best_epoch(rows)["epoch"]))
                for stage, rows in read_history(folder).items()
            },
            weights=count_weights(model) if model.is_file() else None,
            bytes=model.stat().st_size if model.is_file() else None,
        )

    def speakers(self, part: str) -> list[str] | None:
        """Who speaks in a part of the division, sorted; None where that is not known."""
        rows = self._rows(part)
        names = {row.speaker for row in rows or () if row.speaker}
        return sorted(names) if names else None

    def classes(self, part: str) -> dict[str, int] | None:
        """Class -> utterances of a part of the division; None where that is not known."""
        rows = self._rows(part)
        if rows is None or self.dataset is None:
            return None
        said = [row.label for row in rows]
        return {label: said.count(label) for label in self.dataset.labels}

    def _rows(self, part: str) -> list[Any] | None:
        if self.dataset is None or part not in self.stored:
            return None
        ids = set(self.stored[part])
        return [row for row in self.dataset.rows if row.id in ids]


def count_weights(model: Path) -> int | None:
    """Numbers in a `.keras` file, statistics of normalisation among them; None if unreadable."""
    shapes: list[tuple[int, ...]] = []

    def note(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and "seed_generator" not in name:
            shapes.append(entry.shape)

    try:
        with zipfile.ZipFile(model) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content) as weights:
            weights.visititems(note)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    return sum(map(math.prod, shapes))


def _recipe(folder: Path) -> dict[str, Any]:
    file = folder / RECIPE
    try:
        return dict(yaml.safe_load(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        return {}


def _stored(folder: Path) -> dict[str, Any]:
    try:
        return read_split(folder) if (folder / SPLIT).is_file() else {}
    except RunFileError:
        return {}


def _encoders(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        return read_encoders(folder)
    except BundleError:
        return {}


def _dataset(stored: Mapping[str, Any], recipe: Mapping[str, Any]) -> Dataset | None:
    selected = (recipe.get("data") or {}).get("labels")
    try:
        dataset = read_dataset(stored["data"])
        if dataset.digest != stored["data_digest"]:
            return None
        return dataset.select(parse_labels(selected)) if selected else dataset
    except (KeyError, OSError, DatasetError, CorpusError):  # OSError: a bucket out of reach
        return None
