"""Vision transformers as Hugging Face publishes them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mmer_tf.hub import HubError
from mmer_tf.models.weights.checkpoint import Checkpoint, Target, conv_kernel, transposed
from mmer_tf.models.weights.configuration import COUNT, POSITIVE

SIZES = {
    "image_size": ("image_size", COUNT),
    "patch_size": ("patch_size", COUNT),
    "hidden_dim": ("hidden_size", COUNT),
    "num_layers": ("num_hidden_layers", COUNT),
    "num_heads": ("num_attention_heads", COUNT),
    "intermediate_dim": ("intermediate_size", COUNT),
    "layer_norm_epsilon": ("layer_norm_eps", POSITIVE),
}
"""Our argument -> the published field, and what it must be."""

FIXED = {"hidden_act": "gelu", "num_channels": 3, "qkv_bias": True}
"""Fields of the published configuration of which only one value can be had."""


def vit_sizes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of `ViT` by the checkpoint's configuration; what it does not tell is left out.

    Raises:
        HubError: the configuration is of another kind of model, or of an unknown variant; a field
            is no size.
    """
    config = checkpoint.config
    if config:
        checkpoint.require_type("vit")
    for field, known in FIXED.items():
        if config.get(field, known) != known:
            raise HubError(
                f"{checkpoint.source} has {field}={config[field]!r} in config.json, "
                f"and only {known!r} is known here; take another vision transformer."
            )
    return {
        argument: checkpoint.field(field, kind)
        for argument, (field, kind) in SIZES.items()
        if field in config
    }


def vit_targets(encoder: keras.layers.Layer) -> dict[str, Target]:
    """Where the arrays of transformers' `ViTModel` go in a `ViT` that was built.

    Returns:
        Published name -> its place, without the arrays of the pooler and of the classifier.
    """
    embedding = encoder.backbone.get_layer("vit_patching_and_embedding")
    transformer = encoder.backbone.get_layer("vit_encoder")
    table = embedding.position_embedding
    targets = {
        "embeddings.cls_token": Target(embedding.class_token),
        "embeddings.position_embeddings": Target(table.embeddings, lambda array: array[0]),
    }
    targets |= _linear(
        "embeddings.patch_embeddings.projection", embedding.patch_embedding, conv_kernel
    )
    for index, layer in enumerate(transformer.encoder_layers):
        targets |= _transformer_layer(f"encoder.layer.{index}", layer)
    return targets | _normalisation("layernorm", transformer.layer_norm)


def _transformer_layer(name: str, layer: keras.layers.Layer) -> dict[str, Target]:
    attention = layer.mha
    heads = (attention.num_heads, attention.key_dim)

    def split_columns(array: np.ndarray) -> np.ndarray:
        return array.T.reshape(-1, *heads)  # (in, heads, head_dim)

    def split_rows(array: np.ndarray) -> np.ndarray:
        return array.T.reshape(*heads, -1)  # (heads, head_dim, out)

    def split_bias(array: np.ndarray) -> np.ndarray:
        return array.reshape(heads)

    targets = _normalisation(f"{name}.layernorm_before", layer.layer_norm_1)
    for part in ("query", "key", "value"):
        projection = getattr(attention, f"{part}_dense")
        targets |= _linear(
            f"{name}.attention.attention.{part}", projection, split_columns, split_bias
        )
    targets |= _linear(f"{name}.attention.output.dense", attention.output_dense, split_rows)
    targets |= _normalisation(f"{name}.layernorm_after", layer.layer_norm_2)
    targets |= _linear(f"{name}.intermediate.dense", layer.mlp.dense_1, transposed)
    return targets | _linear(f"{name}.output.dense", layer.mlp.dense_2, transposed)


def _linear(
    name: str,
    layer: keras.layers.Layer,
    kernel: Callable[[np.ndarray], np.ndarray],
    bias: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> dict[str, Target]:
    return {
        f"{name}.weight": Target(layer.kernel, kernel),
        f"{name}.bias": Target(layer.bias, bias),
    }


def _normalisation(name: str, layer: keras.layers.LayerNormalization) -> dict[str, Target]:
    return {f"{name}.weight": Target(layer.gamma), f"{name}.bias": Target(layer.beta)}
