"""What protocols see of an utterance, and by what they hold utterances together."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

IEMOCAP_SCRIPT = re.compile(
    r"(?:Ses\d\d[FM]_)?(?P<scenario>(?:impro|script)\d+)(?:_\d+)?[ab]?", re.IGNORECASE
)
"""A dialogue of IEMOCAP: who wore the markers, the scenario or play, the scene of it, the take."""


class ProtocolError(ValueError):
    """Utterances that a protocol cannot divide; the message says what they lack."""


class Row(Protocol):
    """What a protocol sees of an utterance."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def speaker(self) -> str | None: ...  # noqa: D102
    @property
    def session(self) -> str | None: ...  # noqa: D102
    @property
    def script(self) -> str | None: ...  # noqa: D102
    @property
    def transcript(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> str | None: ...  # noqa: D102


def spoken_words(transcript: str) -> str:
    """The words alone, so that "Go!" and "go" are one sentence; empty where there are none."""
    letters = "".join(
        " " if unicodedata.category(char)[0] in "PSZC" else char for char in transcript
    )
    return " ".join(letters.casefold().split())


def sentence(row: Row) -> str | None:
    """What is said, by its words alone; the script's code where no words are known."""
    return spoken_words(row.transcript) or row.script


def script(row: Row) -> str | None:
    """What the speakers followed, without scene, take and who was recorded.

    IEMOCAP plays every scenario in every session, some twice (`impro05a`, `impro05b`), and its
    plays in scenes (`script01_1`, `script01_2`), which share characters and story. Whatever does
    not read like this is taken as it is.
    """
    if row.script is None:
        return None
    match = IEMOCAP_SCRIPT.fullmatch(row.script)
    return match["scenario"].lower() if match else row.script


KEYS: Mapping[str, Callable[[Row], str | None]] = {
    "speaker": lambda row: row.speaker,
    "session": lambda row: row.session,
    "sentence": sentence,
    "script": script,
}
"""What utterances may share, and how to read it off one; None or "" where it is not known."""


def group_by(
    rows: Sequence[Row], key: Callable[[Row], str | None], what: str, least: int = 2
) -> dict[str, list[Row]]:
    """Rows by sorted key.

    Args:
        rows: utterances.
        key: what holds utterances together.
        what: name of the key, for the messages.
        least: number of groups needed.

    Raises:
        ProtocolError: a row without key, or fewer than `least` groups.
    """
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row) or ""].append(row)
    without = groups.pop("", [])
    if without:
        raise ProtocolError(
            f"{len(without)} of {len(rows)} utterances have no {what} (first: '{without[0].id}'); "
            f"choose another protocol."
        )
    if len(groups) < least:
        raise ProtocolError(
            f"splitting by {what} needs at least {least} of them. Received: {len(groups)}; "
            f"choose another protocol."
        )
    return dict(sorted(groups.items()))
