"""Fakes for tests, shipped for those who add a corpus of their own: small trees, small sounds.

`FAKE_CORPORA[name](root)` builds a folder that the corpus's reader takes for the real release,
quirks included: every tree also holds rows that must be dropped.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from mmer_tf.corpora import crema_d, emovo, goemotions, meld, savee, synthetic, tess
from mmer_tf.types import SAMPLE_RATE, Hertz, Seconds


def write_wav(
    path: Path,
    seconds: Seconds = 0.3,
    sample_rate: Hertz = SAMPLE_RATE,
    channels: int = 1,
    subtype: str = "PCM_16",
    frequency: float = 220.0,
    amplitude: float = 0.3,
) -> Path:
    """Write a sine tone, the same in every channel; make its folder where needed.

    >>> import tempfile
    >>> path = write_wav(Path(tempfile.mkdtemp()) / "deep" / "tone.wav", seconds=0.5)
    >>> soundfile.info(path).frames
    8000
    """
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    wave = amplitude * np.sin(2 * np.pi * frequency * time)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), sample_rate, subtype=subtype)
    return path


def write_text(path: Path, lines: Iterable[str]) -> Path:
    """Write lines as UTF-8, each with its line feed; make the folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, str]], delimiter: str = ",") -> Path:
    """Write rows as a table with the keys of the first as its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def fake_synthetic(root: Path) -> None:
    """Two speakers whose sentences are sine tones, so that no speech synthesis is needed."""
    lines: list[dict[str, object]] = [{"version": synthetic.VERSION, "utterances_per_cell": 2}]
    for speaker in synthetic.SPEAKERS[:2]:
        for emotion in synthetic.EMOTIONS:
            for number in (1, 2):
                name = f"{speaker.name}_{emotion}_{number:02d}"
                write_wav(root / "wav" / f"{name}.wav", sample_rate=22_050)
                lines.append(
                    {
                        "id": name,
                        "file": f"wav/{name}.wav",
                        "label": emotion,
                        "transcript": "Well, now.",
                        "speaker": speaker.name,
                        "gender": speaker.gender,
                        "session": speaker.session,
                        "script": "well",
                        "words": [["Well", 0.0, 0.1], ["now", 0.15, 0.3]],
                    }
                )
    (root / str(lines[-1]["file"])).write_bytes(b"")
    write_text(root / synthetic.MANIFEST, map(json.dumps, lines))


def fake_emodb(root: Path) -> None:
    """Two sentences in four emotions by four speakers, and a file that does not belong."""
    for speaker in ("03", "08", "11", "16"):
        for sentence in ("a01", "b10"):
            for emotion in "WFNT":
                write_wav(root / "wav" / f"{speaker}{sentence}{emotion}a.wav")
    write_wav(root / "wav" / "noise.wav")


def fake_ravdess(root: Path) -> None:
    """Three actors, one stereo clip, one song, and a shadow left by macOS."""
    for actor in ("01", "02", "03"):
        for emotion in ("01", "03", "04", "05"):
            for statement in ("01", "02"):
                name = f"03-01-{emotion}-01-{statement}-01-{actor}.wav"
                channels = 2 if (actor, emotion, statement) == ("01", "03", "02") else 1
                write_wav(root / f"Actor_{actor}" / name, sample_rate=48_000, channels=channels)
    write_wav(root / "Actor_01" / "03-02-03-01-01-01-01.wav")
    write_text(root / "Actor_01" / "._03-01-01-01-01-01-01.wav", ["shadow"])


def fake_tess(root: Path) -> None:
    """Both actresses, the misnamed file, and some of the nested second copy on Kaggle."""
    for number, emotion in enumerate(tess.EMOTIONS):
        for actress in ("OAF", "YAF"):
            for word in ("back", "youth"):
                nested = root / "TESS Toronto emotional speech set data"
                for folder in (root, nested) if word == "back" else (root,):
                    write_wav(
                        folder / f"{actress}_{emotion}" / f"{actress}_{word}_{emotion}.wav",
                        sample_rate=24_414,
                        frequency=200 + 10 * number,
                    )
    write_wav(root / "OAF_neutral" / "OA_bite_neutral.wav", sample_rate=24_414)


def fake_crema_d(root: Path) -> None:
    """Three actors with demographics and votes, and the file with the one-letter level."""
    actors = {"1001": "Male", "1002": "Female", "1040": "Female"}
    votes = []
    for actor in actors:
        for emotion in crema_d.EMOTIONS:
            for sentence in ("DFA", "IEO"):
                name = f"{actor}_{sentence}_{emotion}_XX"
                write_wav(root / "AudioWAV" / f"{name}.wav")
                for query, response in (("1", emotion[0]), ("1", "N"), ("3", "A")):
                    votes.append({"": "1", "queryType": query, "clipName": name,
                                  "respEmo": response})  # fmt: skip
    write_wav(root / "AudioWAV" / "1040_ITH_SAD_X.wav")
    write_wav(root / "AudioWAV" / "readme.wav")
    write_csv(root / "finishedResponses.csv", votes)
    demographics = [{"ActorID": actor, "Age": "30", "Sex": sex} for actor, sex in actors.items()]
    write_csv(root / "VideoDemographics.csv", demographics)


def fake_savee(root: Path) -> None:
    """All four actors, one of them in the layout of the Kaggle release, and a stray file."""
    for emotion in savee.EMOTIONS:
        for number in ("01", "02"):
            for actor in ("DC", "JE", "JK"):
                write_wav(root / "AudioData" / actor / f"{emotion}{number}.wav", sample_rate=44_100)
            write_wav(root / "ALL" / f"KL_{emotion}{number}.wav", sample_rate=44_100)
    write_wav(root / "AudioData" / "Info.wav")


def fake_emovo(root: Path) -> None:
    """Three actors, stereo, and a stray file."""
    for actor in ("f1", "m1", "m2"):
        for emotion in emovo.EMOTIONS:
            for sentence in ("b1", "n5"):
                name = f"{emotion}-{actor}-{sentence}.wav"
                write_wav(root / actor / name, sample_rate=48_000, channels=2)
    write_wav(root / "f1" / "test.wav")


def fake_meld(root: Path) -> None:
    """Three partitions whose dialogue numbers overlap; one row without words."""
    for partition, name in meld.PARTITIONS.items():
        rows = [
            {
                "Sr No.": str(number),
                "Utterance": f"It\x92s {emotion}, said in {partition}." if number else " ",
                "Speaker": ("Chandler", "Rachel")[number % 2],
                "Emotion": emotion,
                "Sentiment": "neutral",
                "Dialogue_ID": str(number // 4),
                "Utterance_ID": str(number % 4),
                "Season": "8",
                "Episode": "21",
            }
            for number, emotion in enumerate(("neutral", *meld.EMOTIONS))
        ]
        write_csv(root / name, rows)


def fake_goemotions(root: Path) -> None:
    """Three partitions; one comment with two labels in each."""
    write_text(root / "labels.txt", goemotions.EMOTIONS)
    for partition, name in goemotions.PARTITIONS.items():
        lines = [
            f'A comment with "quotes" number {number}\t{label}\t{partition}{number}'
            for number, label in enumerate(("27", "2", "17", "2,27", "25"))
        ]
        write_text(root / name, lines)


def fake_table(root: Path) -> None:
    """Voice, text, and both; one row without a label."""
    rows = [
        {
            "file": f"clips/{number}.wav" if number % 3 else "",
            "text": f"Sentence {number}, quite short" if number % 3 != 1 else "",
            "label": ("calm", "excited")[number % 2] if number else "",
            "speaker": f"speaker{number % 3}",
            "session": f"day{number % 3}",
        }
        for number in range(12)
    ]
    for row in rows:
        if row["file"]:
            write_wav(root / row["file"])
    write_csv(root / "table.csv", rows)


IEMOCAP_VOTES = {"ang": "Anger", "hap": "Happiness", "exc": "Excited", "sad": "Sadness",
                 "neu": "Neutral", "xxx": "Frustration"}  # fmt: skip


def fake_iemocap(root: Path) -> None:
    """Two sessions of two dialogues with alignments, votes, and every kind of dropped line."""
    for session in (1, 2):
        for dialogue in (f"Ses0{session}F_impro01", f"Ses0{session}M_script01_1b"):
            _fake_dialogue(root / f"Session{session}", dialogue)


def _fake_dialogue(session: Path, dialogue: str) -> None:
    transcription, evaluation = [], ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for number, label in enumerate((*IEMOCAP_VOTES, "ang")):
        id = f"{dialogue}_{'FM'[number % 2]}{number:03d}"
        words = "++BREATHING++" if number == len(IEMOCAP_VOTES) else "Excuse me."
        start, end = float(number), number + 0.9
        transcription.append(f"{id} [{start:08.4f}-{end:08.4f}]: {words}")
        evaluation += [
            f"[{start:.4f} - {end:.4f}]\t{id}\t{label}\t[2.5000, 2.5000, 2.5000]",
            f"C-E2:\t{IEMOCAP_VOTES[label]};\t()",
            f"C-E3:\t{IEMOCAP_VOTES[label]}; Other;\t(bored)",
            "C-F1:\tFear;\t()",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "",
        ]
        write_wav(session / "sentences/wav" / dialogue / f"{id}.wav", seconds=0.9)
        write_text(
            session / "sentences/ForcedAlignment" / dialogue / f"{id}.wdseg",
            [
                "\t SFrm  EFrm    SegAScr Word",
                "\t    0     9    -100000 <s>",
                "\t   10    39    -200000 EXCUSE(2)",
                "\t   40    49    -100000 <sil>",
                "\t   50    79    -200000 ME",
                "\t   80    84    -100000 ++GARBAGE++",
                "\t   85    89    -100000 </s>",
                " Total score:  -800000",
            ],
        )
    transcription += ["M: sorry", f"{dialogue}_XX01 [020.0000-021.0000]: Hm."]
    write_text(session / "dialog/transcriptions" / f"{dialogue}.txt", transcription)
    write_text(session / "dialog/EmoEvaluation" / f"{dialogue}.txt", evaluation)
    shadow = session / "dialog/transcriptions" / f"._{dialogue}.txt"
    shadow.write_bytes(b"\x00\x05\x16\x07\xff shadow of macOS")


FAKE_CORPORA: dict[str, Callable[[Path], None]] = {
    "synthetic": fake_synthetic,
    "iemocap": fake_iemocap,
    "tess": fake_tess,
    "ravdess": fake_ravdess,
    "emodb": fake_emodb,
    "crema_d": fake_crema_d,
    "savee": fake_savee,
    "emovo": fake_emovo,
    "meld": fake_meld,
    "goemotions": fake_goemotions,
    "table": fake_table,
}
