"""A dict that answers a wrong name with the names it knows."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong name; empty where no known one is close.

    >>> did_you_mean("atention", ["attention", "mean"])
    "; did you mean 'attention'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


class UnknownNameError(KeyError):
    """A name that is not in the table; its message lists the known ones."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would quote the sentence


class Registry(dict[str, Entry]):
    """Named entries of one kind.

    >>> poolings = Registry("pooling", {"mean": 1, "attention": 2})
    >>> poolings["attention"]
    2
    >>> poolings["atention"]
    Traceback (most recent call last):
        ...
    mmer_tf.registry.UnknownNameError: unknown pooling 'atention'; did you mean ...
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]):
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> Entry:
        hint = did_you_mean(name, self) or "."
        raise UnknownNameError(
            f"unknown {self.kind} '{name}'{hint} Known: {', '.join(sorted(self))}."
        )
