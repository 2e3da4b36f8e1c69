"""The voice looks at the words, and the words at the voice."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class CrossAttention(keras.layers.Layer):
    """Let each step of either modality attend to the steps of the other.

    Both sequences are projected to the same width; then `s' = norm(s + attention(s, t, t))` and
    `t' = norm(t + attention(t, s, s))`: one crossmodal block in each direction of Tsai et al.
    2019, "Multimodal transformer for unaligned multimodal language sequences" (doi
    10.18653/v1/P19-1656), without its feed-forward layers. A row whose other modality has no step
    keeps its own states: `norm(s)`.

    Args:
        units: width of the answer, a multiple of `num_heads`.
        num_heads: attention heads in each direction, at least 1.
        dropout: share of the attention weights, and of what was attended to, dropped in training.

    Call: speech (batch, steps, speech_dim), speech_mask (batch, steps) bool,
        text (batch, tokens, text_dim), text_mask (batch, tokens) bool
        -> speech (batch, steps, units), text (batch, tokens, units), zero where masked; no extras

    Raises:
        ValueError: an argument out of range.
    """

    level = "sequence"

    def __init__(self, units: int = 128, num_heads: int = 4, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        for argument, value in (("units", units), ("num_heads", num_heads)):
            if value < 1:
                raise ValueError(f"`{argument}` must be >= 1. Received: {argument}={value}.")
        if units % num_heads:
            raise ValueError(
                "`units` must be a multiple of `num_heads`. "
                f"Received: units={units}, num_heads={num_heads}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        self.units = units
        self.num_heads = num_heads
        self.dropout = dropout
        dtype = self.dtype_policy
        self.project_speech = keras.layers.Dense(units, dtype=dtype, name="project_speech")
        self.project_text = keras.layers.Dense(units, dtype=dtype, name="project_text")
        self.speech_to_text, self.text_to_speech = (
            keras.layers.MultiHeadAttention(
                num_heads, units // num_heads, dropout=dropout, dtype=dtype, name=name
            )
            for name in ("speech_to_text", "text_to_speech")
        )
        self.drop_speech, self.drop_text = (
            keras.layers.Dropout(dropout, dtype=dtype, name=name)
            for name in ("drop_speech", "drop_text")
        )
        self.normalise_speech, self.normalise_text = (
            keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=name)
            for name in ("normalise_speech", "normalise_text")
        )

    def build(self, speech_shape, speech_mask_shape, text_shape, text_mask_shape):
        """Create the weights for steps and tokens of these widths."""
        self.project_speech.build(speech_shape)
        self.project_text.build(text_shape)
        speech_shape = (*speech_shape[:-1], self.units)
        text_shape = (*text_shape[:-1], self.units)
        self.speech_to_text.build(speech_shape, text_shape)
        self.text_to_speech.build(text_shape, speech_shape)
        self.normalise_speech.build(speech_shape)
        self.normalise_text.build(text_shape)

    def call(self, speech, speech_mask, text, text_mask, training=None):
        """Attend in both directions; see the class."""
        speech = self.project_speech(ops.where(speech_mask[:, :, None], speech, 0))
        text = self.project_text(ops.where(text_mask[:, :, None], text, 0))
        pairs = ops.logical_and(speech_mask[:, :, None], text_mask[:, None, :])
        from_text = self.speech_to_text(  # (batch, steps, units)
            speech, text, attention_mask=pairs, training=training
        )
        from_speech = self.text_to_speech(  # (batch, tokens, units)
            text, speech, attention_mask=ops.transpose(pairs, (0, 2, 1)), training=training
        )
        # Where nothing may be attended to, softmax gives padding equal weights.
        has_speech, has_text = (
            ops.any(mask, axis=1)[:, None, None] for mask in (speech_mask, text_mask)
        )
        from_text = self.drop_speech(ops.where(has_text, from_text, 0), training=training)
        from_speech = self.drop_text(ops.where(has_speech, from_speech, 0), training=training)
        speech = self.normalise_speech(speech + from_text)
        text = self.normalise_text(text + from_speech)
        speech = ops.where(speech_mask[:, :, None], speech, 0)
        text = ops.where(text_mask[:, :, None], text, 0)
        return speech, text, {}

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "units": self.units,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }
