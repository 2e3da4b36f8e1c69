"""Published HuBERT, wav2vec 2.0 and WavLM: their sizes, their preprocessing, their weights."""

from collections.abc import Mapping
from typing import Any

import keras

from mmer_tf.hub import HubError
from mmer_tf.models.weights.checkpoint import Checkpoint, Target, conv_kernel, transposed
from mmer_tf.models.weights.configuration import (
    COUNT,
    COUNTS,
    FLAG,
    OBJECT,
    TEXT,
    read_configuration,
    read_field,
)

PREPROCESSOR = "preprocessor_config.json"
SAMPLE_RATE = 16000

SIZES = {
    "conv_dims": ("conv_dim", (512,) * 7),
    "conv_kernels": ("conv_kernel", (10, 3, 3, 3, 3, 2, 2)),
    "conv_strides": ("conv_stride", (5, 2, 2, 2, 2, 2, 2)),
    "conv_bias": ("conv_bias", False),
    "feature_norm": ("feat_extract_norm", "group"),
    "projection_norm": ("feat_proj_layer_norm", True),
    "hidden_dim": ("hidden_size", 768),
    "num_layers": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 12),
    "intermediate_dim": ("intermediate_size", 3072),
    "position_kernel": ("num_conv_pos_embeddings", 128),
    "position_groups": ("num_conv_pos_embedding_groups", 16),
    "norm_first": ("do_stable_layer_norm", False),
}
"""Our argument -> the published field, and what it is where a file leaves it out."""

WAVLM_SIZES = {
    "num_buckets": ("num_buckets", 320),
    "max_bucket_distance": ("max_bucket_distance", 800),
}

KINDS = {int: COUNT, tuple: COUNTS, bool: FLAG, str: TEXT}
"""Type of what a field is where it is left out -> what it must be."""

BUILT = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
    "adapter_attn_dim": None,
}
"""Fields of which a single value is built here, the one that all well-known models have."""

IGNORED = (
    r"(\w+\.)?masked_spec_embed",
    r"(lm_head|quantizer|project_hid|project_q|projector|classifier|tdnn|objective)\..*",
    r"feature_extractor\.(weight|bias)",  # of speaker verification, not the convolutions
    r"layer_weights",
)
"""What pretraining and the heads of other tasks leave in a file."""

SPELLINGS = (
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)
"""torch's newer names of a weight normalised kernel's length and direction."""


def sizes_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of the encoder that fit the published configuration.

    Raises:
        HubError: a variant that is not built here, or a field that is no such size.
    """
    config = checkpoint.config
    for field, built in BUILT.items():
        if (value := config.get(field, built)) != built:
            raise HubError(
                f"{checkpoint.source}: config.json has {field}={value}, of which this encoder "
                f"knows {built} alone; give a checkpoint with that."
            )
    fields = SIZES | (WAVLM_SIZES if config["model_type"] == "wavlm" else {})
    return {
        argument: checkpoint.field(field, KINDS[type(default)], default)
        for argument, (field, default) in fields.items()
    }


def normalises(checkpoint: Checkpoint, default: bool) -> bool:
    """Whether the model reads waveforms of zero mean and unit variance.

    Args:
        default: what holds where there is no `preprocessor_config.json`.

    Raises:
        HubError: the file cannot be read, or asks for another sampling rate than 16 kHz.
    """
    file = checkpoint.folder / PREPROCESSOR
    if not file.is_file():
        return default
    values = read_configuration(file)
    # Newer files hold it one level deeper.
    values = read_field(values, file, "feature_extractor", OBJECT, values)
    if (rate := values.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise HubError(
            f"{file} asks for a sampling_rate of {rate} Hz; give a model for {SAMPLE_RATE}."
        )
    return read_field(values, file, "do_normalize", FLAG, True)


def assign_speech_transformer(encoder: keras.layers.Layer, checkpoint: Checkpoint) -> None:
    """Give a built encoder its published weights.

    Raises:
        HubError: they are not those of this model.
    """
    built, published = len(encoder.transformer_layers), encoder.num_layers
    unused = [rf"(\w+\.)?encoder\.layers\.{index}\..*" for index in range(built, published)]
    if encoder.norm is None:
        unused.append(r"(\w+\.)?encoder\.layer_norm\..*")
    checkpoint.assign(
        speech_transformer_targets(encoder),
        prefixes=("", f"{encoder.model_type}."),
        ignored=(*IGNORED, *unused),
        renamed=SPELLINGS,
    )


def speech_transformer_targets(encoder: keras.layers.Layer) -> dict[str, Target]:
    """Where each published array goes, by its name without a prefix.

    Args:
        encoder: built; only as many layers as it computes have targets.
    """
    targets = {}
    features = encoder.features
    for index, convolution in enumerate(features.convolutions):
        name = f"feature_extractor.conv_layers.{index}"
        targets |= _convolution(f"{name}.conv", convolution)
        if index < len(features.norms):
            targets |= _norm(f"{name}.layer_norm", features.norms[index])
    if encoder.features_norm is not None:
        targets |= _norm("feature_projection.layer_norm", encoder.features_norm)
    targets |= _dense("feature_projection.projection", encoder.projection)
    position = encoder.position_convolution
    targets |= {
        "encoder.pos_conv_embed.conv.weight_g": Target(position.length, conv_kernel),
        "encoder.pos_conv_embed.conv.weight_v": Target(position.direction, conv_kernel),
        "encoder.pos_conv_embed.conv.bias": Target(position.bias),
    }
    if encoder.norm is not None:
        targets |= _norm("encoder.layer_norm", encoder.norm)
    for index, layer in enumerate(encoder.transformer_layers):
        targets |= _transformer_layer(f"encoder.layers.{index}", layer)
    if encoder.transformer_layers and encoder.model_type == "wavlm":
        name = "encoder.layers.0.attention.rel_attn_embed.weight"
        targets[name] = Target(encoder.position_bias.embeddings)
    return targets


def _transformer_layer(name: str, layer: keras.layers.Layer) -> dict[str, Target]:
    attention = layer.attention
    dense: Mapping[str, keras.layers.Dense] = {
        "attention.q_proj": attention.query,
        "attention.k_proj": attention.key,
        "attention.v_proj": attention.value,
        "attention.out_proj": attention.output_projection,
        "feed_forward.intermediate_dense": layer.intermediate,
        "feed_forward.output_dense": layer.feed_forward,
    }
    targets = {}
    if attention.gated_bias:
        dense = {**dense, "attention.gru_rel_pos_linear": attention.gates}
        # (1, heads, 1, 1) -> (heads, 1, 1)
        scale = Target(attention.gate_scale, lambda array: array.squeeze(0))
        targets[f"{name}.attention.gru_rel_pos_const"] = scale
    for part, linear in dense.items():
        targets |= _dense(f"{name}.{part}", linear)
    targets |= _norm(f"{name}.layer_norm", layer.attention_norm)
    targets |= _norm(f"{name}.final_layer_norm", layer.feed_forward_norm)
    return targets


def _dense(name: str, layer: keras.layers.Dense) -> dict[str, Target]:
    return {
        f"{name}.weight": Target(layer.kernel, transposed),
        f"{name}.bias": Target(layer.bias),
    }


def _convolution(name: str, layer: keras.layers.Conv1D) -> dict[str, Target]:
    targets = {f"{name}.weight": Target(layer.kernel, conv_kernel)}
    if layer.use_bias:
        targets[f"{name}.bias"] = Target(layer.bias)
    return targets


def _norm(name: str, layer: keras.layers.Layer) -> dict[str, Target]:
    return {f"{name}.weight": Target(layer.gamma), f"{name}.bias": Target(layer.beta)}
