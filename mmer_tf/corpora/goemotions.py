"""GoEmotions (Demszky et al. 2020): Reddit comments in 27 emotions and neutral.

54 263 comments with the authors' own partition; text without speaker.

Tree: `train.tsv`, `dev.tsv`, `test.tsv` — text, label numbers joined by commas, comment id — and
the names of the numbers, one per line, in `labels.txt` (`emotions.txt` in some releases).
Comments with several labels are dropped; `soft_labels=True` keeps them instead, with equal shares
and the first label as the hard one.
Source: https://github.com/google-research/google-research/tree/master/goemotions; CC BY 4.0.
"""

from collections.abc import Iterator
from pathlib import Path

from mmer_tf.corpora.format import CorpusFormat, Partition
from mmer_tf.corpora.plain_text import is_utf8, not_utf8, read_lines
from mmer_tf.corpora.tree import not_this_corpus, require_folder
from mmer_tf.types import Rejected, Utterance

TITLE = "GoEmotions"
EXPECTS = "train.tsv, dev.tsv, test.tsv and labels.txt"
PARTITIONS: dict[Partition, str] = {
    "train": "train.tsv",
    "validation": "dev.tsv",
    "test": "test.tsv",
}
LABEL_FILES = ("labels.txt", "emotions.txt")

EMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion",
    "curiosity", "desire", "disappointment", "disapproval", "disgust", "embarrassment",
    "excitement", "fear", "gratitude", "grief", "joy", "love", "nervousness", "optimism", "pride",
    "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip


def read(root: Path, soft_labels: bool = False) -> Iterator[Utterance | Rejected]:
    """Yield every comment; `soft_labels` keeps those with several labels."""
    require_folder(root, TITLE, EXPECTS)
    names_file = next((root / name for name in LABEL_FILES if (root / name).is_file()), None)
    if names_file is None or not all((root / name).is_file() for name in PARTITIONS.values()):
        raise not_this_corpus(root, TITLE, EXPECTS)
    names = [line.strip() for _, line in read_lines(names_file)]
    for partition, name in PARTITIONS.items():
        for number, line in read_lines(root / name):
            yield _utterance(root / name, number, line, partition, names, soft_labels)


def _utterance(
    file: Path, number: int, line: str, partition: Partition, names: list[str], soft_labels: bool
) -> Utterance | Rejected:
    source = f"{file}, line {number}"
    if not is_utf8(line):
        return not_utf8(file, f"line {number}")
    cells = line.split("\t")
    if len(cells) != 3:
        detail = f"expected text, labels and id parted by tabs; found {len(cells)} cells"
        return Rejected(source, "incomplete row", "rejected", detail)
    text, numbers, comment = (cell.strip() for cell in cells)
    if not text:
        return Rejected(source, "empty transcript", "rejected")
    labels = [
        names[int(label)] if label.isdecimal() and int(label) < len(names) else None
        for label in numbers.split(",")
    ]
    known = [label for label in labels if label is not None]
    if len(known) < len(labels):
        detail = f"'{numbers}' is not among 0 to {len(names) - 1}"
        return Rejected(source, "unknown label", "rejected", detail)
    if len(known) > 1 and not soft_labels:
        return Rejected(source, "several labels", "dropped", ", ".join(known))
    return Utterance(
        id=comment,
        label=known[0],
        transcript=text,
        soft_label=dict.fromkeys(known, 1 / len(known)) if soft_labels else None,
        partition=partition,
    )


CORPUS = CorpusFormat(
    name="goemotions",
    summary="Reddit comments, text, 28 classes, 54263 rows",
    expects=EXPECTS,
    labels=EMOTIONS,
    read=read,
    options=("soft_labels",),
)
