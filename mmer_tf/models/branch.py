"""One modality of a classifier: what it reads, and which layers turn that into a sequence.

A branch is described by `Speech` or `Text` and built by `encode_speech` or `encode_text`:
inputs → [upstream → sum of its layers] → encoder → sequence and mask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from mmer_tf.audio.augmentation import SpecAugment
from mmer_tf.audio.standardise import Standardise
from mmer_tf.audio.vocal_tract import VocalTractPerturbation
from mmer_tf.hub import HubError
from mmer_tf.models.creation import create_encoder
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.layer_sum import WeightedLayerSum
from mmer_tf.models.modality import HideAbsent
from mmer_tf.registry import Registry

FRAME_SHAPES: Registry[tuple[int, ...]] = Registry(
    "speech feature",
    {
        "log_mel": (64,),
        "mfcc": (40,),
        "lld": (65,),
        "log_spectrogram": (321, 3),
        "mel_image": (224, 224, 3),
        "waveform": (),
    },
)
"""What stands at each step; of a picture, its whole shape."""

FRAME_DURATIONS = {"log_mel": 1, "mfcc": 1, "lld": 1, "log_spectrogram": 2}
"""From one frame to the next, in units of `word_spans` (10 ms)."""

SAMPLES_PER_SPAN = 160
"""Samples in 10 ms."""

STATES_DURATION = 2
"""From one stored hidden state of a speech encoder to the next, in 10 ms."""


@dataclass(frozen=True)
class Upstream:
    """A transformer whose hidden states an encoder reads.

    Args:
        encoder: name of an encoder with hidden states.
        weights: published ones, as hub name or folder; None starts from nothing.
        layers: which hidden states, 0 being what enters the first layer; None is the last.
            Several are summed with learned weights.
        frozen: not trained, and run as in inference.
        stored: the model takes the hidden states as inputs, and the transformer is not in it.
        options: further arguments of the encoder.
    """

    encoder: str
    weights: str | None = None
    layers: Sequence[int] | None = None
    frozen: bool = True
    stored: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Speech:
    """The branch of the voice.

    Args:
        encoder: a name of `SPEECH_ENCODERS`.
        feature: key of the data contract that it reads; several for an encoder of streams.
        shape: of one step of the feature, of each by name where there are several, or of the
            stored hidden states (layers, dim); None is the data contract's.
        weights: published weights of the encoder, as hub name, folder or file.
        frozen: the encoder is not trained.
        layers: hidden states of an encoder that has several, as of `Upstream`.
        upstream: what stands between the feature and the encoder.
        pooling: None takes the model's, with its options.
        pooling_options: arguments of the pooling.
        options: arguments of the encoder.
    """

    encoder: str
    feature: str | Sequence[str] = "log_mel"
    shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None
    weights: str | Mapping[str, str] | None = None
    frozen: bool = False
    layers: Sequence[int] | None = None
    upstream: Upstream | None = None
    pooling: str | None = None
    pooling_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The features by name."""
        return (self.feature,) if isinstance(self.feature, str) else tuple(self.feature)


@dataclass(frozen=True)
class Text:
    """The branch of the words.

    Args:
        encoder: a name of `TEXT_ENCODERS`.
        vocabulary_size: of the tokenizer; wanted unless published weights decide it.
        max_tokens: longest tokenized transcript; None is the encoder's own limit.
        shape: of one step of stored hidden states, (layers, dim).
        weights, frozen, layers, upstream, pooling, pooling_options, options: as of `Speech`.
    """

    encoder: str
    vocabulary_size: int | None = None
    max_tokens: int | None = None
    shape: Sequence[int] | None = None
    weights: str | None = None
    frozen: bool = False
    layers: Sequence[int] | None = None
    upstream: Upstream | None = None
    pooling: str | None = None
    pooling_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Encoded:
    """A branch up to its sequence.

    Args:
        inputs: the model's inputs by the names of the data contract.
        sequence: (batch, steps, dim).
        mask: (batch, steps) bool.
        step_duration: from one step to the next in 10 ms; None where steps do not follow time.
    """

    inputs: dict[str, keras.KerasTensor]
    sequence: keras.KerasTensor
    mask: keras.KerasTensor
    step_duration: float | None = None


def standardise_name(feature: str) -> str:
    """Name of the layer whose `set_statistics` takes the training split's figures of a feature."""
    return f"standardise_{feature}"


def find_standardise(model: keras.Model, feature: str) -> Standardise | None:
    """The layer that standardises a feature; None where the model has no such layer."""
    name = standardise_name(feature)
    return next((layer for layer in model.layers if layer.name == name), None)


def encode_speech(
    spec: Speech,
    present: keras.KerasTensor | None = None,
    spec_augment: Mapping[str, Any] | None = None,
    vocal_tract_warp: float = 0.0,
) -> Encoded:
    """Build the branch of the voice.

    Args:
        spec: which layers.
        present: (batch,) bool, whether there is a voice; None where there always is.
        spec_augment: arguments of `SpecAugment`, which then masks the frames of training.
        vocal_tract_warp: see `VocalTractPerturbation`; for log_mel.

    Raises:
        UnknownNameError: a name is in no table.
        ValueError: arguments that do not go together.
        HubError: published weights that cannot be had or do not fit.
    """
    if vocal_tract_warp and "log_mel" not in spec.features:
        raise ValueError(
            "`vocal_tract_warp` needs log_mel's axis of frequencies. "
            f"Received: feature={', '.join(spec.features)}."
        )
    if spec_augment and not set(spec.features) & set(FRAME_DURATIONS):
        raise ValueError(
            f"`spec_augment` needs one of {', '.join(FRAME_DURATIONS)}. "
            f"Received: feature={', '.join(spec.features)}."
        )
    _require_no_weights(spec)
    upstream = spec.upstream
    if upstream and upstream.stored:
        inputs, sequence, mask = _stored_states(upstream, spec.shape, present, "speech")
        duration = STATES_DURATION
    else:
        inputs, values = {}, {}
        for feature in spec.features:
            shape = spec.shape[feature] if isinstance(spec.shape, Mapping) else spec.shape
            shape = FRAME_SHAPES[feature] if shape is None else tuple(shape)
            read = _read_feature(feature, shape, present, spec_augment, vocal_tract_warp)
            inputs, values = inputs | read[0], values | read[1]
        if upstream:
            first = _encoder(SPEECH_ENCODERS, upstream, "speech_upstream")
        else:
            first = _encoder(SPEECH_ENCODERS, spec, "speech_encoder")
        sequence, mask = _call(first, spec, values, present)
        duration = step_duration(first, spec.features)
    sequence = _sum_of_layers(sequence, "speech")
    if upstream:
        encoder = _encoder(SPEECH_ENCODERS, spec, "speech_encoder")
        _require_frames(encoder, spec.encoder)
        sequence, mask = encoder(sequence, mask)
        per_step = getattr(encoder, "frames_per_step", None)
        duration = duration * per_step if duration and per_step else None
    return Encoded(inputs, sequence, mask, duration)


def encode_text(spec: Text, present: keras.KerasTensor | None = None) -> Encoded:
    """Build the branch of the words; see `encode_speech`."""
    _require_no_weights(spec)
    upstream = spec.upstream
    if upstream and upstream.stored:
        inputs, sequence, mask = _stored_states(upstream, spec.shape, present, "text")
    else:
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = keras.Input((None,), dtype="bool", name="token_mask")
        inputs = {"token_ids": token_ids, "token_mask": mask}
        if present is not None:
            mask = HideAbsent(name="hide_absent_text")(mask, present)
        part, name = (upstream, "text_upstream") if upstream else (spec, "text_encoder")
        if TEXT_ENCODERS[part.encoder].inputs != "tokens":
            raise ValueError(
                f"text encoder '{part.encoder}' reads hidden states; "
                "give it an `upstream` such as bert."
            )
        sizes = {"vocabulary_size": spec.vocabulary_size, "max_tokens": spec.max_tokens}
        sizes = {size: value for size, value in sizes.items() if value is not None}
        if part.weights is None:
            if "vocabulary_size" not in sizes | dict(part.options):
                raise ValueError(
                    "`vocabulary_size` must be given unless published weights decide it."
                )
            first = _encoder(TEXT_ENCODERS, part, name, **sizes)
        else:
            first = _encoder(TEXT_ENCODERS, part, name)
            _require_room(first, sizes, part.weights)
        sequence, mask = first(token_ids, mask)  # (batch, tokens, dim)
    sequence = _sum_of_layers(sequence, "text")
    if upstream:
        encoder = _encoder(TEXT_ENCODERS, spec, "text_encoder")
        _require_frames(encoder, spec.encoder)
        sequence, mask = encoder(sequence, mask)
    return Encoded(inputs, sequence, mask)


def _encoder(table: Registry, part: Speech | Text | Upstream, name: str, **sizes: int):
    """The encoder that a description names."""
    return create_encoder(
        table,
        part.encoder,
        {**part.options, **sizes},
        name,
        weights=part.weights,
        layers=part.layers,
        frozen=part.frozen,
    )


def _stored_states(
    upstream: Upstream,
    shape: Sequence[int] | None,
    present: keras.KerasTensor | None,
    modality: str,
):
    if shape is None or len(shape) != 2:
        raise ValueError(
            f"`shape` of stored hidden states must be (layers, dim). Received: shape={shape}."
        )
    name = f"{upstream.encoder}_states"
    states = keras.Input((None, *shape), name=name)
    mask = keras.Input((None,), dtype="bool", name=f"{name}_mask")
    inputs = {name: states, f"{name}_mask": mask}
    if present is not None:
        mask = HideAbsent(name=f"hide_absent_{modality}")(mask, present)
    return inputs, states, mask


def _read_feature(
    feature: str,
    shape: tuple[int, ...],
    present: keras.KerasTensor | None,
    spec_augment: Mapping[str, Any] | None,
    vocal_tract_warp: float,
) -> tuple[dict[str, keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """Inputs of one feature, and the same as the encoder reads them."""
    hide = f"hide_absent_{feature}"
    if feature == "mel_image":
        image = keras.Input(shape, dtype="uint8", name=feature)
        return {feature: image}, {feature: image}
    if feature == "waveform":
        waveform = keras.Input((None,), name=feature)
        num_samples = keras.Input((), dtype="int32", name="num_samples")
        inputs = {feature: waveform, "num_samples": num_samples}
        if present is not None:
            num_samples = HideAbsent(name=hide)(num_samples, present)
        return inputs, {feature: waveform, "num_samples": num_samples}
    frames = keras.Input((None, *shape), name=feature)
    mask = keras.Input((None,), dtype="bool", name=f"{feature}_mask")
    inputs = {feature: frames, f"{feature}_mask": mask}
    if present is not None:
        mask = HideAbsent(name=hide)(mask, present)
    if vocal_tract_warp and feature == "log_mel":
        frames = VocalTractPerturbation(vocal_tract_warp, name="vocal_tract_perturbation")(frames)
    frames = Standardise(name=standardise_name(feature))(frames, mask)
    if spec_augment:
        frames = SpecAugment(**spec_augment, name=f"spec_augment_{feature}")(frames, mask)
    return inputs, {feature: frames, f"{feature}_mask": mask}


def _call(
    encoder,
    spec: Speech,
    values: dict[str, keras.KerasTensor],
    present: keras.KerasTensor | None,
):
    """Run the encoder that reads the features themselves."""
    kind, (feature, *others) = encoder.inputs, spec.features
    if kind == "streams":
        return encoder(values)
    wanted = {"image": ("mel_image",), "waveform": ("waveform",)}.get(kind)
    wanted = wanted or getattr(encoder, "features", ("log_mel", "mfcc", "lld"))
    if others or feature not in wanted:
        name = spec.upstream.encoder if spec.upstream else spec.encoder
        raise ValueError(
            f"speech encoder '{name}' reads {' or '.join(wanted)}. "
            f"Received: feature={', '.join(spec.features)}."
        )
    if kind == "image":
        sequence, mask = encoder(values[feature])
        if present is not None:
            mask = HideAbsent(name="hide_absent_mel_image")(mask, present)
        return sequence, mask
    if kind == "waveform":
        return encoder(values[feature], values["num_samples"])
    return encoder(values[feature], values[f"{feature}_mask"])


def step_duration(encoder, features: Sequence[str]) -> float | None:
    """From one step of an encoder of features to the next, in 10 ms; None without a time axis.

    Args:
        encoder: of the voice, the first after the features.
        features: which it reads, by name.
    """
    if encoder.inputs == "waveform":
        return encoder.samples_per_step / SAMPLES_PER_SPAN
    per_step = getattr(encoder, "frames_per_step", None)
    if per_step is None or features[0] not in FRAME_DURATIONS:
        return None
    return FRAME_DURATIONS[features[0]] * per_step


def _sum_of_layers(sequence: keras.KerasTensor, modality: str) -> keras.KerasTensor:
    """Make hidden states of several layers one sequence."""
    if len(sequence.shape) == 3:
        return sequence
    return WeightedLayerSum(name=f"{modality}_layer_sum")(sequence)


def _require_no_weights(spec: Speech | Text) -> None:
    """Refuse published weights in a place where they would not be read."""
    if spec.upstream is not None and spec.weights is not None:
        raise ValueError(
            f"encoder '{spec.encoder}' stands behind an `upstream` and has no `weights`; "
            "give them to the upstream."
        )


def _require_frames(encoder, entry: str) -> None:
    if encoder.inputs != "frames" or hasattr(encoder, "features"):
        raise ValueError(
            f"encoder '{entry}' does not read hidden states; behind an `upstream` stands "
            "one that reads vectors, such as conv_blstm or blstm."
        )


def _require_room(encoder, sizes: Mapping[str, int], weights: str) -> None:
    """Refuse a tokenizer with more tokens, or longer rows, than the weights know."""
    for size, wanted in sizes.items():
        available = getattr(encoder, size)
        if wanted > available:
            raise HubError(
                f"`{size}`={wanted} is more than the {available} of '{weights}'; "
                "take the tokenizer that belongs to these weights, or lower it."
            )
