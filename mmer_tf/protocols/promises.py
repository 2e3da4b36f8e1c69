"""What each protocol promises that test utterances do not share with the others.

What is promised and broken is a leak; what overlaps without a promise is only worth a note.
The names are those of `groups.KEYS`.
"""

from collections.abc import Mapping

PROMISES: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "stratified-70-15-15": (),
    "predefined": (),
    "sentence": ("sentence",),
    "script": ("script",),
    "speaker": ("speaker",),
    "speaker-in-session": ("speaker",),
    "session": ("session",),
}
"""Protocol -> what test shares neither with training nor with validation.

The order is that of the ladder: from the protocol that shares the most to the one that shares the
least. Where only two groups exist, validation is a part of the training group, which breaks none of
these.
"""

DRAWN = ("random", "stratified-70-15-15")
"""Protocols that draw utterances one by one: nothing of theirs can be broken, or believed."""

PROMISES_TO_TRAINING: Mapping[str, tuple[str, ...]] = {
    **PROMISES,
    "speaker-in-session": ("speaker", "session"),
}
"""Protocol -> what test does not share with training, though it may with validation."""
