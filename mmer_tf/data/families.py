"""Shard families of features: which there are, what each holds, and how it is computed.

A family is named after its feature, `lld` or `hubert_states`; `lld_copy1` holds the same feature
of the recording after its first perturbation (`audio.perturbation`). A copy's record is that of
the original with another array, duration and word timings, so either can stand for the other.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mmer_tf.audio.perturbation import SETTINGS, perturb
from mmer_tf.data.features import FEATURES, Extractor, Layout
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.schema import encode
from mmer_tf.data.states import STATES_PER_SECOND, StatesFeature
from mmer_tf.text.normalise import clean
from mmer_tf.types import SAMPLE_RATE, Utterance, Word

WITHOUT_INFLUENCE = ("source",)
"""Parameters that tell where something came from: the same weights lie in several places."""


@dataclass(frozen=True)
class FeatureFamily:
    """One family of shards that can be computed; small enough to travel to a worker.

    Args:
        feature: a name in `FEATURES`, or hidden states.
        copy: number of the perturbed copy of the recordings; 0 takes them as they are.
    """

    feature: str | StatesFeature
    copy: int = 0

    @classmethod
    def of(cls, feature: "str | StatesFeature | FeatureFamily") -> "FeatureFamily":
        """The family of a feature, or of a name such as `lld_copy1`.

        Raises:
            UnknownNameError: not in `FEATURES`.
        """
        if isinstance(feature, FeatureFamily):
            return feature
        if isinstance(feature, StatesFeature):
            return cls(feature)
        base, copy = split_name(feature)
        _ = FEATURES[base]
        return cls(base, copy)

    @property
    def key(self) -> str:
        """Name of the feature, under which the array is stored."""
        return self.feature if isinstance(self.feature, str) else self.feature.name

    @property
    def name(self) -> str:
        """Name of the family."""
        return copy_name(self.key, self.copy)

    @property
    def layout(self) -> Layout:
        """How an array is stored."""
        return FEATURES[self.feature] if isinstance(self.feature, str) else self.feature.layout

    @property
    def of_recording(self) -> bool:
        """Whether it is computed from the recording, not from the transcript."""
        return self.layout.of_recording

    def parameters(self) -> dict[str, Any]:
        """What determines the stored values, as `dataset.json` gives it back."""
        layout = self.layout
        feature = FEATURES[self.feature] if isinstance(self.feature, str) else self.feature
        values = {"dtype": layout.dtype, "shape": layout.shape, **feature.parameters()}
        if self.copy:
            values |= {"copy": self.copy, "perturbation": SETTINGS}
        return json.loads(json.dumps(values))

    def record(self, utterance: Utterance, waveform: np.ndarray | None) -> bytes:
        """The stored record of one utterance.

        Args:
            utterance: with its measured duration.
            waveform: float32 (samples,) in [-1, 1]; None where there is no recording.
        """
        values = None
        if not self.of_recording:
            assert isinstance(self.feature, StatesFeature) and self.feature.text is not None
            # Of an empty transcript too, as it has tokens too: those of its start and end.
            words = clean(utterance.transcript, self.feature.text.cleaning)
            values = _extractor(self.feature)(words)
        elif waveform is not None:
            if self.copy:
                utterance, waveform = perturbed(utterance, waveform, self.copy)
            values = _extractor(self.feature)(waveform)
        return encode(utterance, {self.key: values}, {self.key: self.layout})


def families_of(
    features: Iterable[str | StatesFeature | FeatureFamily],
) -> dict[str, FeatureFamily]:
    """Families by name, each once.

    Raises:
        UnknownNameError: a name that is not in `FEATURES`.
        DatasetError: two families with the same name and different content.
    """
    families: dict[str, FeatureFamily] = {}
    for feature in features:
        family = FeatureFamily.of(feature)
        if families.setdefault(family.name, family) != family:
            raise DatasetError(
                f"'{family.name}' is asked for with different settings; a data set holds one"
            )
    return families


def with_copies(features: Iterable[str | StatesFeature], copies: int) -> tuple[FeatureFamily, ...]:
    """The families of some features, and of perturbed copies of those that come from recordings.

    Args:
        features: names in `FEATURES`, or hidden states.
        copies: number of copies of each recording.
    """
    families = [FeatureFamily.of(feature) for feature in features]
    numbers = range(1, copies + 1)
    repeated = (FeatureFamily(f.feature, n) for f in families if f.of_recording for n in numbers)
    return (*families, *repeated)


def copy_name(feature: str, copy: int) -> str:
    """Name of the family of a copy; 0 is the original.

    >>> copy_name("lld", 2)
    'lld_copy2'
    """
    return f"{feature}_copy{copy}" if copy else feature


def split_name(family: str) -> tuple[str, int]:
    """Feature and number of the copy behind a family's name.

    >>> split_name("lld_copy2"), split_name("lld")
    (('lld', 2), ('lld', 0))
    """
    match = re.fullmatch(r"(.+)_copy([1-9]\d*)", family)
    return (match[1], int(match[2])) if match else (family, 0)


def stored_layout(dataset: Dataset, family: str) -> Layout:
    """How the arrays of a stored family lie in its records.

    Raises:
        DatasetError: the data set does not hold it.
    """
    if family not in dataset.families:
        stored = ", ".join(dataset.features) or "none"
        raise DatasetError(f"{dataset.folder} holds no '{family}'. Stored: {stored}.")
    feature, _ = split_name(family)
    if feature in FEATURES:
        return FEATURES[feature]
    parameters = dataset.families[family].parameters
    of_recording = "tokenizer" not in parameters
    return Layout(
        tuple(parameters["shape"]),
        parameters["dtype"],
        STATES_PER_SECOND if of_recording else None,
        of_recording=of_recording,
    )


def same_values(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two families' parameters determine the same values."""

    def decisive(parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in parameters.items() if k not in WITHOUT_INFLUENCE}

    return decisive(stored) == decisive(wanted)


def perturbed(
    utterance: Utterance, waveform: np.ndarray, copy: int
) -> tuple[Utterance, np.ndarray]:
    """A perturbed copy of a recording, and the utterance with its duration and word timings.

    The random numbers come from the id and the number of the copy alone, so that every feature
    sees the same copy, whoever computes it.
    """
    digest = hashlib.sha256(f"{utterance.id} {copy}".encode()).digest()
    waveform, speed = perturb(waveform, np.random.default_rng(list(digest)))
    words = tuple(Word(w.text, w.start / speed, w.end / speed) for w in utterance.words)
    duration = len(waveform) / SAMPLE_RATE
    return dataclasses.replace(utterance, duration=duration, words=words), waveform


@cache
def _extractor(feature: str | StatesFeature) -> Extractor:
    return FEATURES[feature].extract if isinstance(feature, str) else feature.make(feature)


def forget_extractors() -> None:
    """Let go of the encoders that computed hidden states in this process."""
    _extractor.cache_clear()
