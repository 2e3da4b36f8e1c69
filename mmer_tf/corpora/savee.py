"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq & Jackson 2009).

Four male English actors (DC, JE, JK, KL), seven emotions; 480 clips, 44.1 kHz.

Tree: `AudioData/DC/a01.wav` as released, `ALL/DC_a01.wav` on Kaggle; both are read. The letters
are the emotion (`sa` sadness, `su` surprise). The number counts the sentences of that emotion:
three of each fifteen are common to all emotions, the others are not, and the name does not tell
which. So there is neither a transcript nor a script, and no split by sentence.
Source: http://kahlan.eps.surrey.ac.uk/savee; free for research, on registration.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "SAVEE"
EXPECTS = "AudioData/DC/a01.wav or ALL/DC_a01.wav"

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}

NAME = re.compile(r"(?:.*/)?(?P<actor>DC|JE|JK|KL)[_/](?P<sentence>(?P<emotion>[a-z]{1,2})\d\d)")


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every clip below `root`."""
    return coded_recordings(root, NAME, TITLE, EXPECTS, _describe, code=_folder_and_stem)


def _describe(code: re.Match[str]) -> dict[str, Any]:
    return {
        "id": f"{code['actor']}_{code['sentence']}",
        "label": EMOTIONS.get(code["emotion"], code["emotion"]),
        "speaker": code["actor"],
        "gender": "male",
    }


def _folder_and_stem(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


CORPUS = CorpusFormat(
    name="savee",
    summary="4 English actors, 7 emotions, 480 clips",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
