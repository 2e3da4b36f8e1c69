"""The synthetic corpus: four acted emotions, spoken by espeak-ng on this machine.

SYNTHETIC: nobody felt or acted anything here. It exercises the whole way without a download, and
no figure obtained on it is a scientific result.

10 speakers (voice variants of espeak-ng, five female, five male) in 5 sessions of two; 25
utterances per speaker and emotion, so 1,000 together; one to three seconds, 22,050 Hz, 16 bit.
Rate, pitch, range and volume are drawn from overlapping distributions per emotion around the
speaker's own: the voice mostly tells angry and happy from neutral and sad. Words are drawn
independently of the voice: 44 % of the sentences are said in every emotion, 16 % tell angry and
sad from happy and neutral, 40 % tell the emotion. Neither half suffices; together they go far.

Tree: `synthetic.jsonl` (a header line, then one utterance per line) and `wav/01F_angry_01.wav`.
The same bytes on every run of one version of espeak-ng.
"""

import json
import multiprocessing
import os
import random
import shutil
import tempfile
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.espeak import Espeak, Manner
from mmer_tf.corpora.format import CorpusFormat
from mmer_tf.corpora.synthetic_sentences import HINTS, draw_sentence
from mmer_tf.corpora.tree import not_this_corpus, recorded, require_folder
from mmer_tf.types import Rejected, Utterance, Word

VERSION = 1
"""Changes whenever a spoken byte does."""

TITLE = "the synthetic corpus"
MANIFEST = "synthetic.jsonl"
EMOTIONS = tuple(HINTS)
UTTERANCES_PER_CELL = 25
"""Utterances per speaker and emotion."""

_WARNING = "Spoken by espeak-ng: synthetic, never a scientific result."
_HINTS_IN_A_CELL = (0,) * 11 + (1,) * 4 + (2,) * 10  # index into HINTS: none, of a pair, clear


@dataclass(frozen=True, slots=True)
class Speaker:
    """A voice and its habits: what it adds to the manner of every emotion."""

    name: str
    session: str
    gender: Literal["female", "male"]
    voice: str
    rate: int
    pitch: int


SPEAKERS = (
    Speaker("01F", "1", "female", "en-us+f1", 6, -3),
    Speaker("01M", "1", "male", "en-us+m1", -4, 4),
    Speaker("02F", "2", "female", "en-us+f2", -8, 2),
    Speaker("02M", "2", "male", "en-us+m2", 5, -2),
    Speaker("03F", "3", "female", "en-us+f3", 2, 5),
    Speaker("03M", "3", "male", "en-us+m3", 9, 0),
    Speaker("04F", "4", "female", "en-us+f4", -3, -5),
    Speaker("04M", "4", "male", "en-us+m7", -7, 3),
    Speaker("05F", "5", "female", "en-us+f5", 7, 1),
    Speaker("05M", "5", "male", "en-us+m6", 0, -4),
)

MANNERS = {
    "angry": Manner(rate=202, pitch=54, pitch_range=58, volume=92),
    "happy": Manner(rate=184, pitch=66, pitch_range=80, volume=82),
    "neutral": Manner(rate=166, pitch=45, pitch_range=44, volume=68),
    "sad": Manner(rate=144, pitch=38, pitch_range=24, volume=56),
}
"""Mean manner of each emotion, before the speaker's habits."""

SPREAD = Manner(rate=14, pitch=7, pitch_range=13, volume=11)
"""Standard deviation of each quantity within a speaker and emotion."""


def speak_corpus(
    root: Path,
    utterances_per_cell: int = UTTERANCES_PER_CELL,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Speak the corpus into `root`, unless it is there already.

    The folder appears when everything is spoken; a run that dies leaves no half of it.

    Args:
        root: folder to be made.
        utterances_per_cell: utterances per speaker and emotion, at least 1.
        progress: called with the number of utterances spoken and of all.

    Raises:
        ValueError: `utterances_per_cell` < 1.
        CorpusError: `root` holds something else, or the corpus of another version or size.
        MissingExtraError: espeak-ng is not installed.
    """
    if utterances_per_cell < 1:
        raise ValueError(
            f"`utterances_per_cell` must be >= 1. Received: "
            f"utterances_per_cell={utterances_per_cell}."
        )
    root = Path(root)
    if root.is_file() or (root.is_dir() and any(root.iterdir())):
        _check_header(_read_lines(root)[0], root, utterances_per_cell)
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        rows = _speak_all(folder, utterances_per_cell, progress)
        header = {"version": VERSION, "utterances_per_cell": utterances_per_cell, "note": _WARNING}
        lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in [header, *rows])
        (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")
        folder.chmod(0o755)  # mkdtemp makes it private
        folder.replace(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unspoken(utterances_per_cell: int = UTTERANCES_PER_CELL) -> Iterator[Utterance]:
    """Yield what `speak_corpus` would speak, without recordings and word timings."""
    for speaker in SPEAKERS:
        for emotion in EMOTIONS:
            for number in range(utterances_per_cell):
                row = _draw(speaker, emotion, number)
                kept = ("id", "label", "transcript", "speaker", "gender", "session", "script")
                yield Utterance(**{name: row[name] for name in kept})


def read(root: Path) -> Iterator[Utterance | Rejected]:
    """Yield what `speak_corpus` spoke into `root`."""
    root = Path(root)
    header, *rows = _read_lines(root)
    _check_header(header, root)
    for row in rows:
        words = tuple(Word(text, start, end) for text, start, end in row.pop("words"))
        yield recorded(root / row.pop("file"), **row, words=words)


def _speak_all(
    folder: Path, utterances_per_cell: int, progress: Callable[[int, int], None] | None
) -> list[dict[str, Any]]:
    """Speak everything, each speaker in a process of its own.

    espeak-ng carries sound over from one sentence to the next and cannot be reset, so that only a
    fresh process makes the same bytes whatever was spoken before.
    """
    (folder / "wav").mkdir()
    total = len(SPEAKERS) * len(EMOTIONS) * utterances_per_cell
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(
        max_workers=min(len(SPEAKERS), os.cpu_count() or 1),
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=1,
    ) as pool:
        tasks = [pool.submit(_speak, speaker, folder, utterances_per_cell) for speaker in SPEAKERS]
        for task in as_completed(tasks):
            rows += task.result()
            if progress:
                progress(len(rows), total)
    return sorted(rows, key=lambda row: row["id"])


def _speak(speaker: Speaker, folder: Path, utterances_per_cell: int) -> list[dict[str, Any]]:
    espeak = Espeak()
    rows = []
    for emotion in EMOTIONS:
        for number in range(utterances_per_cell):
            row = _draw(speaker, emotion, number)
            manner = row.pop("manner")
            samples, words = espeak.say(row["transcript"], speaker.voice, manner)
            with wave.open(str(folder / row["file"]), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(espeak.sample_rate)
                file.writeframes(samples)
            row["words"] = [[word.text, word.start, word.end] for word in words]
            rows.append(row)
    return rows


def _draw(speaker: Speaker, emotion: str, number: int) -> dict[str, Any]:
    """Draw words and manner of one utterance, independently of each other and of all others."""
    name = f"{speaker.name}_{emotion}_{number + 1:02d}"
    hints = _HINTS_IN_A_CELL[number * 7 % len(_HINTS_IN_A_CELL)]  # 7: any beginning has all three
    words = random.Random(f"words of {name}, version {VERSION}")
    transcript, script = draw_sentence(HINTS[emotion][hints], words)
    voice = random.Random(f"voice of {name}, version {VERSION}")
    mean = MANNERS[emotion]
    manner = Manner(
        rate=_between(100, 260, voice.gauss(mean.rate + speaker.rate, SPREAD.rate)),
        pitch=_between(5, 95, voice.gauss(mean.pitch + speaker.pitch, SPREAD.pitch)),
        pitch_range=_between(0, 99, voice.gauss(mean.pitch_range, SPREAD.pitch_range)),
        volume=_between(30, 100, voice.gauss(mean.volume, SPREAD.volume)),
    )
    return {
        "id": name,
        "file": f"wav/{name}.wav",
        "label": emotion,
        "transcript": transcript,
        "speaker": speaker.name,
        "gender": speaker.gender,
        "session": speaker.session,
        "script": script,
        "manner": manner,
    }


def _between(low: int, high: int, value: float) -> int:
    return min(max(round(value), low), high)


def _read_lines(root: Path) -> list[dict[str, Any]]:
    require_folder(root, TITLE, MANIFEST)
    path = root / MANIFEST
    if not path.is_file():
        raise not_this_corpus(root, TITLE, MANIFEST)
    try:
        header, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    except ValueError as error:  # no line at all, no JSON, or no UTF-8
        raise CorpusError(
            f"{path} is damaged ({error}): delete {root} to have the corpus spoken anew."
        ) from error
    return [header, *rows]


def _check_header(
    header: dict[str, Any], root: Path, utterances_per_cell: int | None = None
) -> None:
    if header.get("version") != VERSION or utterances_per_cell not in (
        None,
        header.get("utterances_per_cell"),
    ):
        raise CorpusError(
            f"{root} holds another version or size of {TITLE}: delete it to have it spoken anew."
        )


CORPUS = CorpusFormat(
    name="synthetic",
    summary="10 synthetic voices (espeak-ng), 4 emotions, 1,000 utterances; no scientific value",
    expects=MANIFEST,
    labels=EMOTIONS,
    read=read,
)
