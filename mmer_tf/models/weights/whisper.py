"""Published weights of Whisper's encoder, as transformers names them."""

from typing import Any

from mmer_tf.hub import HubError
from mmer_tf.models.weights.checkpoint import Checkpoint, Target, conv_kernel
from mmer_tf.models.weights.transformer import transformer_targets

STEPS_PER_SECOND = 50

SIZES = {
    "hidden_dim": "d_model",
    "num_layers": "encoder_layers",
    "num_heads": "encoder_attention_heads",
    "intermediate_dim": "encoder_ffn_dim",
    "num_mels": "num_mel_bins",
}
"""Arguments of the encoder, and the fields of `config.json` that hold them."""

BESIDES_THE_ENCODER = (
    r"(model\.)?decoder\..*",
    r"proj_out\..*",
    r"(projector|classifier)\..*",
    r"layer_weights",
)

PARTS_OF_A_LAYER = {
    "self_attn.q_proj": "self_attention_layer/query",
    "self_attn.k_proj": "self_attention_layer/key",
    "self_attn.v_proj": "self_attention_layer/value",
    "self_attn.out_proj": "self_attention_layer/attention_output",
    "self_attn_layer_norm": "self_attention_layer_norm",
    "fc1": "feedforward_intermediate_dense",
    "fc2": "feedforward_output_dense",
    "final_layer_norm": "feedforward_layer_norm",
}


def published_sizes(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of the encoder that the published weights decide, `window_seconds` among them.

    Raises:
        HubError: not the configuration of a Whisper, or of one with another nonlinearity; a field
            is missing or no size.
    """
    checkpoint.require_type("whisper")
    if (activation := checkpoint.config.get("activation_function", "gelu")) != "gelu":
        raise HubError(
            f"{checkpoint.source} has the activation '{activation}'; only 'gelu' can be read."
        )
    sizes = {argument: checkpoint.field(field) for argument, field in SIZES.items()}
    return sizes | {"window_seconds": checkpoint.field("max_source_positions") / STEPS_PER_SECOND}


def whisper_targets(encoder) -> dict[str, Target]:
    """Where the published arrays of a built `Whisper` go, by their names after `encoder.`."""
    steps = encoder.window_steps
    targets = {
        "embed_positions.weight": Target(encoder.position_embedding, lambda array: array[:steps])
    }
    for number, layer in enumerate((encoder.conv_layer_1, encoder.conv_layer_2), start=1):
        targets[f"conv{number}.weight"] = Target(layer.kernel, conv_kernel)
        targets[f"conv{number}.bias"] = Target(layer.bias)
    for index, layer in enumerate(encoder.transformer_layers):
        parts = transformer_targets(layer, PARTS_OF_A_LAYER, without_bias=("self_attn.k_proj",))
        targets |= {f"layers.{index}.{name}": target for name, target in parts.items()}
    if encoder.layer_norm is not None:
        targets["layer_norm.weight"] = Target(encoder.layer_norm.gamma)
        targets["layer_norm.bias"] = Target(encoder.layer_norm.beta)
    return targets


def ignored_names(encoder) -> list[str]:
    """Patterns of what a checkpoint holds besides the layers that the encoder runs."""
    unused = [rf"layers\.{n}\..*" for n in range(encoder.highest_layer, encoder.num_layers)]
    unused += ["layer_norm.*"] if encoder.layer_norm is None else []
    return [*BESIDES_THE_ENCODER, *(rf"(model\.)?encoder\.{pattern}" for pattern in unused)]
