"""From a corpus's transcript to the text that the tokenizer reads. Without TensorFlow.

Two published cleanings. "sentences" (the default) keeps whole sentences, which is what a
pretrained BERT has seen: the garbage marker goes, non-verbal events stay as tokens of their own,
contractions are written out. "lemmas" goes on from there: lower case, no punctuation, no stop
words, dictionary forms. Contractions, stop words and lemmas are English; text in other languages
passes through "sentences" unchanged.
"""

import re
from typing import Literal

import simplemma

from mmer_tf.text.expansions import EXPANSIONS
from mmer_tf.text.sentences import NON_VERBAL, clean_sentences
from mmer_tf.text.stop_words import STOP_WORDS

Style = Literal["sentences", "lemmas"]

_LEMMATISED = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s?\b")


def clean(transcript: str, style: Style = "sentences") -> str:
    """Clean one transcript.

    Args:
        transcript: as the corpus has it.
        style: "sentences" or "lemmas".

    Returns:
        The cleaned text, words one space apart; empty if nothing is left.

    Raises:
        ValueError: unknown `style`.

    >>> clean("++GARBAGE++ That's  fine, <sil> I've seen it. ++LAUGHTER++")
    'That is fine, <sil> I have seen it. ++LAUGHTER++'
    >>> clean("That's fine, I've seen the children crying. ++LAUGHTER++", style="lemmas")
    'fine see child cry ++LAUGHTER++'
    """
    if style not in ("sentences", "lemmas"):
        raise ValueError(f"`style` must be 'sentences' or 'lemmas'. Received: style={style!r}.")
    text = clean_sentences(transcript, EXPANSIONS)
    if style == "lemmas":
        pieces = NON_VERBAL.split(text)  # text and non-verbal tokens by turns
        text = " ".join(
            piece if position % 2 else _lemmas(piece) for position, piece in enumerate(pieces)
        )
    return " ".join(text.split())


def _lemmas(text: str) -> str:
    words = (_POSSESSIVE.sub("", word) for word in _LEMMATISED.findall(text.lower()))
    return " ".join(
        simplemma.lemmatize(word, lang="en").lower() for word in words if word not in STOP_WORDS
    )
