"""`text.normalise.clean` in a TensorFlow graph, for models that are served."""

import re

import tensorflow as tf

from mmer_tf.text.expansions import EXPANSIONS
from mmer_tf.text.sentences import INFORMAL, NON_VERBAL_TOKENS

_LETTER = r"\p{L}\p{N}_"  # what Python's \w means
_MAYBE_CONTRACTION = rf"[{_LETTER}]*['’][{_LETTER}][{_LETTER}'’]*|\b(?i:{'|'.join(INFORMAL)})\b"
_SPACES = r"[\t-\r\x1c-\x1f\x{85}\p{Z} ]+"  # what Python's str.split() splits at
_MARK = "\uf8f0"
"""Stands between what is looked up and the rest; the tokenizer drops private-use characters."""


class CleaningGraph(tf.Module):
    """Clean transcripts as `clean(transcript, "sentences")` does.

    Call: transcripts (batch,) string -> (batch,) string
    """

    def __init__(self):
        super().__init__(name="cleaning")
        written_out = tf.lookup.KeyValueTensorInitializer(
            tf.constant(list(EXPANSIONS)), tf.constant(list(EXPANSIONS.values()))
        )
        self.table = tf.lookup.StaticHashTable(written_out, default_value="")

    def __call__(self, transcripts: tf.Tensor) -> tf.Tensor:
        """Clean; see the class."""
        text = tf.strings.regex_replace(transcripts, r"\[(BREATHING|LAUGHTER|GARBAGE)\]", r"++\1++")
        text = tf.strings.regex_replace(text, re.escape("++GARBAGE++"), " ")
        events = "|".join(re.escape(token) for token in NON_VERBAL_TOKENS)
        text = tf.strings.regex_replace(text, f"({events})", r" \1 ")
        text = tf.strings.regex_replace(text, _MARK, "")
        text = tf.strings.regex_replace(text, _MAYBE_CONTRACTION, rf"{_MARK}\0{_MARK}")
        pieces = tf.strings.split(text, _MARK)
        pieces = pieces.with_flat_values(self._expand(pieces.flat_values))
        text = tf.strings.reduce_join(pieces, axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(text, _SPACES, " "))

    def _expand(self, words: tf.Tensor) -> tf.Tensor:
        straight = tf.strings.regex_replace(words, "’", "'")
        found = self.table.lookup(straight)
        in_small = self.table.lookup(tf.strings.lower(straight, encoding="utf-8"))
        found = tf.where(found != "", found, in_small)
        return tf.where(found != "", found, words)
