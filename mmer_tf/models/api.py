"""`create_model`: an encoder for the voice, one for the words, a pooling and a fusion."""

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from mmer_tf.models.branch import Encoded, Speech, Text, encode_speech, encode_text
from mmer_tf.models.creation import create_layer
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

    head = _Head(pooling, pooling_options or {}, num_classes, dropout)
    with _seeded(seed):
        if not multimodal:
            encoded = (
                encode_speech(speech, None, spec_augment, vocal_tract_warp) if speech else None
            )
            branch = _Branch(speech or text, encoded or encode_text(text))
            (vector,), attention = head.vectors([branch])
            outputs = {"logits": head.classify(vector)} | attention
            return keras.Model(branch.encoded.inputs, outputs, name=name)

        has_speech = keras.Input((), dtype="bool", name="has_speech")
        has_text = keras.Input((), dtype="bool", name="has_text")
        inputs = {"has_speech": has_speech, "has_text": has_text}
        drop_modality = ModalityDropout(modality_dropout, name="modality_dropout")
        has_speech, has_text = drop_modality(has_speech, has_text)
        voice = encode_speech(speech, has_speech, spec_augment, vocal_tract_warp)
        words = encode_text(text, has_text)
        inputs |= voice.inputs | words.inputs
        branches = [_Branch(speech, voice, has_speech), _Branch(text, words, has_text)]

        level = FUSIONS[fusion].level
        options = dict(fusion_options or {})
        if level == "words":
            spans = keras.Input((None, 2), dtype="int32", name="word_spans")
            owners = keras.Input((None,), dtype="int32", name="word_of_token")
            inputs |= {"word_spans": spans, "word_of_token": owners}
            options["step_duration"] = _step_duration(voice, fusion)
        fuse = create_layer(FUSIONS, fusion, options, "fusion")
        if level == "vector":
            logits, explanations = _fuse_vectors(fuse, branches, head)
        elif level == "sequence":
            logits, explanations = _fuse_sequences(fuse, branches, head)
        elif level == "words":
            logits, explanations = _fuse_words(fuse, branches, spans, owners, head)
        else:
            logits, explanations = _fuse_probabilities(fuse, branches, head)
        return keras.Model(inputs, {"logits": logits} | explanations, name=name)


@dataclass(frozen=True)
class _Branch:
    """An encoded modality with what it was asked to be.

    Args:
        part: its description.
        encoded: its sequence.
        present: (batch,) bool; None where it always is.
    """

    part: Speech | Text
    encoded: Encoded
    present: keras.KerasTensor | None = None

    @property
    def role(self) -> str:
        return "speech" if isinstance(self.part, Speech) else "text"

    @property
    def steps(self) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Sequence (batch, steps, dim) and mask (batch, steps)."""
        return self.encoded.sequence, self.encoded.mask


@dataclass(frozen=True)
class _Head:
    """What stands on the encoders: pooling, dropout and the classifier."""

    pooling: str
    pooling_options: Mapping[str, Any]
    num_classes: int
    dropout: float

    def pool(self, sequence, mask, role: str, own: Speech | Text | None = None):
        """Vector (batch, dim) and weights (batch, steps)."""
        entry, options = self.pooling, self.pooling_options
        if own is not None and own.pooling is not None:
            entry, options = own.pooling, own.pooling_options
        return create_layer(POOLINGS, entry, options, f"{role}_pooling")(sequence, mask)

    def vectors(self, branches: Sequence[_Branch], learn_absence: bool = True):
        """A vector (batch, dim) and the attention of each branch."""
        vectors, attention = [], {}
        for branch in branches:
            role = branch.role
            vector, attention[f"{role}_attention"] = self.pool(*branch.steps, role, branch.part)
            if learn_absence and branch.present is not None:
                vector = AbsentModality(name=f"absent_{role}")(vector, branch.present)
            vectors.append(vector)
        return vectors, attention

    def classify(self, vector, prefix: str = ""):
        """Logits (batch, num_classes) of a vector."""
        vector = keras.layers.Dropout(self.dropout, name=f"{prefix}dropout")(vector)
        # float32 logits: the softmax of half-precision ones is too coarse
        return keras.layers.Dense(self.num_classes, dtype="float32", name=f"{prefix}logits")(vector)


def _fuse_vectors(fuse, branches: Sequence[_Branch], head: _Head):
    """Pool, then fuse."""
    vectors, attention = head.vectors(branches)
    vector, extras = fuse(*vectors)
    return head.classify(vector), attention | extras


def _fuse_sequences(fuse, branches: Sequence[_Branch], head: _Head):
    """Fuse step by step, then pool each and put both side by side."""
    speech, text = branches
    *sequences, extras = fuse(*speech.steps, *text.steps)
    fused = [
        replace(branch, encoded=replace(branch.encoded, sequence=sequence))
        for branch, sequence in zip(branches, sequences, strict=True)
    ]
    vectors, attention = head.vectors(fused)
    vector = keras.layers.Concatenate(name="join")(vectors)
    return head.classify(vector), attention | extras


def _fuse_words(fuse, branches: Sequence[_Branch], spans, owners, head: _Head):
    """Fuse word by word, then pool over the words."""
    speech, text = branches
    words, mask, extras = fuse(*speech.steps, *text.steps, spans, owners)
    vector, weights = head.pool(words, mask, "word")
    return head.classify(vector), {"word_attention": weights} | extras


def _fuse_probabilities(fuse, branches: Sequence[_Branch], head: _Head):
    """Classify each, then fuse what they say; an absent modality has no say at all."""
    vectors, attention = head.vectors(branches, learn_absence=False)
    each = [
        head.classify(vector, f"{branch.role}_")
        for branch, vector in zip(branches, vectors, strict=True)
    ]
    logits, extras = fuse(*each, *(branch.present for branch in branches))
    return logits, attention | extras


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
