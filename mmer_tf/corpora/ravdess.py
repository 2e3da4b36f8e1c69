"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech (Livingstone & Russo 2018).

Two English sentences in eight emotions and two intensities by 24 actors; 1440 speech clips, 48 kHz.

Tree: `Actor_01/03-01-05-02-01-02-01.wav` — modality, channel (01 speech, 02 song), emotion,
intensity, statement, repetition, actor (odd = male). Song is dropped. Three clips are stereo, and
many headers carry extra chunks. The release on Kaggle holds the tree a second time in
`audio_speech_actors_01-24/`; the copies are dropped as such.
Source: https://zenodo.org/record/1188976; CC BY-NC-SA 4.0.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "RAVDESS"
EXPECTS = "Actor_01/03-01-05-02-01-02-01.wav"

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}

SENTENCES = {
    "01": "Kids are talking by the door",
    "02": "Dogs are sitting by the door",
}

SONG = "02"

NAME = re.compile(
    r"(?P<modality>\d\d)-(?P<channel>\d\d)-(?P<emotion>\d\d)-(?P<intensity>\d\d)"
    r"-(?P<statement>\d\d)-(?P<repetition>\d\d)-(?P<actor>\d\d)"
)


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every speech clip below `root`."""
    return coded_recordings(root, NAME, TITLE, EXPECTS, _describe)


def _describe(code: re.Match[str]) -> dict[str, Any] | str:
    if code["channel"] == SONG:
        return "song, not speech"
    return {
        "label": EMOTIONS.get(code["emotion"], code["emotion"]),
        "transcript": SENTENCES.get(code["statement"], ""),
        "speaker": code["actor"],
        "gender": "male" if int(code["actor"]) % 2 else "female",
        "script": code["statement"],
    }


CORPUS = CorpusFormat(
    name="ravdess",
    summary="24 English actors, 2 sentences, 8 emotions, 1440 clips",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
