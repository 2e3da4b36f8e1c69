"""Fusions: from the voice and the words to one answer.

A fusion is a Keras layer that declares the `level` it works on, and with it how it is called. All
masks are bool. Every call ends in extras, a dict of further model outputs (`gate`), which may be
empty.

- "vector": call(speech_vector (batch, speech_dim), text_vector (batch, text_dim))
  -> vector (batch, dim), extras.
- "sequence": call(speech (batch, steps, speech_dim), speech_mask (batch, steps),
  text (batch, tokens, text_dim), text_mask (batch, tokens))
  -> speech (batch, steps, dim), text (batch, tokens, dim), zero where masked, extras. The model
  pools both and joins them.
- "words": call(speech, speech_mask, text, text_mask, word_spans (batch, words, 2) int,
  word_of_token (batch, tokens) int) -> sequence (batch, words, dim), zero where masked,
  mask (batch, words), extras. The model pools over the words. The constructor takes the
  `step_duration` of the speech steps in units of `word_spans`.
- "probability": call(speech_logits (batch, classes), text_logits (batch, classes),
  has_speech (batch,) bool, has_text (batch,) bool) -> logits (batch, classes), extras.
"""

from mmer_tf.models.fusion.concat import Concat
from mmer_tf.models.fusion.cross_attention import CrossAttention
from mmer_tf.models.fusion.gmu import GMU
from mmer_tf.models.fusion.hierarchical import HierarchicalFusion
from mmer_tf.models.fusion.late import LateFusion
from mmer_tf.registry import Registry

FUSIONS = Registry(
    "fusion",
    {
        "concat": Concat,
        "gmu": GMU,
        "cross_attention": CrossAttention,
        "hierarchical": HierarchicalFusion,
        "late": LateFusion,
    },
)
