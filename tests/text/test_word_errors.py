"""A corpus reaches the word error rate that was asked for, by an independent count of errors."""

import random
import re
from itertools import pairwise

import numpy as np
import pytest

from mmer_tf.text.word_errors import SHARES, add_word_errors, count_words, words_of
from mmer_tf.types import Utterance, Word

NAMES = ["anna", "don't", "door", "i", "kitchen", "know", "letter", "monday", "my", "never", "say",
         "so", "the", "was", "you"]  # fmt: skip


def levenshtein(reference: list[str], hypothesis: list[str]) -> tuple[int, int, int, int]:
    """Distance and its substitutions, deletions, insertions, by the full table."""
    table = [[(j, 0, 0, j) for j in range(len(hypothesis) + 1)]]
    for i, true in enumerate(reference, 1):
        row = [(i, 0, i, 0)]
        for j, heard in enumerate(hypothesis, 1):
            (d, s, x, n), up, left = table[-1][j - 1], table[-1][j], row[-1]
            wrong = int(true != heard)
            row.append(
                min(
                    (d + wrong, s + wrong, x, n),
                    (up[0] + 1, up[1], up[2] + 1, up[3]),
                    (left[0] + 1, left[1], left[2], left[3] + 1),
                )
            )
        table.append(row)
    return table[-1][-1]


def plain(transcript: str) -> list[str]:
    """The words in another way than the library: no events, no punctuation, lower case."""
    return re.findall(r"\w+(?:'\w+)*", re.sub(r"\+\+\w+\+\+|<sil>", " ", transcript.lower()))


def corpus(size: int = 120, seed: int = 1) -> list[Utterance]:
    """Sentences of 1 to 9 words with punctuation, events and timings; words repeat."""
    draw = random.Random(seed)
    utterances = []
    for number in range(size):
        words = draw.choices(NAMES, k=draw.randint(1, 9))
        texts = [words[0].capitalize(), *words[1:]]
        texts[-1] += draw.choice((".", "!", "?"))
        timings, end = [], 0.0
        for text in texts:
            start = end + draw.choice((0.0, 0.0, 0.4))
            end = start + 0.1 * len(text)
            timings.append(Word(text, start, end))
        if number % 7 == 0:
            texts.insert(1, draw.choice(("++LAUGHTER++", "<sil>", "--")))
        utterances.append(
            Utterance(
                f"u{number}",
                "sad",
                transcript=" ".join(texts),
                words=tuple(timings) if number % 3 else (),
                duration=end + 0.2,
            )
        )
    return [*utterances, Utterance("silent", "sad"), Utterance("event", "sad", transcript="<sil>")]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_corpus_reaches_the_rate(rate: float, seed: int):
    truth = corpus()
    heard = add_word_errors(truth, rate, seed=seed)
    total = sum(len(plain(one.transcript)) for one in truth)
    pairs = zip(truth, heard, strict=True)
    counts = [levenshtein(plain(a.transcript), plain(b.transcript)) for a, b in pairs]
    assert sum(count[0] for count in counts) == round(rate * total)


def test_errors_divide_into_kinds_as_told():
    """Up to 50 %; the minimal alignments count the errors that were made."""
    truth = corpus(400)
    for rate in (0.1, 0.3, 0.5):
        heard = add_word_errors(truth, rate)
        pairs = zip(truth, heard, strict=True)
        counts = [levenshtein(plain(a.transcript), plain(b.transcript))[1:] for a, b in pairs]
        shares = np.sum(counts, axis=0) / np.sum(counts)
        np.testing.assert_allclose(shares, list(SHARES.values()), atol=0.03)
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_errors_of_a_lower_rate_are_among_those_of_a_higher_one():
    truth = corpus()
    distances = []
    for rate in (0.0, 0.1, 0.3, 0.5):
        heard = add_word_errors(truth, rate)
        pairs = zip(truth, heard, strict=True)
        distances.append(
            [levenshtein(plain(a.transcript), plain(b.transcript))[0] for a, b in pairs]
        )
    assert (np.diff(distances, axis=0) >= 0).all()


def test_id_and_seed_decide():
    truth = corpus()
    heard = add_word_errors(truth, 0.3, seed=4)
    backwards = add_word_errors(truth[::-1], 0.3, seed=4)
    assert [one.id for one in heard] == [one.id for one in truth]
    same = [a == b for a, b in zip(heard, backwards[::-1], strict=True)]
    assert heard == add_word_errors(truth, 0.3, seed=4) and all(same)
    assert heard != add_word_errors(truth, 0.3, seed=5)


def test_wrong_words_are_the_corpus_s():
    truth = corpus()
    known = set(count_words(one.transcript for one in truth))
    assert known == set(NAMES)
    heard = add_word_errors(truth, 0.5)
    assert {word for one in heard for word in plain(one.transcript)} <= known
    given = add_word_errors(truth, 0.5, vocabulary={"zebra": 1})
    came = {w for one in given for w in plain(one.transcript)} - known
    assert came == {"zebra"}


def test_what_is_no_word_stays():
    truth = corpus()
    heard = add_word_errors(truth, 1.0)
    for before, after in zip(truth, heard, strict=True):
        for event in ("++LAUGHTER++", "<sil>"):
            assert before.transcript.count(event) == after.transcript.count(event)
    assert heard[-2:] == truth[-2:]
    (only,) = add_word_errors([Utterance("a", "sad", transcript="Well.")], 1.0)
    assert only.transcript == ""  # a vocabulary without other words leaves a loss alone


def test_words_that_are_compared():
    assert words_of('"Well," he -- said: ++LAUGHTER++ don’t!') == ["well", "he", "said", "don’t"]
    assert words_of("<sil>no ++BREATHING++") == ["no"] and words_of("  ") == []


def test_timings_follow():
    """What is timed is what is said, in order, without overlap, and kept words keep their span."""
    truth = corpus()
    heard = add_word_errors(truth, 0.5)
    inserted = 0
    for before, after in zip(truth, heard, strict=True):
        if not before.words:
            assert after.words == ()
            continue
        assert [w for word in after.words for w in plain(word.text)] == plain(after.transcript)
        spans = [(word.start, word.end) for word in after.words]
        assert all(start < end for start, end in spans)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(spans))
        assert not spans or (spans[0][0] >= 0 and spans[-1][1] <= before.duration + 1e-9)
        if len(after.words) <= len(before.words):  # then nothing was inserted
            assert set(spans) <= {(word.start, word.end) for word in before.words}
        else:
            inserted += 1
    assert inserted > 5


def test_timings_of_each_error():
    """Found among many seeds: what becomes of `One two.` with a pause behind `One`."""
    words = (Word("ONE", 0.0, 0.4), Word("TWO", 0.9, 1.3))
    truth = Utterance("a", "sad", transcript="One two.", words=words, duration=1.3)
    found = {}
    for seed in range(200):
        (heard,) = add_word_errors([truth], 0.5, seed=seed, vocabulary={"three": 1})
        found[heard.transcript] = heard.words
    # Of one error, the kind is always the likeliest.
    assert found == {
        "Three two.": (Word("Three", 0.0, 0.4), words[1]),
        "One three.": (words[0], Word("Three", 0.9, 1.3)),
    }
    found = {}
    for seed in range(200):
        (heard,) = add_word_errors([truth], 1.0, seed=seed, vocabulary={"three": 1})
        found[heard.transcript] = heard.words
    assert found == {
        "Three.": (Word("Three", 0.0, 0.4),),
        "three.": (Word("Three", 0.9, 1.3),),  # in the aligner's capitals
    }


def test_place_of_an_insertion(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(SHARES, "insertion", 100.0)
    words = (Word("One", 0.0, 0.4), Word("two.", 0.9, 1.3))
    truth = Utterance("a", "sad", transcript="One two.", words=words, duration=1.3)
    (heard,) = add_word_errors([truth], 1.0, vocabulary={"three": 1})
    assert heard.transcript == "One three two three."
    spans = [(word.text, word.start, word.end) for word in heard.words]
    assert spans == [
        ("One", 0.0, 0.4),
        ("three", 0.4, pytest.approx(0.7)),  # in the pause
        ("two", 0.9, pytest.approx(1.1)),
        ("three.", pytest.approx(1.1), 1.3),  # no pause: half of the word before
    ]


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_no_such_rate(rate: float):
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\]. Received: rate="):
        add_word_errors(corpus(3), rate)
