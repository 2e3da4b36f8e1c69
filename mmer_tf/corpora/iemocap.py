"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database (Busso et al. 2008).

Five sessions of one actress and one actor each, scripted and improvised dialogues; 12 h, 16 kHz.

Tree, for session N:

- `SessionN/dialog/transcriptions/<dialogue>.txt`, lines as
  `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`
- `SessionN/dialog/EmoEvaluation/<dialogue>.txt`, lines as
  `[6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5, 2.5, 2.5]`, then one line per
  annotator, `C-E1:<TAB>Neutral; Anger;<TAB>()`
- `SessionN/sentences/wav/<dialogue>/<utterance>.wav`
- `SessionN/sentences/ForcedAlignment/<dialogue>/<utterance>.wdseg`, lines of start and end frame
  (10 ms, both inclusive), score, word

Quirks. The letter in `Ses01F` is who wore the markers in the whole dialogue; who speaks is the
letter of the last token (`_F000`). Lines without an id (`M: sorry`) and ids in `XX` are dropped,
as are utterances without agreement (`xxx`) and those of nothing but breath or noise. Soft labels
are the votes of the outside annotators (`C-E…`; `C-F…` and `C-M…` are the actors' own); one who
names several emotions shares the vote between them. Some alignments are missing. The archive holds
`._*` shadows of macOS. A trailing `a` or `b` of a dialogue (`impro05b`) is a further take of the
same scenario, so it is not part of the script.
Source: https://sails.usc.edu/iemocap; licensed to registered researchers, never redistributed.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.plain_text import is_utf8, not_utf8, read_lines
from mmer_tf.corpora.tree import not_this_corpus, recorded, require_folder
from mmer_tf.types import Rejected, Utterance, Word

TITLE = "IEMOCAP"
EXPECTS = "SessionN/dialog/EmoEvaluation"

EMOTIONS = {
    "Anger": "ang",
    "Disgust": "dis",
    "Excited": "exc",
    "Fear": "fea",
    "Frustration": "fru",
    "Happiness": "hap",
    "Neutral": "neu",
    "Other": "oth",
    "Sadness": "sad",
    "Surprise": "sur",
}
NO_AGREEMENT = "xxx"

TRANSCRIBED = re.compile(r"(?P<id>Ses\w+)\s*\[[^\]]*\]\s*:?\s*(?P<words>.*)")
EVALUATED = re.compile(r"\[[\d.]+ - [\d.]+\]\t(?P<id>Ses\w+)\t(?P<label>\w+)\t\[.*\]\s*")
VOTED = re.compile(r"C-E\d+:\t(?P<emotions>[^\t]*)")
ALIGNED = re.compile(r"\s*(?P<start>\d+)\s+(?P<end>\d+)\s+-?\d+\s+(?P<word>\S+)\s*")
OVERLAP = re.compile(r".*_[FM]?XX\w*")
NOISE = re.compile(r"(\+\+|\[)(BREATHING|GARBAGE)(\+\+|\])")
NO_WORD = re.compile(r"</?s>|<sil>|\+\+.*\+\+")
SCRIPT = re.compile(r"Ses\d\d[FM]_(?P<script>impro\d+|script\d+_\d+)[ab]?")
FRAME = 0.01


@dataclass
class _Evaluation:
    label: str
    votes: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def soft_label(self) -> dict[str, float] | None:
        total = sum(self.votes.values())
        return {label: self.votes[label] / total for label in sorted(self.votes)} if total else None


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield every utterance of every session."""
    require_folder(root, TITLE, EXPECTS)
    sessions = sorted(
        folder for folder in root.glob("Session*") if (folder / "dialog/EmoEvaluation").is_dir()
    )
    if not sessions:
        raise not_this_corpus(root, TITLE, EXPECTS)
    for session in sessions:
        yield from _read_session(session)


def _read_session(session: Path) -> Iterator[Utterance | Rejected]:
    evaluations: dict[str, _Evaluation] = {}
    for file in _texts(session / "dialog/EmoEvaluation"):
        evaluations.update(_read_evaluations(file))
    seen: set[str] = set()
    for file in _texts(session / "dialog/transcriptions"):
        for number, line in read_lines(file):
            if not line.strip():
                continue
            place = f"{file}, line {number}"
            match = TRANSCRIBED.fullmatch(line.strip())
            repeated = match is not None and match["id"] in seen
            if match:
                seen.add(match["id"])
            if not is_utf8(line):
                yield not_utf8(file, f"line {number}")
            elif not line.startswith("Ses"):
                yield Rejected(place, "side remark", "dropped", line.strip())
            elif match is None:
                yield Rejected(place, "malformed transcription line", "rejected", line.strip())
            elif repeated:
                yield Rejected(place, "duplicate id", "rejected", match["id"])
            else:
                evaluation = evaluations.get(match["id"])
                yield _utterance(session, match["id"], match["words"], evaluation, place)
    for id in sorted(set(evaluations) - seen):
        detail = f"expected in {session / 'dialog/transcriptions' / _dialogue(id)}.txt"
        yield Rejected(id, "not in the transcriptions", "rejected", detail)


def _texts(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.txt") if not file.name.startswith("._"))


def _read_evaluations(file: Path) -> dict[str, _Evaluation]:
    found: dict[str, _Evaluation] = {}
    current = None
    for _, line in read_lines(file):
        evaluated, voted = EVALUATED.fullmatch(line), VOTED.match(line)
        if evaluated:
            current = found[evaluated["id"]] = _Evaluation(evaluated["label"])
        elif voted and current:
            names = [name.strip() for name in voted["emotions"].split(";") if name.strip()]
            for name in names:
                current.votes[EMOTIONS.get(name, "oth")] += 1 / len(names)
    return found


def _utterance(
    session: Path, id: str, transcript: str, evaluation: _Evaluation | None, place: str
) -> Utterance | Rejected:
    if OVERLAP.fullmatch(id):
        return Rejected(place, "unlabelled overlap (XX)", "dropped", id)
    if evaluation is None:
        return Rejected(place, "not evaluated", "dropped", id)
    if evaluation.label == NO_AGREEMENT:
        return Rejected(place, "no agreement (xxx)", "dropped", id)
    if transcript and not NOISE.sub("", transcript).strip():
        return Rejected(place, "only breath or noise", "dropped", f"{id}: {transcript}")
    dialogue = _dialogue(id)
    script = SCRIPT.fullmatch(dialogue)
    letter = id.rpartition("_")[2][0]
    return recorded(
        session / "sentences/wav" / dialogue / f"{id}.wav",
        id=id,
        label=evaluation.label,
        transcript=transcript,
        soft_label=evaluation.soft_label(),
        speaker=session.name + letter,
        gender={"F": "female", "M": "male"}.get(letter),
        session=session.name,
        script=script["script"] if script else None,
        words=_read_words(session / "sentences/ForcedAlignment" / dialogue / f"{id}.wdseg"),
    )


def _dialogue(id: str) -> str:
    return id.rpartition("_")[0]


def _read_words(file: Path) -> tuple[Word, ...]:
    if not file.is_file():
        return ()
    rows = (ALIGNED.fullmatch(line) for _, line in read_lines(file))
    return tuple(
        Word(
            re.sub(r"\(\d+\)$", "", row["word"]),  # THE(2) is a second pronunciation
            round(int(row["start"]) * FRAME, 2),
            round((int(row["end"]) + 1) * FRAME, 2),
        )
        for row in rows
        if row and not NO_WORD.fullmatch(row["word"])
    )


CORPUS = CorpusFormat(
    name="iemocap",
    summary="10 English actors in 5 sessions, dialogues, 10 emotions, 10039 turns",
    expects=EXPECTS,
    labels=tuple(sorted(EMOTIONS.values())),
    read=read,
)
