"""The errors of a speech recogniser, drawn at a word error rate that is asked for.

Without TensorFlow.

Words are what stands between spaces; letter case and punctuation at their edges do not count, and
non-verbal events are no words. The word error rate of a corpus is the sum of the utterances'
Levenshtein distances over words, divided by the number of words in the true transcripts.

Three rules make the distance of an utterance equal to the number of its errors: a word meets one
error at most, a word that comes in does not occur in the true transcript, and no utterance both
loses words and gains words. (Aligned words are then at most those that were kept; so without
gained words the distance is at least true words - kept words, without lost words at least words
there are now - kept words, and either is the number of errors.) The price: where a real
recogniser loses one word and gains another, here one is replaced.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np

from mmer_tf.draws import draws_for
from mmer_tf.text.sentences import NON_VERBAL_TOKENS
from mmer_tf.types import Seconds, Utterance, Word

Kind = Literal["substitution", "deletion", "insertion"]

SHARES: dict[Kind, float] = {"substitution": 0.63, "deletion": 0.26, "insertion": 0.11}
"""How errors divide into kinds: the middle of what the systems in Kaldi's recipe for Switchboard
(egs/swbd/s5c/RESULTS) do on the whole of eval2000, conversations over the telephone. There it is
61-66 %, 24-28 % and 8-13 % at word error rates from 16 % to 44 %."""

SHORTEST_PAUSE: Seconds = 0.1
"""A pause in which a word that was not said is heard."""

LONGEST_INSERTION: Seconds = 0.3

_EVENTS = (*NON_VERBAL_TOKENS, "++GARBAGE++", "[BREATHING]", "[LAUGHTER]", "[GARBAGE]")
_EVENT = re.compile("|".join(map(re.escape, _EVENTS)))
_PARTS = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)


@dataclass(frozen=True)
class _Piece:
    """What stands between two spaces: punctuation, a word or an event, punctuation."""

    lead: str
    core: str
    trail: str
    is_word: bool

    @property
    def key(self) -> str:
        """By which words are compared."""
        return self.core.lower()


@dataclass(frozen=True)
class _Error:
    kind: Kind
    word: str = ""


def words_of(transcript: str) -> list[str]:
    """The words of a transcript as they are compared.

    >>> words_of("Well -- <sil> I don't know, Anna.")
    ['well', 'i', "don't", 'know', 'anna']
    """
    return [piece.key for piece in _pieces(transcript) if piece.is_word]


def count_words(transcripts: Iterable[str]) -> Counter[str]:
    """The vocabulary of a corpus: word, as it is compared -> occurrences."""
    return Counter(word for transcript in transcripts for word in words_of(transcript))


def add_word_errors(
    utterances: Sequence[Utterance],
    rate: float,
    *,
    vocabulary: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[Utterance]:
    """Distort transcripts and word timings at a word error rate of the corpus.

    Where errors fall and which words come in depends on `seed` and the ids; the errors of a lower
    rate are among those of a higher one. Wrong words are drawn from the vocabulary by frequency
    and not by sound, which is an assumption: a recogniser confuses what sounds alike.

    A word that is lost takes its timing along, a wrong word takes that of the right one, and a
    word that was not said gets the pause behind the word before it or, without a pause, the
    second half of that word's span.

    Args:
        utterances: with transcripts; those without words stay as they are.
        rate: errors by words, in [0, 1]; reached but for the rounding to whole errors.
        vocabulary: see `count_words`; that of the utterances by default.
        seed: another one gives other errors.

    Raises:
        ValueError: `rate` outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` must be in [0, 1]. Received: rate={rate}.")
    if vocabulary is None:
        vocabulary = count_words(utterance.transcript for utterance in utterances)
    known = sorted(vocabulary)
    counts = np.array([vocabulary[word] for word in known], np.float64)
    places = {word: place for place, word in enumerate(known)}
    pieces = [_pieces(utterance.transcript) for utterance in utterances]
    slots: list[tuple[float, int, int, str]] = []
    for row, utterance in enumerate(utterances):
        spoken = [number for number, piece in enumerate(pieces[row]) if piece.is_word]
        draw = draws_for(utterance.id, seed, "word errors")
        ranks = draw.random(len(spoken))
        weights = counts.copy()
        weights[[places[p.key] for p in pieces[row] if p.key in places]] = 0.0
        wrong = [""] * len(spoken)
        if weights.any():
            drawn = draw.choice(len(known), len(spoken), p=weights / weights.sum())
            wrong = [known[place] for place in drawn]
        slots += zip(ranks.tolist(), [row] * len(spoken), spoken, wrong, strict=True)
    errors = _choose(sorted(slots)[: round(rate * len(slots))])
    return [
        _apply(utterance, pieces[row], errors[row]) if row in errors else utterance
        for row, utterance in enumerate(utterances)
    ]


def _choose(slots: Iterable[tuple[float, int, int, str]]) -> dict[int, dict[int, _Error]]:
    """The kind of each error, always the one that lags most behind its share.

    Args:
        slots: (rank, utterance, piece, wrong word) of each error; without a wrong word only
            a deletion is possible.

    Returns:
        Utterance -> piece -> error.
    """
    made: Counter[Kind] = Counter()
    errors: dict[int, dict[int, _Error]] = {}
    for number, (_, row, piece, word) in enumerate(slots, 1):
        here = {error.kind for error in errors.setdefault(row, {}).values()}
        possible: list[Kind] = [] if "insertion" in here else ["deletion"]
        if word:
            possible.append("substitution")
            possible += [] if "deletion" in here else ["insertion"]
        kind = max(possible, key=lambda kind: SHARES[kind] * number - made[kind])
        made[kind] += 1
        errors[row][piece] = _Error(kind, word)
    return errors


def _apply(
    utterance: Utterance, pieces: Sequence[_Piece], errors: Mapping[int, _Error]
) -> Utterance:
    texts: list[str] = []
    for number, piece in enumerate(pieces):
        error = errors.get(number)
        if error is None:
            texts.append(piece.lead + piece.core + piece.trail)
        elif error.kind != "deletion":
            texts += _with(error, piece)
        elif texts:  # the end of a sentence stays when its last word goes
            texts[-1] += piece.trail
    words = _apply_to_timings(utterance, pieces, errors) if utterance.words else ()
    return dataclasses.replace(utterance, transcript=" ".join(texts), words=words)


def _apply_to_timings(
    utterance: Utterance, pieces: Sequence[_Piece], errors: Mapping[int, _Error]
) -> tuple[Word, ...]:
    spoken = [number for number, piece in enumerate(pieces) if piece.is_word]
    timed = [_piece(word.text) for word in utterance.words]
    true, heard = [pieces[number].key for number in spoken], [piece.key for piece in timed]
    matcher = SequenceMatcher(None, true, heard, autojunk=False)
    piece_of = {
        block.b + step: spoken[block.a + step]
        for block in matcher.get_matching_blocks()
        for step in range(block.size)
    }
    ends = [*(word.start for word in utterance.words[1:]), utterance.duration or 0.0]
    words: list[Word] = []
    for number, (word, following) in enumerate(zip(utterance.words, ends, strict=True)):
        error = errors.get(piece_of.get(number, -1))
        if error is None:
            words.append(word)
        elif error.kind != "deletion":
            texts, spans = _with(error, timed[number]), [(word.start, word.end)]
            if error.kind == "insertion":
                spans = _spans_with_insertion(word, following)
            words += [Word(text, *span) for text, span in zip(texts, spans, strict=True)]
    return tuple(words)


def _with(error: _Error, piece: _Piece) -> list[str]:
    """What stands in the place of a piece, but for a deletion."""
    if error.kind == "substitution":
        word = error.word[:1].upper() + error.word[1:] if piece.core[:1].isupper() else error.word
        return [piece.lead + word + piece.trail]
    return [piece.lead + piece.core, error.word + piece.trail]


def _spans_with_insertion(word: Word, following: Seconds) -> list[tuple[Seconds, Seconds]]:
    """A word and one that is heard behind it, before the next one starts."""
    if following - word.end >= SHORTEST_PAUSE:
        end = min(following, word.end + LONGEST_INSERTION)
        return [(word.start, word.end), (word.end, end)]
    middle = (word.start + word.end) / 2
    return [(word.start, middle), (middle, word.end)]


def _pieces(transcript: str) -> list[_Piece]:
    return [_piece(text) for text in _EVENT.sub(r" \g<0> ", transcript).split()]


def _piece(text: str) -> _Piece:
    if text in _EVENTS:
        return _Piece("", text, "", is_word=False)
    lead, core, trail = _PARTS.fullmatch(text).groups()
    return _Piece(lead, core, trail, is_word=bool(core))
