"""Random numbers that an utterance and a seed decide, whatever else is drawn before or beside."""

import hashlib

import numpy as np


def draws_for(id: str, seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one utterance.

    Args:
        id: of the utterance.
        seed: another one gives other numbers.
        purpose: what they are drawn for, so that two uses do not share them.

    >>> draws_for("a", 0, "noise").integers(100) == draws_for("a", 0, "noise").integers(100)
    np.True_
    """
    digest = hashlib.sha256(f"{seed} {purpose} {id}".encode()).digest()
    return np.random.default_rng(list(digest))
