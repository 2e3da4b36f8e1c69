"""Checkpoints with random weights in the published layout, for trials without a network.

`write_checkpoint("hubert", folder)` writes what `from_pretrained` reads and what transformers
reads: the converters of `models.weights`, run backwards. The weights are those of a fresh encoder,
so whatever is computed from them tells about sizes, speed and plumbing, not about emotions.
"""

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.weights import bert, speech_transformer, whisper
from mmer_tf.models.weights.checkpoint import CONFIG, WEIGHTS, Target
from mmer_tf.registry import Registry
from mmer_tf.text.vocabulary import learn_vocabulary

SENTENCES = ("Well, I never thought that it would be like this.", "You are not my friend at all!")
"""What the vocabulary of a BERT is learned from where no texts are given."""

TINY_CONVOLUTIONS = {
    "conv_dims": (8,) * 7,
    "position_kernel": 16,
    "position_groups": 4,
}
TINY_TRANSFORMER = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "intermediate_dim": 32}


@dataclass(frozen=True)
class _Kind:
    """How a family of checkpoints is written."""

    targets: Callable[[Any], Mapping[str, Target]]
    fields: Mapping[str, str]
    tiny: Mapping[str, Any]
    prefix: str = ""


_SPEECH = {ours: field for ours, (field, _) in speech_transformer.SIZES.items()}
_WAVLM = {ours: field for ours, (field, _) in speech_transformer.WAVLM_SIZES.items()}
_TINY_SPEECH = TINY_TRANSFORMER | TINY_CONVOLUTIONS

KINDS: Registry[_Kind] = Registry(
    "kind of checkpoint",
    {
        "hubert": _Kind(speech_transformer.speech_transformer_targets, _SPEECH, _TINY_SPEECH),
        "wav2vec2": _Kind(speech_transformer.speech_transformer_targets, _SPEECH, _TINY_SPEECH),
        "wavlm": _Kind(
            speech_transformer.speech_transformer_targets, _SPEECH | _WAVLM, _TINY_SPEECH
        ),
        "whisper": _Kind(
            whisper.whisper_targets, whisper.SIZES, TINY_TRANSFORMER, "model.encoder."
        ),
        "bert": _Kind(bert.bert_targets, bert.SIZES, TINY_TRANSFORMER | {"max_tokens": 128}),
    },
)


def write_checkpoint(
    kind: str, folder: Path, *, seed: int = 0, texts: tuple[str, ...] = SENTENCES, **sizes: Any
) -> Path:
    """Write a freshly initialised encoder as its published family is laid out.

    Args:
        kind: a name in `KINDS`.
        folder: where `config.json` and `model.safetensors` go, and for "bert" `vocab.txt`.
        seed: of the weights.
        texts: what the vocabulary of "bert" is learned from.
        sizes: arguments of the encoder; those left out are of the published base model.

    Returns:
        The folder.

    Raises:
        UnknownNameError: no such kind.
        ValueError: sizes that do not fit each other.
    """
    described = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bert":
        vocabulary = learn_vocabulary(texts, sizes.get("vocabulary_size", 1000))
        sizes = {"vocabulary_size": len(vocabulary)} | sizes
        unused = (f"[unused{n}]" for n in range(sizes["vocabulary_size"] - len(vocabulary)))
        entries = "".join(f"{entry}\n" for entry in (*vocabulary, *unused))
        (folder / "vocab.txt").write_text(entries, encoding="utf-8")
        sizes["pooler"] = True
    table = TEXT_ENCODERS if kind in TEXT_ENCODERS else SPEECH_ENCODERS
    state = random.getstate()
    random.seed(seed)  # Keras' initialisers draw their seeds there
    try:
        encoder = table[kind](**sizes)
        encoder.build((None, None))
    finally:
        random.setstate(state)
    arrays = {
        described.prefix + name: np.ascontiguousarray(published(name, target))
        for name, target in described.targets(encoder).items()
    }
    safetensors.numpy.save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})
    config = {field: getattr(encoder, ours) for ours, field in described.fields.items()}
    if kind == "whisper":
        config |= {"max_source_positions": encoder.window_steps, "decoder_layers": 0}
    (folder / CONFIG).write_text(json.dumps({"model_type": kind} | config, indent=2) + "\n")
    return folder


def write_tiny_checkpoint(kind: str, folder: Path, **settings: Any) -> Path:
    """Write a checkpoint of some thousand weights; otherwise as `write_checkpoint`."""
    return write_checkpoint(kind, folder, **{**KINDS[kind].tiny, **settings})


def published(name: str, target: Target) -> np.ndarray:
    """The array of a name that a converter would turn into the target's present value.

    Converters only move entries about: where each goes is seen by sending their numbers through.

    Raises:
        ValueError: the converter does something else.
    """
    value = np.asarray(target.variable)
    numbers = np.arange(value.size)
    for shape in _published_shapes(name, value.shape):
        try:
            moved = target.transform(numbers.reshape(shape))
        except ValueError:
            continue
        if moved.shape == value.shape:
            array = np.empty(value.size, value.dtype)
            array[moved.ravel()] = value.ravel()
            return array.reshape(shape)
    raise ValueError(f"no array becomes {target.variable.path} of shape {value.shape}.")


def _published_shapes(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes that the published array may have, by its name and the shape of ours."""
    if name.endswith("bias"):  # ours may have an axis for the heads
        return [(math.prod(shape),)]
    shapes = [shape[::-1], shape, (1, *shape)]
    if len(shape) == 3:  # a kernel with an axis for the heads: as wide as all heads together
        shapes[:0] = [(n, n) for n in (shape[0], shape[2]) if n * n == math.prod(shape)]
    return shapes
