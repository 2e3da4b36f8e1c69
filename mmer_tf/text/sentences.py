"""The cleaning that keeps whole sentences, with a table of contractions from wherever.

Needs nothing but Python, so that a phone's classifier does it without the packages behind the
table.
"""

import re
from collections.abc import Mapping

NON_VERBAL_TOKENS = ("<sil>", "++BREATHING++", "++LAUGHTER++")
"""Sounds that are not words; the tokenizer gives each an id of its own."""

INFORMAL = ("gonna", "gotta", "wanna", "gimme", "kinda")
"""Contractions without an apostrophe."""

LOOKED_UP = re.compile(rf"\w*['’]\w[\w'’]*|(?ai:\b(?:{'|'.join(INFORMAL)})\b)")
"""A word that may be a contraction: one with an apostrophe inside or in front, or informal."""

NON_VERBAL = re.compile("(" + "|".join(re.escape(token) for token in NON_VERBAL_TOKENS) + ")")

_GARBAGE = "++GARBAGE++"
_BRACKETED = re.compile(r"\[(BREATHING|LAUGHTER|GARBAGE)\]")  # the other spelling of IEMOCAP


def clean_sentences(transcript: str, expansions: Mapping[str, str]) -> str:
    """Drop the garbage marker, set non-verbal tokens apart, write contractions out.

    Args:
        transcript: as the corpus has it.
        expansions: a contraction in small letters, with a capital, or in capitals -> the same
            written out.

    Returns:
        The cleaned text, words one space apart; empty if nothing is left.

    >>> clean_sentences("++GARBAGE++ That's  fine, <sil> ++LAUGHTER++", {"That's": "That is"})
    'That is fine, <sil> ++LAUGHTER++'
    """
    text = _BRACKETED.sub(r"++\1++", transcript).replace(_GARBAGE, " ")
    text = NON_VERBAL.sub(r" \1 ", text)
    text = LOOKED_UP.sub(lambda word: write_out(word.group(), expansions), text)
    return " ".join(text.split())


def write_out(word: str, expansions: Mapping[str, str]) -> str:
    """Write one contraction out; any other word stays as it is."""
    straight = word.replace("’", "'")
    return expansions.get(straight) or expansions.get(straight.lower(), word)
