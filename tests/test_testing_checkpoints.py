"""Checkpoints with random weights are laid out as the published ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.models.weights.checkpoint import Target, conv_kernel, transposed
from mmer_tf.registry import UnknownNameError
from mmer_tf.testing_checkpoints import KINDS, published, write_tiny_checkpoint
from mmer_tf.text.tokenizer import Tokenizer

SETTINGS = {"whisper": {"window_seconds": 0.5}}

NAMES = {
    "hubert": ("encoder.layers.1.attention.out_proj.weight", (16, 16)),
    "wav2vec2": ("feature_extractor.conv_layers.0.conv.weight", (8, 1, 10)),
    "wavlm": ("encoder.layers.0.attention.rel_attn_embed.weight", (320, 2)),
    "whisper": ("model.encoder.conv1.weight", (16, 80, 3)),
    "bert": ("encoder.layer.0.intermediate.dense.weight", (32, 16)),
}
"""One array of each family as transformers names and shapes it."""


@pytest.mark.parametrize("kind", list(KINDS))
def test_layout_is_the_published_one(kind: str, tmp_path: Path):
    folder = write_tiny_checkpoint(kind, tmp_path / kind, **SETTINGS.get(kind, {}))
    assert json.loads((folder / "config.json").read_text())["model_type"] == kind
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    name, shape = NAMES[kind]
    assert arrays[name].shape == shape
    biases = [array for name, array in arrays.items() if name.endswith("bias")]
    assert biases and all(bias.ndim == 1 for bias in biases)
    with safe_open(folder / "model.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt"}  # transformers refuses a file that lacks it


@pytest.mark.parametrize("kind", list(KINDS))
def test_encoder_reads_it_back_and_the_seed_decides(kind: str, tmp_path: Path):
    settings = SETTINGS.get(kind, {})
    table = TEXT_ENCODERS if kind in TEXT_ENCODERS else SPEECH_ENCODERS
    inputs = (np.linspace(-0.5, 0.5, 3200, dtype="float32")[None], np.int32([3200]))
    if kind == "bert":
        inputs = (np.int32([[2, 7, 3]]), np.ones((1, 3), bool))

    folder = write_tiny_checkpoint(kind, tmp_path / "first", **settings)
    encoder = table[kind].from_pretrained(str(folder), layers=(0, 1, 2), frozen=True)
    states, _ = encoder(*inputs)
    assert states.shape[2:] == (3, 16) and np.isfinite(states).all() and np.std(states) > 0.1
    first = (folder / "model.safetensors").read_bytes()
    for name, seed in (("again", 0), ("other", 1)):
        folder = write_tiny_checkpoint(kind, tmp_path / name, seed=seed, **settings)
        assert ((folder / "model.safetensors").read_bytes() == first) == (seed == 0)


def test_bert_comes_with_a_tokenizer(tmp_path: Path):
    folder = write_tiny_checkpoint("bert", tmp_path / "bert", texts=("so so so be it",) * 9)
    tokenizer = Tokenizer.from_pretrained(folder, 16)
    config = json.loads((folder / "config.json").read_text())
    assert tokenizer.vocabulary_size == config["vocab_size"]
    ids, _ = tokenizer(["so be it"])
    assert "[UNK]" not in tokenizer.tokenize_to_strings(ids.numpy()[0])
    larger = write_tiny_checkpoint("bert", tmp_path / "larger", vocabulary_size=300)
    assert Tokenizer.from_pretrained(larger, 16).vocabulary_size == 300


class Variable(np.ndarray):
    """An array that has a path, as a variable."""

    path = "layer/kernel"


@pytest.mark.parametrize(
    ("transform", "name", "shape", "expected"),
    [
        (transposed, "weight", (3, 5), (5, 3)),
        (conv_kernel, "weight", (3, 4, 5), (5, 4, 3)),
        (np.asarray, "weight", (3, 5), (3, 5)),
        (lambda array: array.squeeze(0), "gru_rel_pos_const", (4, 1, 1), (1, 4, 1, 1)),
        (lambda array: array.reshape(2, 3), "bias", (2, 3), (6,)),
        (lambda array: array.T.reshape(6, 2, 3), "weight", (6, 2, 3), (6, 6)),
        (lambda array: array.T.reshape(2, 3, 6), "weight", (2, 3, 6), (6, 6)),
    ],
)
def test_converters_are_run_backwards(transform, name, shape, expected):
    value = np.random.default_rng(0).normal(size=shape).view(Variable)
    array = published(name, Target(value, transform))
    assert array.shape == expected
    np.testing.assert_array_equal(transform(array), value)


def test_what_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="unknown kind of checkpoint 'bret'"):
        write_tiny_checkpoint("bret", tmp_path)
    with pytest.raises(ValueError, match="no array becomes layer/kernel"):
        published("weight", Target(np.zeros((2, 3)).view(Variable), lambda array: array[:1]))
