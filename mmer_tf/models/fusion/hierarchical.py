"""Fusion word by word: the voice during a word meets the tokens of that word."""

import keras
from keras import ops

from mmer_tf.models.fusion.gmu import GMU
from mmer_tf.models.modality import AbsentModality
from mmer_tf.models.pooling import AttentionPooling

SEGMENT_POOLINGS = ("mean", "attention")


@keras.saving.register_keras_serializable("mmer_tf")
class HierarchicalFusion(keras.layers.Layer):
    """Pool the speech steps and the tokens of each word, and fuse word by word.

    Word-segment pooling gives each word one vector of the voice and one of the text, a gated
    multimodal unit (see `GMU`) fuses the two, and the model pools over the words. A step belongs
    to a word when its middle lies within the word's timing; a word shorter than a step takes the
    step in which the word's own middle lies. A word without speech (there is none, or it lies
    outside the crop) or without tokens takes a learned vector in its place; one with neither is
    masked. Steps and tokens outside all words (silence, punctuation) are left out.

    Without timings that reach all modalities (a corpus without alignments; a prediction of which
    no timings are known), a modality would get lost: such a row is judged as one word, the first,
    that spans all steps and all tokens.

    Args:
        step_duration: from one speech step to the next in units of `word_spans` (10 ms), above 0.
        units: width of the answer, at least 1.
        segment_pooling: over the speech steps of a word, "mean" or "attention": the scores of
            `AttentionPooling`, `units` wide, with a softmax within each word.

    Call: speech (batch, steps, speech_dim), speech_mask (batch, steps) bool,
        text (batch, tokens, text_dim), text_mask (batch, tokens) bool,
        word_spans (batch, words, 2) int: start and end of each word from the first step on, -1
        where there is none; at least one word,
        word_of_token (batch, tokens) int: index of the token's word, -1 where there is none
        -> sequence (batch, words, units), zero where masked; mask (batch, words) bool; no extras

    Raises:
        ValueError: an argument out of range.
    """

    level = "words"

    def __init__(
        self, step_duration: float, units: int = 128, segment_pooling: str = "mean", **kwargs
    ):
        super().__init__(**kwargs)
        if step_duration <= 0:
            raise ValueError(
                f"`step_duration` must be > 0. Received: step_duration={step_duration}."
            )
        if segment_pooling not in SEGMENT_POOLINGS:
            raise ValueError(
                f"`segment_pooling` must be one of {', '.join(SEGMENT_POOLINGS)}. "
                f"Received: segment_pooling='{segment_pooling}'."
            )
        dtype = self.dtype_policy
        self.fuse = GMU(units, dtype=dtype, name="fuse")  # checks `units`
        self.step_duration = step_duration
        self.units = units
        self.segment_pooling = segment_pooling
        self.attention = None
        if segment_pooling == "attention":
            self.attention = AttentionPooling(units, dtype=dtype, name="attention")
        self.absent_speech = AbsentModality(dtype=dtype, name="absent_speech")
        self.absent_text = AbsentModality(dtype=dtype, name="absent_text")

    def build(
        self,
        speech_shape,
        speech_mask_shape,
        text_shape,
        text_mask_shape,
        word_spans_shape,
        word_of_token_shape,
    ):
        """Create the weights for steps and tokens of these widths."""
        words_shape = tuple(word_spans_shape[:2])
        speech_words, text_words = (*words_shape, speech_shape[-1]), (*words_shape, text_shape[-1])
        if self.attention is not None:
            self.attention.build(speech_shape)
        self.absent_speech.build(speech_words, words_shape)
        self.absent_text.build(text_words, words_shape)
        self.fuse.build(speech_words, text_words)

    def call(self, speech, speech_mask, text, text_mask, word_spans, word_of_token):
        """Fuse word by word; see the class."""
        speech = ops.where(speech_mask[:, :, None], speech, 0)
        text = ops.where(text_mask[:, :, None], text, 0)
        steps = ops.logical_and(  # (batch, words, steps)
            self._steps_of_words(word_spans, ops.shape(speech_mask)[1]), speech_mask[:, None]
        )
        words = ops.arange(ops.shape(word_spans)[1], dtype="int32")[None, :, None]
        tokens = ops.logical_and(  # (batch, words, tokens)
            ops.cast(word_of_token, "int32")[:, None] == words, text_mask[:, None]
        )
        lost = ops.logical_or(_is_lost(steps, speech_mask), _is_lost(tokens, text_mask))
        lost = lost[:, None, None]
        steps = ops.where(lost, ops.logical_and(words == 0, speech_mask[:, None]), steps)
        tokens = ops.where(lost, ops.logical_and(words == 0, text_mask[:, None]), tokens)
        heard, read = ops.any(steps, axis=2), ops.any(tokens, axis=2)  # (batch, words)

        scores = None
        if self.attention is not None:
            scores = self.attention.score(self.attention.hidden(speech))  # (batch, steps, 1)
            scores = ops.cast(ops.transpose(scores, (0, 2, 1)), "float32")
        voice = self._pool(steps, speech, scores)  # (batch, words, speech_dim)
        voice = self.absent_speech(voice, heard)
        written = self.absent_text(self._pool(tokens, text), read)  # (batch, words, text_dim)
        fused, _ = self.fuse(voice, written)  # (batch, words, units)
        mask = ops.logical_or(heard, read)
        return ops.where(mask[:, :, None], fused, 0), mask, {}

    def _steps_of_words(self, word_spans, steps):
        """Which step belongs to which word: (batch, words, steps) bool."""
        spans = ops.cast(word_spans, "float32") / self.step_duration
        start, end = spans[:, :, :1], spans[:, :, 1:]  # (batch, words, 1), in steps
        first = ops.arange(steps, dtype="float32")[None, None]
        inside = ops.logical_and(start <= first + 0.5, first + 0.5 < end)
        middle = ops.floor((start + end) / 2)
        nearest = ops.logical_and(
            ops.logical_not(ops.any(inside, axis=2, keepdims=True)), first == middle
        )
        return ops.logical_and(ops.logical_or(inside, nearest), start >= 0)

    def _pool(self, members, sequence, scores=None):
        """Weighted mean of the members of each word: (batch, words, dim)."""
        # float32: half precision would lose the small weights of long sequences
        weights = ops.cast(members, "float32")
        if scores is not None:
            scores = ops.where(members, scores, -1e9)
            weights = weights * ops.exp(scores - ops.max(scores, axis=2, keepdims=True))
        total = ops.sum(weights, axis=2, keepdims=True)
        weights = weights / ops.where(total > 0, total, 1)
        return ops.cast(ops.matmul(weights, ops.cast(sequence, "float32")), self.compute_dtype)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "step_duration": self.step_duration,
            "units": self.units,
            "segment_pooling": self.segment_pooling,
        }


def _is_lost(members, mask):
    """Whether a row has steps, none of which belongs to a word: (batch,) bool."""
    return ops.logical_and(ops.any(mask, axis=1), ops.logical_not(ops.any(members, axis=(1, 2))))
