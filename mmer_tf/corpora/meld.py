"""MELD, the Multimodal EmotionLines Dataset (Poria et al. 2019), its text.

13 708 utterances of the series Friends in seven emotions, with the authors' own partition.

Tree: `train_sent_emo.csv`, `dev_sent_emo.csv`, `test_sent_emo.csv`, somewhere below the root.
Dialogue numbers start anew in each partition, so ids begin with its name. Apostrophes, dashes and
ellipses came through as control characters (Windows-1252 read as Latin-1); they are put right.
Speakers recur in all partitions, which is why `predefined` is not speaker-independent.
Source: https://github.com/declare-lab/MELD; GPL-3.0, the clips under the copyright of the series.
"""

from collections.abc import Iterator
from pathlib import Path

from mmer_tf.corpora.format import CorpusFormat, Partition
from mmer_tf.corpora.plain_text import is_utf8, not_utf8, read_table
from mmer_tf.corpora.tree import not_this_corpus, require_folder
from mmer_tf.types import Rejected, Utterance

TITLE = "MELD"
PARTITIONS: dict[Partition, str] = {
    "train": "train_sent_emo.csv",
    "validation": "dev_sent_emo.csv",
    "test": "test_sent_emo.csv",
}
EXPECTS = ", ".join(PARTITIONS.values())

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

NEEDED = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")

WINDOWS_1252 = {
    code: bytes([code]).decode("cp1252", errors="replace") for code in range(0x80, 0xA0)
}


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every utterance of the three tables."""
    require_folder(root, TITLE, EXPECTS)
    files: dict[Partition, Path] = {
        partition: _find(root, name) for partition, name in PARTITIONS.items()
    }
    for partition, file in files.items():
        for number, row in read_table(file):
            yield _utterance(file, number, row, partition)


def _find(root: Path, name: str) -> Path:
    found = sorted(root.rglob(name))
    if not found:
        raise not_this_corpus(root, TITLE, EXPECTS)
    return found[0]


def _utterance(
    file: Path, number: int, row: dict[str, str], partition: Partition
) -> Utterance | Rejected:
    source = f"{file}, row {number}"
    missing = [name for name in NEEDED if not row.get(name, "").strip()]
    if missing == ["Utterance"]:
        return Rejected(source, "empty transcript", "rejected")
    if missing:
        return Rejected(source, "incomplete row", "rejected", f"no {', '.join(missing)}")
    if not is_utf8(*row.values()):
        return not_utf8(file, f"row {number}")
    dialogue = f"{partition}_dia{row['Dialogue_ID']}"
    season, episode = row.get("Season", ""), row.get("Episode", "")
    return Utterance(
        id=f"{dialogue}_utt{row['Utterance_ID']}",
        label=row["Emotion"].strip().lower(),
        transcript=row["Utterance"].translate(WINDOWS_1252).strip(),
        speaker=row["Speaker"].translate(WINDOWS_1252).strip(),
        session=f"season {season} episode {episode}" if season and episode else None,
        script=dialogue,
        partition=partition,
    )


CORPUS = CorpusFormat(
    name="meld",
    summary="dialogues of a television series, text, 7 emotions, 13708 utterances",
    expects=EXPECTS,
    labels=EMOTIONS,
    read=read,
)
