"""TESS, the Toronto Emotional Speech Set (Pichora-Fuller & Dupuis 2020).

200 words, each in "Say the word …" in seven emotions by two actresses (OAF, the older, and YAF);
2800 clips, 24 414 Hz.

Tree: `OAF_angry/OAF_back_angry.wav`; folder spellings vary (`OAF_Pleasant_surprise`,
`YAF_pleasant_surprised`), so only the file name counts. `ps` is the pleasant surprise. One file is
misnamed `OA_bite_neutral.wav`. The release on Kaggle holds the tree a second time, nested; the
copies are dropped as such.
Source: https://doi.org/10.5683/SP2/E8H2MF; CC BY-NC-ND 4.0.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "TESS"
EXPECTS = "OAF_angry/OAF_back_angry.wav"

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")

NAME = re.compile(r"(?P<actress>[OY]A)F?_(?P<word>[A-Za-z'-]+)_(?P<emotion>[a-z]+)")


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every clip below `root`."""
    return coded_recordings(root, NAME, TITLE, EXPECTS, _describe)


def _describe(code: re.Match[str]) -> dict[str, Any]:
    return {
        "label": code["emotion"],
        "transcript": f"Say the word {code['word']}",
        "speaker": f"{code['actress']}F",
        "gender": "female",
        "script": code["word"],
    }


CORPUS = CorpusFormat(
    name="tess",
    summary="2 English actresses, 200 words, 7 emotions, 2800 clips",
    expects=EXPECTS,
    labels=EMOTIONS,
    read=read,
)
