"""Contractions and what they are written out as: one table for Python, for the graph of a served
model, and for a phone. Without TensorFlow.

The pairs are those of the package `contractions`, English all of them. Only whole words are looked
up: over running text that package also turns "Jan." into "january" and "o'" into "of".
"""

import contractions

from mmer_tf.text.sentences import LOOKED_UP, write_out

_KEPT = ("ain't", "o'clock")  # the package reads "are not" and "of the clock"


def expand(word: str) -> str:
    """Write one contraction out; any other word stays as it is.

    >>> expand("She’s"), expand("WON'T"), expand("mother's")
    ('She is', 'WILL NOT', "mother's")
    """
    return write_out(word, EXPANSIONS)


def _read_table() -> dict[str, str]:
    table = {}
    for short in contractions.contractions_dict:
        if not LOOKED_UP.fullmatch(short) or "’" in short or short.lower() in _KEPT:
            continue
        for word in (short.lower(), short[0].upper() + short[1:].lower(), short.upper()):
            table[word] = contractions.fix(word, leftovers=False, slang=False)
            if not word.startswith("'"):
                table[f"'{word}"] = f"'{table[word]}"  # the first word of a quotation
    return table


EXPANSIONS = _read_table()
"""A word in small letters, with a capital, or in capitals -> the same written out."""
