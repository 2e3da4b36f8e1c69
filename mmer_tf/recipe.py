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
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from mmer_tf.atomic import write_text
from mmer_tf.registry import Registry
from mmer_tf.types import MAX_SECONDS, Seconds

STRICT = ConfigDict(extra="forbid")


class RecipeError(ValueError):
    """A recipe that cannot be read; the message names the file or the field."""


def parse_layers(value: Any) -> Any:
    """Numbers of hidden states as people write them.

    >>> parse_layers("5-9"), parse_layers(6), parse_layers("0,3-4")
    ((5, 6, 7, 8, 9), (6,), (0, 3, 4))

    Raises:
        ValueError: text that names no layers.
    """
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, str):
        return value
    numbers: list[int] = []
    for part in value.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"`{value}` names no layers; write them as 6, 5-9 or 0,3-4")
        numbers += range(int(first), int(last or first) + 1)
    if len(set(numbers)) < len(numbers) or not numbers:
        raise ValueError(f"`{value}` names a layer twice, or none")
    return tuple(numbers)


Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(parse_layers)]
"""Hidden states of a transformer: 0 is what enters its first layer, N what layer N answers."""

SpeechFeature = Literal["log_mel", "mfcc", "lld", "log_spectrogram", "mel_image", "waveform"]


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
    """Keep the records of a split in memory even if they need more than 512 MB."""
    augmented_copies: int = Field(default=0, ge=0, le=16)
    """Copies of each recording with a perturbed waveform (`audio.perturbation`), stored beside
    it, among which and itself training draws anew every epoch."""


@dataclass(frozen=True, config=STRICT)
class Upstream:
    """A transformer whose hidden states are what the encoder reads."""

    encoder: str
    weights: str | None = None
    """Hub id or folder in Hugging Face layout; None starts from nothing."""
    layers: Layers | None = None
    """Which hidden states; of several a sum with learned weights. None is the last."""
    frozen: bool = True
    stored: bool = False
    """Compute the hidden states once and keep them in the shards, not the transformer in the
    model; for a frozen one with published weights."""
    options: dict[str, Any] = Field(default_factory=dict)

    def __post_init__(self):
        if self.stored and not (self.frozen and self.weights):
            raise ValueError("`stored` hidden states need `frozen: true` and `weights`")


@dataclass(frozen=True, config=STRICT)
class Speech:
    """The voice: which stored feature goes through which encoder."""

    encoder: str
    feature: SpeechFeature | tuple[SpeechFeature, ...] = "log_mel"
    """Several for an encoder of several streams."""
    weights: str | dict[str, str] | None = None
    """Published weights of the encoder: hub id, folder or `.safetensors` file; None trains from
    scratch. An encoder of several streams takes one for each part that has some."""
    frozen: bool = False
    layers: Layers | None = None
    """Hidden states of an encoder that has several; None is the last."""
    upstream: Upstream | None = None
    pooling: str | None = None
    """None takes the recipe's."""
    pooling_options: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The features by name, as one is and as several are."""
        return (self.feature,) if isinstance(self.feature, str) else self.feature


@dataclass(frozen=True, config=STRICT)
class Text:
    """The words: which encoder, started from which weights."""

    encoder: str
    weights: str | None = None
    """Hub id or folder in Hugging Face layout; None trains from scratch."""
    frozen: bool = False
    layers: Layers | None = None
    """Hidden states of an encoder that has several; None is the last."""
    upstream: Upstream | None = None
    pooling: str | None = None
    """None takes the recipe's."""
    pooling_options: dict[str, Any] = Field(default_factory=dict)
    vocabulary_size: int = Field(default=1000, ge=10)
    """Of the WordPiece vocabulary built from the training split when there are no weights."""
    max_tokens: int = Field(default=128, ge=3)
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def tokenizer_source(self) -> str | None:
        """The published weights whose tokenizer the words go through; None builds one."""
        return self.upstream.weights if self.upstream else self.weights


@dataclass(frozen=True, config=STRICT)
class SpecAugment:
    """Masked stretches of time and frequency (Park et al. 2019)."""

    time_masks: int = Field(default=0, ge=0)
    max_time_share: float = Field(default=0.2, ge=0, le=1)
    frequency_masks: int = Field(default=0, ge=0)
    max_frequency_share: float = Field(default=0.15, ge=0, le=1)


@dataclass(frozen=True, config=STRICT)
class WaveformAugment:
    """Other takes of a recording, drawn anew every epoch; features are then computed from the
    stored waveform in training."""

    min_snr_db: float | None = Field(default=None, le=40)
    """Add white noise at a random signal-to-noise ratio from this one to 40 dB; None adds none."""
    max_gain_db: float = Field(default=0.0, ge=0)
    """Greatest random change of the level, up or down."""
    max_shift_seconds: Seconds = Field(default=0.0, ge=0)
    """Greatest random shift in time: that much is cut off at one end and silent at the other."""


@dataclass(frozen=True, config=STRICT)
class Train:
    """How the weights are found."""

    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=0, ge=0)
    """Epochs without a better validation UA before training stops; 0 never stops early."""
    batch_size: int = Field(default=32, ge=1)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0)
    lowest_learning_rate: float | None = Field(default=None, gt=0)
    """Discriminative rates: this one at the first layer of an encoder, from there in equal ratios
    up to `learning_rate` at its last; None is the same rate everywhere."""
    epsilon: float = Field(default=1e-7, gt=0)
    """Of Adam."""
    schedule: Literal["constant", "linear", "cosine", "step", "one_cycle"] = "constant"
    warmup_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from zero."""
    step_epochs: int = Field(default=10, ge=1)
    """Of the schedule `step`: epochs after which the rate is multiplied by `step_factor`."""
    step_factor: float = Field(default=0.1, gt=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = False
    """Weigh each utterance by the inverse frequency of its class."""
    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    spec_augment: SpecAugment = Field(default_factory=SpecAugment)
    vocal_tract_warp: float = Field(default=0.0, ge=0)
    """Greatest random stretch of log-mel's frequency axis (vocal tract length perturbation)."""
    waveform_augment: WaveformAugment = Field(default_factory=WaveformAugment)
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are averaged into one step of the optimizer."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Of the computation in training; weights and the saved model are float32."""
    xla: bool = False
    """Compile each step with XLA, once for each length of batch that occurs."""
    deterministic: bool = False
    """Use deterministic kernels alone, also where they are slower."""


@dataclass(frozen=True, config=STRICT)
class Stage:
    """One of several trainings in a row, each of which starts from the best epoch of the last."""

    trains: Literal["speech", "text", "head", "all"]
    """`speech` and `text`: a classifier of that modality alone, whose weights the later stages
    take over; `head`: everything but encoders and upstreams, which are frozen; `all`."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Fields of `train` that differ in this stage."""


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
    stages: tuple[Stage, ...] = ()
    """Trainings in a row; none is one training of everything."""
    tiny: dict[str, Any] = Field(default_factory=dict)
    """Overrides that shrink the system for a trial run (`--tiny`)."""

    def __post_init__(self):
        if self.speech is None and self.text is None:
            raise ValueError("a recipe needs `speech`, `text` or both")
        if self.speech and self.text and not self.fusion:
            raise ValueError("speech and text need a `fusion`")
        if self.fusion and not (self.speech and self.text):
            raise ValueError("a `fusion` needs both `speech` and `text`")
        for stage in self.stages:
            self.train_of(stage)
            if stage.trains in ("speech", "text") and not self.fusion:
                raise ValueError(f"a stage `{stage.trains}` needs both `speech` and `text`")
        if self.stages and self.stages[-1].trains not in ("head", "all"):
            raise ValueError("the last of the `stages` must train the `head` or `all`")

    def train_of(self, stage: Stage) -> Train:
        """The settings of one stage.

        Raises:
            ValueError: the stage names a field that `train` does not have, or an ill-typed value.
        """
        values = dataclasses.asdict(self.train) | stage.train  # pyright: ignore[reportArgumentType]
        return TypeAdapter(Train).validate_python(values)


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


def list_models() -> dict[str, tuple[str, str]]:
    """Every shipped recipe: its name -> what it is, and its authors' published score.

    >>> list_models()["gmu_text"][0]
    'small BERT from scratch, attention pooling (the words alone)'
    """
    recipes = {name: load_recipe(file) for name, file in shipped_recipes().items()}
    return {name: (recipe.summary, recipe.published) for name, recipe in recipes.items()}


def load_recipe(file: Path, overrides: Sequence[str] = (), tiny: bool = False) -> Recipe:
    """Read a recipe and apply `train.epochs=3`-like overrides, the later the stronger.

    A number in a path counts in a list, as `stages.0.train.epochs=3`. An override of `train` holds
    for every stage that an earlier value came from.

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
    place: Any = values
    for parent in parents:
        if isinstance(place, list) and parent.isdecimal() and int(parent) < len(place):
            place = place[int(parent)]
            continue
        if not isinstance(place, dict):
            raise RecipeError(f"{path}: there is no `{parent}`")
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict | list):
            raise RecipeError(f"{path}: `{parent}` holds a value, not fields")
    if not isinstance(place, dict):
        raise RecipeError(f"{path}: `{parents[-1]}` is a list, not fields")
    place[last] = value
    if parents == ["train"]:
        for stage in values.get("stages") or ():
            (stage.get("train") or {}).pop(last, None)


def save_recipe(recipe: Recipe, file: Path) -> None:
    """Write a recipe such that `load_recipe` gives an equal one."""
    text = yaml.safe_dump(recipe_to_mapping(recipe), sort_keys=False, allow_unicode=True)
    write_text(file, text)


def fingerprint(recipe: Recipe) -> str:
    """Eight hexadecimal digits that differ when any field differs."""
    canonical = json.dumps(recipe_to_mapping(recipe), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
