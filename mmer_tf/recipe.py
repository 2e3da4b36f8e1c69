"""The one configuration format: a YAML file, checked field by field.

`configs/<name>.yaml` describes a whole experiment. A wrong key or value is named with its path:

>>> recipe_from_mapping({"name": "x", "summary": "", "train": {"epoch": 3}})
Traceback (most recent call last):
    ...
mmer_tf.recipe.RecipeError: train.epoch: Unexpected keyword argument
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mmer_tf.registry import Registry
from mmer_tf.types import MAX_SECONDS, Seconds

STRICT = ConfigDict(extra="forbid")


class RecipeError(ValueError):
    """A recipe that cannot be read; the message names the file or the field."""


@dataclass(frozen=True, config=STRICT)
class Data:
    """How utterances are read from the shards."""

    labels: str | None = None
    """Classes to keep and to merge, as `ang,hap+exc,sad,neu`; None keeps the data set's."""
    cleaning: Literal["sentences", "lemmas"] = "sentences"
    max_seconds: Seconds = Field(default=MAX_SECONDS, ge=0.1)
    soft_labels: bool = False
    """Train on the shares of votes where the corpus has them; validation and test stay hard."""
    cache: bool = False
    """Keep the records in memory after the first epoch."""


@dataclass(frozen=True, config=STRICT)
class Speech:
    """The voice: which stored feature goes through which encoder."""

    encoder: str
    feature: Literal["log_mel", "mfcc", "lld"] = "log_mel"
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Text:
    """The words: which encoder, started from which weights."""

    encoder: str
    weights: str | None = None
    """Hub id or folder in Hugging Face layout; None trains from scratch."""
    vocabulary_size: int = Field(default=1000, ge=10)
    """Of the WordPiece vocabulary built from the training split when there are no weights."""
    max_tokens: int = Field(default=128, ge=3)
    options: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class SpecAugment:
    """Masked stretches of time and frequency (Park et al. 2019)."""

    time_masks: int = Field(default=0, ge=0)
    max_time_share: float = Field(default=0.2, ge=0, le=1)
    frequency_masks: int = Field(default=0, ge=0)
    max_frequency_share: float = Field(default=0.15, ge=0, le=1)


@dataclass(frozen=True, config=STRICT)
class Train:
    """How the weights are found."""

    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=0, ge=0)
    """Epochs without a better validation UA before training stops; 0 never stops early."""
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    """Weigh each utterance by the inverse frequency of its class."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    spec_augment: SpecAugment = Field(default_factory=SpecAugment)
    vocal_tract_warp: float = Field(default=0.0, ge=0)
    """Greatest random stretch of log-mel's frequency axis (vocal tract length perturbation)."""


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """One experiment, from the stored feature to the trained classifier."""

    name: str
    summary: str
    published: str = ""
    """The authors' score with its protocol, as published."""
    data: Data = Field(default_factory=Data)
    speech: Speech | None = None
    text: Text | None = None
    pooling: str = "attention"
    pooling_options: dict[str, Any] = Field(default_factory=dict)
    fusion: str | None = None
    fusion_options: dict[str, Any] = Field(default_factory=dict)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Before the classifier."""
    train: Train = Field(default_factory=Train)
    tiny: dict[str, Any] = Field(default_factory=dict)
    """Overrides that shrink the system for a trial run (`--tiny`)."""

    def __post_init__(self):
        if self.speech is None and self.text is None:
            raise ValueError("a recipe needs `speech`, `text` or both")
        if self.speech and self.text and not self.fusion:
            raise ValueError("speech and text need a `fusion`")
        if self.fusion and not (self.speech and self.text):
            raise ValueError("a `fusion` needs both `speech` and `text`")


def recipe_from_mapping(values: Mapping[str, Any]) -> Recipe:
    """Check plain values against the format.

    Raises:
        RecipeError: names every wrong field with its path.
    """
    try:
        return TypeAdapter(Recipe).validate_python(dict(values))
    except ValidationError as error:
        problems = [
            ".".join(map(str, e["loc"])) + (": " if e["loc"] else "") + e["msg"]
            for e in error.errors()
        ]
        raise RecipeError("; ".join(problems)) from None


def recipe_to_mapping(recipe: Recipe) -> dict[str, Any]:
    """Plain values that `recipe_from_mapping` reads back to an equal recipe."""
    return dataclasses.asdict(recipe)  # pyright: ignore[reportArgumentType]


def shipped_recipes() -> Registry[Path]:
    """Names and files of the recipes that come with the package.

    setuptools copies `configs/` into the wheel as `mmer_tf/configs`; a checkout and an editable
    install have it beside the package instead.
    """
    packaged = Path(str(resources.files("mmer_tf"))) / "configs"
    folder = packaged if packaged.is_dir() else packaged.parent.parent / "configs"
    return Registry("recipe", {file.stem: file for file in sorted(folder.glob("*.yaml"))})


def load_recipe(file: Path, overrides: Sequence[str] = (), tiny: bool = False) -> Recipe:
    """Read a recipe and apply `train.epochs=3`-like overrides, the later the stronger.

    Raises:
        RecipeError: unreadable file, malformed override, unknown or ill-typed field.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{file}: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{file}: a recipe is a mapping of fields to values")
    if tiny:
        for path, value in (values.get("tiny") or {}).items():
            _set(values, path, value)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"{override}: an override reads `field=value`, as `train.epochs=3`")
        try:
            _set(values, path, yaml.safe_load(text))
        except yaml.YAMLError:
            raise RecipeError(f"{override}: `{text}` is not a YAML value") from None
    try:
        return recipe_from_mapping(values)
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from None


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise RecipeError(f"{path}: `{parent}` holds a value, not fields")
        values = child
    values[last] = value


def save_recipe(recipe: Recipe, file: Path) -> None:
    """Write a recipe such that `load_recipe` gives an equal one."""
    text = yaml.safe_dump(recipe_to_mapping(recipe), sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")


def fingerprint(recipe: Recipe) -> str:
    """Eight hexadecimal digits that differ when any field differs."""
    canonical = json.dumps(recipe_to_mapping(recipe), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
