"""Fusions: from the voice and the words to one vector.

A fusion is a Keras layer that declares the `level` it works on. At level "vector":
call(speech_vector (batch, speech_dim), text_vector (batch, text_dim))
-> (vector (batch, dim), extras), where extras is a dict of further model outputs (`gate`), which
may be empty.
"""

from mmer_tf.models.fusion.concat import Concat
from mmer_tf.models.fusion.gmu import GMU
from mmer_tf.registry import Registry

FUSIONS = Registry("fusion", {"concat": Concat, "gmu": GMU})
