"""What a classifier computes between its inputs and its logits, for those who look inside."""

import keras

from mmer_tf.models.branch import FRAME_SHAPES, STATES_DURATION, step_duration
from mmer_tf.models.pooling import POOLINGS

BLOCKS = ("temporal", "contextual", "fusion")
"""The voice as one vector, the words as one vector, and what the classifier reads of both."""

ROLES = {"temporal": "speech", "contextual": "text"}


def open_model(model: keras.Model) -> keras.Model:
    """The same model with further outputs.

    - `temporal_block`, `contextual_block` (batch, dim): the pooled voice and the pooled words,
      before an absent one is replaced by a learned vector; where the fusion works word by word,
      the mean of what it reads.
    - `fusion_block` (batch, dim): what the classifier reads; of a model of both modalities, unless
      each is classified alone.
    - `speech_mask` (batch, steps), `text_mask` (batch, tokens): True at real steps of the branches.

    Args:
        model: of `create_model`, also one that was read from disk. It shares its weights.
    """
    outputs = dict(model.output)
    layers = {layer.name: layer for layer in model.layers}
    for block, role in ROLES.items():
        if (pooling := layers.get(f"{role}_pooling")) is not None:
            outputs[f"{role}_mask"] = pooling.input[1]
            outputs[f"{block}_block"] = pooling.output[0]
    if "word_pooling" in layers:
        speech, speech_mask, text, text_mask, *_ = layers["fusion"].input
        outputs |= {"speech_mask": speech_mask, "text_mask": text_mask}
        mean = POOLINGS["mean"]
        outputs["temporal_block"], _ = mean(name="speech_mean")(speech, speech_mask)
        outputs["contextual_block"], _ = mean(name="text_mean")(text, text_mask)
    if {"fusion", "dropout"} <= set(layers):
        outputs["fusion_block"] = layers["dropout"].input
    return keras.Model(model.inputs, outputs, name=model.name)


def speech_step(model: keras.Model) -> float | None:
    """From one step of the voice's encoder to the next, in units of 10 ms.

    Returns:
        None without a voice, and for encoders whose steps do not follow time (pictures).
    """
    layers = {layer.name: layer for layer in model.layers}
    if "speech_encoder" not in layers:
        return None
    encoder = layers["speech_encoder"]
    features = [tensor.name for tensor in model.inputs if tensor.name in FRAME_SHAPES]
    first = layers.get("speech_upstream")
    if features and first is None:
        return step_duration(encoder, features)
    base = step_duration(first, features) if first is not None else STATES_DURATION
    per_step = getattr(encoder, "frames_per_step", None)
    return base * per_step if base and per_step else None


def tokens_per_step(model: keras.Model) -> int:
    """How many tokens one step of the encoder of the words covers."""
    encoders = [layer for layer in model.layers if layer.name == "text_encoder"]
    return getattr(encoders[0], "frames_per_step", 1) if encoders else 1
