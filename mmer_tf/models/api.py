"""`create_model`: an encoder for the voice, one for the words, a pooling and a fusion."""

import contextlib
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from mmer_tf.audio.augmentation import SpecAugment
from mmer_tf.audio.standardise import Standardise
from mmer_tf.audio.vocal_tract import VocalTractPerturbation
from mmer_tf.hub import HubError
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.fusion import FUSIONS
from mmer_tf.models.modality import AbsentModality, HideAbsent, ModalityDropout
from mmer_tf.models.pooling import POOLINGS
from mmer_tf.registry import Registry

FEATURE_DIMS = Registry("speech feature", {"log_mel": 64, "mfcc": 40, "lld": 65})
"""Width of the frames that an encoder can read."""

STANDARDISE = "speech_standardise"
"""Name of the layer whose `set_statistics` takes the training split's mean and deviation."""


def list_models() -> dict[str, tuple[str, ...]]:
    """Names that `create_model` takes, by argument.

    >>> list_models()["fusion"]
    ('concat', 'gmu')
    """
    tables = {
        "speech": SPEECH_ENCODERS,
        "text": TEXT_ENCODERS,
        "pooling": POOLINGS,
        "fusion": FUSIONS,
    }
    return {argument: tuple(sorted(table)) for argument, table in tables.items()}


def create_model(
    speech: str | None = None,
    text: str | None = None,
    pooling: str = "attention",
    fusion: str | None = None,
    num_classes: int = 4,
    *,
    speech_feature: str = "log_mel",
    feature_dim: int | None = None,
    speech_options: Mapping[str, Any] | None = None,
    text_options: Mapping[str, Any] | None = None,
    pooling_options: Mapping[str, Any] | None = None,
    fusion_options: Mapping[str, Any] | None = None,
    text_weights: str | None = None,
    vocabulary_size: int | None = None,
    max_tokens: int | None = None,
    dropout: float = 0.5,
    modality_dropout: float = 0.1,
    spec_augment: Mapping[str, Any] | None = None,
    vocal_tract_warp: float = 0.0,
    seed: int | None = None,
    name: str = "classifier",
) -> keras.Model:
    """A classifier of emotions from the voice, from the words, or from both.

    Args:
        speech: encoder of the voice; None for a text-only model.
        text: encoder of the words; None for a speech-only model.
        pooling: from a sequence to a vector, for each modality.
        fusion: from two vectors to one; wanted if, and only if, there are both modalities.
        num_classes: number of logits, at least 2.
        speech_feature: key of the data contract that the speech encoder reads.
        feature_dim: width of its frames; by default the data contract's.
        speech_options: arguments of the speech encoder.
        text_options: arguments of the text encoder.
        pooling_options: arguments of the pooling.
        fusion_options: arguments of the fusion.
        text_weights: hub name or folder of a pretrained text encoder, which then also decides
            the sizes: of the options only those that are no sizes count (`dropout`).
        vocabulary_size: of the tokenizer.
        max_tokens: longest tokenized transcript.
        dropout: before the classifier.
        modality_dropout: probability that a training row with both modalities loses one.
        spec_augment: arguments of `SpecAugment`, which then masks training features.
        vocal_tract_warp: greatest stretch of the frequency axis in training, for `log_mel`; see
            `VocalTractPerturbation`.
        seed: of the initial weights and of all dropout; None draws one.
        name: of the model.

    Returns:
        A functional model with dict inputs by the names of the data contract:
        `<speech_feature>`, `<speech_feature>_mask`, `token_ids`, `token_mask`, and if it is
        multimodal `has_speech`, `has_text`. It answers a dict: `logits` (batch, num_classes),
        `speech_attention` (batch, steps), `text_attention` (batch, tokens), `gate`, in this
        order, where it has them; float32 throughout.

    Raises:
        UnknownNameError: a name is in no table.
        ValueError: an argument is missing, superfluous or out of range.
        HubError: `text_weights` cannot be had or does not fit.
    """
    if speech is None and text is None:
        raise ValueError("`speech`, `text` or both must name an encoder. Received: neither.")
    multimodal = speech is not None and text is not None
    if multimodal and fusion is None:
        raise ValueError("`fusion` must be given for speech and text. Received: fusion=None.")
    if fusion is not None and not multimodal:
        raise ValueError(f"`fusion` needs both speech and text. Received: fusion='{fusion}'.")
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be >= 2. Received: num_classes={num_classes}.")
    if vocal_tract_warp and speech_feature != "log_mel":
        raise ValueError(
            "`vocal_tract_warp` needs log_mel's axis of frequencies. "
            f"Received: speech_feature='{speech_feature}'."
        )

    with _seeded(seed):
        # === Layers ===
        if speech is not None:
            standardise = Standardise(name=STANDARDISE)
            warp, augment = None, None
            if vocal_tract_warp:
                warp = VocalTractPerturbation(vocal_tract_warp, name="vocal_tract_perturbation")
            if spec_augment:
                augment = SpecAugment(**spec_augment, name="spec_augment")
            speech_encoder = _create(SPEECH_ENCODERS, speech, speech_options, "speech_encoder")
            speech_pooling = _create(POOLINGS, pooling, pooling_options, "speech_pooling")
        if text is not None:
            text_encoder = _create_text_encoder(
                text, text_options, text_weights, vocabulary_size, max_tokens
            )
            text_pooling = _create(POOLINGS, pooling, pooling_options, "text_pooling")
        if multimodal:
            drop_modality = ModalityDropout(modality_dropout, name="modality_dropout")
            fuse = _create(FUSIONS, fusion, fusion_options, "fusion")
        drop = keras.layers.Dropout(dropout, name="dropout")
        # float32 logits: the softmax of half-precision ones is too coarse
        classify = keras.layers.Dense(num_classes, dtype="float32", name="logits")

        # === Functional model ===
        inputs, attention, extras, vectors = {}, {}, {}, []
        if multimodal:
            inputs["has_speech"] = keras.Input((), dtype="bool", name="has_speech")
            inputs["has_text"] = keras.Input((), dtype="bool", name="has_text")
            has_speech, has_text = drop_modality(inputs["has_speech"], inputs["has_text"])
        if speech is not None:
            dim = feature_dim or FEATURE_DIMS[speech_feature]
            mask_name = f"{speech_feature}_mask"
            frames = keras.Input((None, dim), name=speech_feature)
            mask = keras.Input((None,), dtype="bool", name=mask_name)
            inputs |= {speech_feature: frames, mask_name: mask}
            if multimodal:
                mask = HideAbsent(name="hide_absent_speech")(mask, has_speech)
            sequence = frames if warp is None else warp(frames)
            sequence = standardise(sequence, mask)  # (batch, frames, dim)
            if augment is not None:
                sequence = augment(sequence, mask)
            sequence, mask = speech_encoder(sequence, mask)  # (batch, steps, speech_dim)
            vector, attention["speech_attention"] = speech_pooling(sequence, mask)
            if multimodal:
                vector = AbsentModality(name="absent_speech")(vector, has_speech)
            vectors.append(vector)  # (batch, speech_dim)
        if text is not None:
            token_ids = keras.Input((None,), dtype="int32", name="token_ids")
            mask = keras.Input((None,), dtype="bool", name="token_mask")
            inputs |= {"token_ids": token_ids, "token_mask": mask}
            if multimodal:
                mask = HideAbsent(name="hide_absent_text")(mask, has_text)
            sequence, mask = text_encoder(token_ids, mask)  # (batch, tokens, text_dim)
            vector, attention["text_attention"] = text_pooling(sequence, mask)
            if multimodal:
                vector = AbsentModality(name="absent_text")(vector, has_text)
            vectors.append(vector)  # (batch, text_dim)
        if multimodal:
            vector, extras = fuse(*vectors)
        logits = classify(drop(vector))  # (batch, num_classes)
        return keras.Model(inputs, {"logits": logits} | attention | extras, name=name)


def _create(table: Registry, entry: str, options: Mapping[str, Any] | None, name: str):
    """The layer `entry` of `table`."""
    _check_options(table, entry, options or {})
    return table[entry](**(options or {}), name=name)


def _check_options(table: Registry, entry: str, options: Mapping[str, Any]) -> None:
    known = [
        parameter.name
        for parameter in inspect.signature(table[entry]).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    for option in options:
        if option not in known:
            raise ValueError(
                f"unknown option '{option}' of {table.kind} '{entry}'. "
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )


def _create_text_encoder(
    entry: str,
    options: Mapping[str, Any] | None,
    weights: str | None,
    vocabulary_size: int | None,
    max_tokens: int | None,
):
    """The text encoder `entry`, of the size of its tokenizer or of its published weights."""
    options = dict(options or {})
    sizes = {"vocabulary_size": vocabulary_size, "max_tokens": max_tokens}
    sizes = {size: value for size, value in sizes.items() if value is not None}
    if weights is None:
        if vocabulary_size is None and "vocabulary_size" not in options:
            raise ValueError("`vocabulary_size` must be given unless `text_weights` decide it.")
        return _create(TEXT_ENCODERS, entry, options | sizes, "text_encoder")
    _check_options(TEXT_ENCODERS, entry, options)
    from_pretrained = TEXT_ENCODERS[entry].from_pretrained
    free = inspect.signature(from_pretrained).parameters
    options = {option: value for option, value in options.items() if option in free}
    encoder = from_pretrained(weights, **options, name="text_encoder")
    for size, wanted in sizes.items():
        available = getattr(encoder, size)
        if wanted > available:
            raise HubError(
                f"`{size}`={wanted} is more than the {available} of '{weights}'; "
                "take the tokenizer that belongs to these weights, or lower it."
            )
    return encoder


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Build layers reproducibly.

    Keras initializers and seed generators that were given no seed draw theirs from `random` when
    they are created. Its state is put back, so that no one else's draws change.
    """
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
