"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (Cao et al. 2014).

Twelve English sentences in six emotions by 91 actors; 7442 clips, 16 kHz mono.

Tree: `AudioWAV/1001_DFA_ANG_XX.wav` — actor, sentence, emotion, level (LO, MD, HI, XX; one file
ends in a single X). The label is the emotion that was acted. Beside it, where present,
`VideoDemographics.csv` tells the actors' sex and `finishedResponses.csv` the listeners' votes;
those on the voice alone (`queryType` 1) become soft labels, which often disagree with the label.
`1076_MTI_SAD_XX.wav` is silent: preparation rejects it. A clone without Git LFS has short text
files in place of the recordings, which are rejected as not audio.
Source: https://github.com/CheyneyComputerScience/CREMA-D; Open Database License 1.0.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmer_tf.corpora.format import CorpusFormat, Gender
from mmer_tf.corpora.plain_text import read_table
from mmer_tf.corpora.tree import coded_recordings
from mmer_tf.types import Rejected, Utterance

TITLE = "CREMA-D"
EXPECTS = "AudioWAV/1001_DFA_ANG_XX.wav"

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}

VOTES = {code[0]: emotion for code, emotion in EMOTIONS.items()}
VOICE_ONLY = "1"

SEXES: dict[str, Gender] = {"Female": "female", "Male": "male"}

SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}

NAME = re.compile(r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_[A-Z]{1,2}")


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every clip below `root`."""
    genders, votes = _genders(root), _voice_votes(root)

    def describe(code: re.Match[str]) -> dict[str, Any]:
        return {
            "label": EMOTIONS.get(code["emotion"], code["emotion"]),
            "transcript": SENTENCES.get(code["sentence"], ""),
            "soft_label": votes.get(code[0]),
            "speaker": code["actor"],
            "gender": genders.get(code["actor"]),
            "script": code["sentence"],
        }

    return coded_recordings(root, NAME, TITLE, EXPECTS, describe)


def _beside(root: Path, name: str) -> Path | None:
    """A table of the release, in its root or, when `root` is `AudioWAV` itself, above it."""
    return next((file for file in (root / name, root.parent / name) if file.is_file()), None)


def _genders(root: Path) -> dict[str, Gender]:
    file = _beside(root, "VideoDemographics.csv")
    rows = read_table(file) if file else ()
    return {row["ActorID"]: SEXES[row["Sex"]] for _, row in rows if row.get("Sex") in SEXES}


def _voice_votes(root: Path) -> dict[str, dict[str, float]]:
    file = _beside(root, "finishedResponses.csv")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, row in read_table(file) if file else ():
        if row.get("queryType") == VOICE_ONLY and row.get("respEmo") in VOTES:
            counts[row["clipName"]][VOTES[row["respEmo"]]] += 1
    return {
        clip: {emotion: count / counter.total() for emotion, count in sorted(counter.items())}
        for clip, counter in counts.items()
    }


CORPUS = CorpusFormat(
    name="crema_d",
    summary="91 English actors, 12 sentences, 6 emotions, 7442 clips",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
