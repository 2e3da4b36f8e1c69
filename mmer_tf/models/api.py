"""`create_model`: an encoder for the voice, one for the words, a pooling and a fusion."""

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from mmer_tf.models.branch import (
    Encoded,
    Speech,
    Text,
    create_layer,
    encode_speech,
    encode_text,
)
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.fusion import FUSIONS
from mmer_tf.models.modality import AbsentModality, ModalityDropout
from mmer_tf.models.pooling import POOLINGS


def list_parts() -> dict[str, tuple[str, ...]]:
    """Names that `create_model` takes, by argument.

    >>> list_parts()["fusion"]
    ('concat', 'cross_attention', 'gmu', 'hierarchical', 'late')
    """
    tables = {
        "speech": SPEECH_ENCODERS,
        "text": TEXT_ENCODERS,
        "pooling": POOLINGS,
        "fusion": FUSIONS,
    }
    return {argument: tuple(sorted(table)) for argument, table in tables.items()}


def create_model(
    speech: str | Speech | None = None,
    text: str | Text | None = None,
    pooling: str = "attention",
    fusion: str | None = None,
    num_classes: int = 4,
    *,
    pooling_options: Mapping[str, Any] | None = None,
    fusion_options: Mapping[str, Any] | None = None,
    dropout: float = 0.5,
    modality_dropout: float = 0.1,
    spec_augment: Mapping[str, Any] | None = None,
    vocal_tract_warp: float = 0.0,
    seed: int | None = None,
    name: str = "classifier",
) -> keras.Model:
    """A classifier of emotions from the voice, from the words, or from both.

    Args:
        speech: the branch of the voice, or the name of its encoder where the defaults of
            `Speech` will do; None for a text-only model.
        text: the branch of the words likewise; None for a speech-only model.
        pooling: from a sequence to a vector, for branches that name none of their own.
        fusion: joins the branches; wanted if, and only if, there are both.
        num_classes: number of logits, at least 2.
        pooling_options: arguments of the pooling.
        fusion_options: arguments of the fusion.
        dropout: before the classifier.
        modality_dropout: probability that a training row with both modalities loses one.
        spec_augment: arguments of `SpecAugment`, which then masks training features.
        vocal_tract_warp: greatest stretch of the frequency axis in training, for `log_mel`; see
            `VocalTractPerturbation`.
        seed: of the initial weights and of all dropout; None draws one.
        name: of the model.

    Returns:
        A functional model with dict inputs by the names of the data contract: those of the
        feature or the stored hidden states, `token_ids`, `token_mask`, and if it is multimodal
        `has_speech`, `has_text`; for fusion by words `word_spans`, `word_of_token`. It answers a
        dict, in this order, where it has them: `logits` (batch, num_classes),
        `speech_attention` (batch, steps), `text_attention` (batch, tokens), `word_attention`
        (batch, words), `gate` (batch, units); float32 throughout.

    Raises:
        UnknownNameError: a name is in no table.
        ValueError: an argument is missing, superfluous or out of range.
        HubError: published weights that cannot be had or do not fit.
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
    speech = Speech(speech) if isinstance(speech, str) else speech
    text = Text(text) if isinstance(text, str) else text

    def pool(part: Speech | Text | None, encoded_or_words, role: str):
        """Vector (batch, dim) and weights (batch, steps) of a sequence."""
        own = part is not None and part.pooling is not None
        entry, options = (part.pooling, part.pooling_options) if own else (pooling, pooling_options)
        layer = create_layer(POOLINGS, entry, options or {}, f"{role}_pooling")
        return layer(*encoded_or_words)

    with _seeded(seed):
        inputs, attention, extras = {}, {}, {}
        if not multimodal:
            part = speech or text
            role = "speech" if speech else "text"
            augmentation = (spec_augment, vocal_tract_warp)
            encoded = encode_speech(speech, None, *augmentation) if speech else encode_text(text)
            inputs = encoded.inputs
            steps = encoded.sequence, encoded.mask
            vector, attention[f"{role}_attention"] = pool(part, steps, role)
            logits = _classify(vector, num_classes, dropout)  # (batch, num_classes)
            return keras.Model(inputs, {"logits": logits} | attention, name=name)

        # === Both branches ===
        has_speech = keras.Input((), dtype="bool", name="has_speech")
        has_text = keras.Input((), dtype="bool", name="has_text")
        presence = {"has_speech": has_speech, "has_text": has_text}
        drop_modality = ModalityDropout(modality_dropout, name="modality_dropout")
        has_speech, has_text = drop_modality(has_speech, has_text)
        voice = encode_speech(speech, has_speech, spec_augment, vocal_tract_warp)
        words = encode_text(text, has_text)
        inputs = presence | voice.inputs | words.inputs
        sequences = {
            "speech": (voice.sequence, voice.mask),  # (batch, steps, speech_dim), (batch, steps)
            "text": (words.sequence, words.mask),  # (batch, tokens, text_dim), (batch, tokens)
        }

        # === Fusion ===
        level = FUSIONS[fusion].level
        options = dict(fusion_options or {})
        if level == "words":
            options["step_duration"] = _step_duration(voice, fusion)
        fuse = create_layer(FUSIONS, fusion, options, "fusion")
        if level == "words":
            spans = keras.Input((None, 2), dtype="int32", name="word_spans")
            owners = keras.Input((None,), dtype="int32", name="word_of_token")
            inputs |= {"word_spans": spans, "word_of_token": owners}
            *fused, extras = fuse(*sequences["speech"], *sequences["text"], spans, owners)
            vector, weights = pool(None, fused, "word")  # of (batch, words, units)
            extras = {"word_attention": weights} | extras
        else:
            if level == "sequence":
                *fused, extras = fuse(*sequences["speech"], *sequences["text"])
                sequences = {
                    "speech": (fused[0], voice.mask),
                    "text": (fused[1], words.mask),
                }
            vectors = []
            for part, role, present in (
                (speech, "speech", has_speech),
                (text, "text", has_text),
            ):
                vector, attention[f"{role}_attention"] = pool(part, sequences[role], role)
                if level != "probability":  # there an absent modality has no say at all
                    vector = AbsentModality(name=f"absent_{role}")(vector, present)
                vectors.append(vector)
            if level == "sequence":
                vector = keras.layers.Concatenate(name="join")(vectors)
            elif level == "vector":
                vector, extras = fuse(*vectors)
        if level == "probability":
            each = [
                _classify(vector, num_classes, dropout, f"{role}_")
                for vector, role in zip(vectors, ("speech", "text"), strict=True)
            ]
            logits, extras = fuse(*each, has_speech, has_text)
        else:
            logits = _classify(vector, num_classes, dropout)  # (batch, num_classes)
        return keras.Model(inputs, {"logits": logits} | attention | extras, name=name)


def _classify(vector, num_classes: int, dropout: float, prefix: str = ""):
    """Dropout and the classifier's logits."""
    vector = keras.layers.Dropout(dropout, name=f"{prefix}dropout")(vector)
    # float32 logits: the softmax of half-precision ones is too coarse
    return keras.layers.Dense(num_classes, dtype="float32", name=f"{prefix}logits")(vector)


def _step_duration(voice: Encoded, fusion: str) -> float:
    if voice.step_duration is None:
        raise ValueError(
            f"fusion '{fusion}' needs a speech encoder whose steps follow time, such as blstm."
        )
    return voice.step_duration


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
