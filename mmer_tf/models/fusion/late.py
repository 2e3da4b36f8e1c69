"""Each modality judges alone; the probabilities are averaged."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class LateFusion(keras.layers.Layer):
    """Average the class probabilities of the modalities that are present.

    The mean rule of Kittler et al. 1998, "On combining classifiers" (doi 10.1109/34.667881), in
    logarithms, so that the softmax of the answer is the mean of the softmaxes. A row with neither
    modality gives equal probabilities. Computes in float32 whatever the policy is.

    Call: speech_logits (batch, classes), text_logits (batch, classes),
        has_speech (batch,) bool, has_text (batch,) bool
        -> log-probabilities (batch, classes) float32, no extras
    """

    level = "probability"

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "autocast": False})

    def call(self, speech_logits, text_logits, has_speech, has_text):
        """Average; see the class."""
        present = ops.stack([has_speech, has_text], axis=1)[:, :, None]  # (batch, 2, 1)
        logits = ops.stack([speech_logits, text_logits], axis=1)  # (batch, 2, classes)
        # Absent logits may be anything, even NaN, which would spoil the gradients of the others.
        logits = ops.where(present, ops.cast(logits, "float32"), 0)
        none = ops.logical_not(ops.any(present, axis=1, keepdims=True))
        # With neither, both count: two rows of zeros are two uniform distributions.
        counted = ops.logical_or(present, none)
        logarithms = ops.where(counted, ops.log_softmax(logits, axis=-1), -1e9)
        count = ops.sum(ops.cast(counted, "float32"), axis=1)  # (batch, 1)
        return ops.logsumexp(logarithms, axis=1) - ops.log(count), {}
