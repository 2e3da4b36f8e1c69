"""EmoDB, the Berlin Database of Emotional Speech (Burkhardt et al. 2005).

Ten German sentences, each spoken in seven emotions by ten actors; 535 clips, 16 kHz mono.

Tree: `wav/03a01Fa.wav` — speaker (03), sentence (a01), emotion by the first letter of its German
name (F = Freude), take (a). The take letter counts upwards over takes that the authors did not
all publish, so gaps are normal.
Source: http://emodb.bilderbar.info; CC0-1.0 in the authors' own release (audeering/emodb).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "EmoDB"
EXPECTS = "wav/03a01Fa.wav"

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}

MALE_SPEAKERS = frozenset({"03", "10", "11", "12", "15"})

SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute Abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

NAME = re.compile(r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<emotion>[A-Z])(?P<take>[a-z]?)")


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every clip below `root`."""
    return coded_recordings(root, NAME, TITLE, EXPECTS, _describe)


def _describe(code: re.Match[str]) -> dict[str, Any]:
    return {
        "label": EMOTIONS.get(code["emotion"], code["emotion"]),
        "transcript": SENTENCES.get(code["sentence"], ""),
        "speaker": code["speaker"],
        "gender": "male" if code["speaker"] in MALE_SPEAKERS else "female",
        "script": code["sentence"],
    }


CORPUS = CorpusFormat(
    name="emodb",
    summary="10 German actors, 10 sentences, 7 emotions, 535 clips",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
