"""How well the speech recogniser hears acted emotion: word error rates on RAVDESS.

    python benchmarks/word_error_rate.py --root corpora/RAVDESS
    python benchmarks/word_error_rate.py --root corpora/RAVDESS --asr whisper --weights DIR

Errors are substituted, lost and added words of the closest alignment, summed over the clips and
divided by the words that were said; letter case and punctuation do not count.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_table import command_line, markdown_table, versions

from mmer_tf.atomic import write_text
from mmer_tf.audio.decode import decode
from mmer_tf.corpora.ravdess import read
from mmer_tf.deploy.asr import RECOGNISERS, make_recogniser
from mmer_tf.text.word_errors import words_of
from mmer_tf.types import SAMPLE_RATE, Seconds, Utterance

ENGINES = {"pocketsphinx": "pocketsphinx", "whisper": "faster-whisper"}
HEADER = ("clips", "n", "words", "errors", "word error rate", "heard exactly")


@dataclass(frozen=True)
class Hearing:
    """What was said, and what was heard.

    Args:
        utterance: the clip.
        heard: words.
        errors: between the two.
        audio: length of the clip.
        seconds: of one core that recognition took, so that what else runs hardly counts.
    """

    utterance: Utterance
    heard: list[str]
    errors: int
    audio: Seconds
    seconds: Seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Recognise all clips and write what came out."""
    args = make_parser().parse_args(argv)
    recogniser = make_recogniser(args.asr, args.weights)
    hearings = []
    for utterance in read(args.root):
        if not isinstance(utterance, Utterance):
            continue
        waveform = decode(utterance.audio)
        started = time.process_time()
        words = recogniser.transcribe(waveform)
        seconds = time.process_time() - started
        heard = words_of(" ".join(word.text for word in words))
        errors = word_errors(words_of(utterance.transcript), heard)
        hearings.append(Hearing(utterance, heard, errors, len(waveform) / SAMPLE_RATE, seconds))
    text = page(hearings, args.asr)
    write_text(args.out, text)
    print(text)
    print(f"written to {args.out}")
    return 0


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """The Levenshtein distance over words.

    >>> word_errors("kids are talking".split(), "kids talking loud".split())
    2
    """
    row = list(range(len(heard) + 1))
    for lost, word in enumerate(said, 1):
        above, row = row, [lost]
        for column, other in enumerate(heard, 1):
            substituted = above[column - 1] + (word != other)
            row.append(min(substituted, above[column] + 1, row[-1] + 1))
    return row[-1]


def page(hearings: Sequence[Hearing], engine: str) -> str:
    """The Markdown of all clips."""
    speed = sum(one.audio for one in hearings) / sum(one.seconds for one in hearings)
    rows = [
        _row("all", hearings),
        *_rows(hearings, lambda one: f'"{one.utterance.transcript}"'),
        *_rows(hearings, lambda one: one.utterance.label),
    ]
    return "\n".join(
        (
            "# Word error rate of the speech recogniser\n",
            command_line(),
            f"{len(hearings)} clips of RAVDESS by "
            f"{len({one.utterance.speaker for one in hearings})} actors: two sentences, spoken in "
            f"eight emotions. `{engine}` heard each clip whole, with the model and settings that "
            f"`mmer_tf.deploy.asr` gives it. Errors are substituted, lost and added words; letter "
            f"case and punctuation do not count. A group has few clips, so its rate is rough.\n",
            versions(("mmer-tf", ENGINES[engine])),
            markdown_table(HEADER, rows),
            f"On one core recognition runs at {speed:.1f} times real time.\n",
        )
    )


def _rows(hearings: Iterable[Hearing], group_of: Callable[[Hearing], str]) -> list[tuple[str, ...]]:
    groups: dict[str, list[Hearing]] = {}
    for one in hearings:
        groups.setdefault(group_of(one), []).append(one)
    return [_row(group, groups[group]) for group in sorted(groups)]


def _row(group: str, hearings: Sequence[Hearing]) -> tuple[str, ...]:
    words = sum(len(words_of(one.utterance.transcript)) for one in hearings)
    errors = sum(one.errors for one in hearings)
    exact = sum(one.errors == 0 for one in hearings)
    return (
        group,
        str(len(hearings)),
        str(words),
        str(errors),
        f"{errors / words:.3f}",
        f"{exact / len(hearings):.2f}",
    )


def make_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="of RAVDESS")
    parser.add_argument(
        "--asr", choices=sorted(RECOGNISERS), default="pocketsphinx", help="default: pocketsphinx"
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="of Whisper")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_suffix(".md"),
        metavar="FILE",
        help="default: benchmarks/word_error_rate.md",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
