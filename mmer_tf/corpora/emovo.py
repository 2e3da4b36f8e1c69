"""EMOVO, the Italian corpus of emotional speech (Costantini et al. 2014).

Fourteen Italian sentences in seven emotions by six actors; 588 clips, 48 kHz stereo.

Tree: `f1/dis-f1-b1.wav` — emotion by its Italian name, actor (f = female), sentence (b short, l
long, n without meaning, d question).
Source: http://voice.fub.it/activities/corpora/emovo; free for research.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "EMOVO"
EXPECTS = "f1/dis-f1-b1.wav"

EMOTIONS = {
    "dis": "disgust",
    "gio": "joy",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}

SENTENCES = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ... ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
}

NAME = re.compile(r"(?P<emotion>[a-z]{3})-(?P<actor>[fm]\d)-(?P<sentence>[a-z]\d)")


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every clip below `root`."""
    return coded_recordings(root, NAME, TITLE, EXPECTS, _describe)


def _describe(code: re.Match[str]) -> dict[str, Any]:
    return {
        "label": EMOTIONS.get(code["emotion"], code["emotion"]),
        "transcript": SENTENCES.get(code["sentence"], ""),
        "speaker": code["actor"],
        "gender": "female" if code["actor"].startswith("f") else "male",
        "script": code["sentence"],
    }


CORPUS = CorpusFormat(
    name="emovo",
    summary="6 Italian actors, 14 sentences, 7 emotions, 588 clips",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
