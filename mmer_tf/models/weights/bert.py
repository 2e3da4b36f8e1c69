"""Published weights of BERT, as transformers names them."""

from typing import Any

import keras

from mmer_tf.hub import HubError
from mmer_tf.models.weights.checkpoint import Checkpoint, Target, transposed
from mmer_tf.models.weights.transformer import transformer_targets

PREFIXES = ("bert.", "")
"""Of the names in a model with a head, and in a bare one."""

RENAMED = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
"""Spellings of checkpoints from TensorFlow, such as google-bert/bert-base-uncased."""

SIZES = {
    "vocabulary_size": "vocab_size",
    "hidden_dim": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "max_tokens": "max_position_embeddings",
    "num_segments": "type_vocab_size",
}
"""Arguments of the encoder, and the fields of `config.json` that hold them."""

FIXED = {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "position_embedding_type": "absolute"}
"""Fields of which only one value can be had, which is also what a missing one means."""

PARTS_OF_A_LAYER = {
    "attention.self.query": "self_attention_layer/query",
    "attention.self.key": "self_attention_layer/key",
    "attention.self.value": "self_attention_layer/value",
    "attention.output.dense": "self_attention_layer/attention_output",
    "attention.output.LayerNorm": "self_attention_layer_norm",
    "intermediate.dense": "feedforward_intermediate_dense",
    "output.dense": "feedforward_output_dense",
    "output.LayerNorm": "feedforward_layer_norm",
}


def bert_sizes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of the encoder that the published weights decide.

    Raises:
        HubError: not the configuration of a BERT, or of an unknown variant; a field is missing
            or no size.
    """
    checkpoint.require_type("bert")
    config = checkpoint.config
    for field, known in FIXED.items():
        if config.get(field, known) != known:
            raise HubError(
                f"{checkpoint.source} has {field}={config[field]!r} in config.json, and only "
                f"{known!r} is known here; take another BERT."
            )
    return {argument: checkpoint.field(field) for argument, field in SIZES.items()}


def bert_targets(encoder: keras.layers.Layer) -> dict[str, Target]:
    """Where the published arrays of a built `BERT` go, by their names after `bert.`."""
    embeddings = {
        "word_embeddings.weight": encoder.token_embedding.embeddings,
        "position_embeddings.weight": encoder.position_embedding.position_embeddings,
        "token_type_embeddings.weight": encoder.segment_embedding.embeddings,
        "LayerNorm.weight": encoder.embeddings_layer_norm.gamma,
        "LayerNorm.bias": encoder.embeddings_layer_norm.beta,
    }
    targets = {f"embeddings.{name}": Target(variable) for name, variable in embeddings.items()}
    for index, layer in enumerate(encoder.transformer_layers):
        for name, target in transformer_targets(layer, PARTS_OF_A_LAYER).items():
            targets[f"encoder.layer.{index}.{name}"] = target
    if encoder.pooler:
        targets["pooler.dense.weight"] = Target(encoder.pooler_dense.kernel, transposed)
        targets["pooler.dense.bias"] = Target(encoder.pooler_dense.bias)
    return targets


def ignored_names(encoder: keras.layers.Layer) -> list[str]:
    """Patterns of what a checkpoint holds besides the layers that the encoder runs."""
    unused = [r"embeddings\.position_ids"]
    unused += [
        rf"encoder\.layer\.{n}\..*" for n in range(encoder.highest_layer, encoder.num_layers)
    ]
    unused += [] if encoder.pooler else [r"pooler\..*"]
    heads = [r"(cls|classifier|qa_outputs)\..*", r"dropout(\..*)?"]
    return [*heads, *(rf"(bert\.)?{name}" for name in unused)]
