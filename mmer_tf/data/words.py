"""When each word is said, and which tokens it became.

The timings of a corpus are those of its own words: as the transcript has them, or as an aligner
writes them (capitals, no punctuation). The tokens are those of the cleaned transcript, where
contractions are written out and stop words may be missing. Both sequences are brought together
by their tokens: every timed word is cleaned and tokenised on its own.
"""

import difflib
import re
from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mmer_tf.data.schema import SPANS_PER_SECOND, dense, word_spans
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import MAX_SECONDS, SAMPLE_RATE, Seconds, Utterance, Word

WORD_SPANS = "word_spans"
WORD_OF_TOKEN = "word_of_token"

_WORD = re.compile(r"\w[\w'’]*")


def word_inputs(
    words: Sequence[Word],
    transcript: str,
    tokenizer: Tokenizer,
    cleaning: str = "sentences",
    start: Seconds = 0.0,
    max_seconds: Seconds = MAX_SECONDS,
) -> dict[str, np.ndarray]:
    """The words of one utterance, as a batch of one.

    Args:
        words: with their timings, in order; none where nothing is known.
        transcript: as the corpus has it.
        tokenizer: of the transcript.
        cleaning: style of `text.normalise.clean`.
        start: where the clip was cropped.
        max_seconds: longest clip.

    Returns:
        `word_spans` int32 (1, words, 2) and `word_of_token` int32 (1, tokens), as `make_dataset`
        gives them.
    """
    utterance = Utterance("", "", transcript=transcript, words=tuple(words))
    whole = tf.RaggedTensor.from_row_lengths(word_spans(utterance.words), [len(words)])
    spans = crop_spans(whole, tf.constant([start]), max_seconds)
    _, token_mask = tokenizer(tf.constant([clean(transcript, cleaning)]))
    owners = words_of_tokens([utterance], tokenizer, cleaning)[:, : token_mask.shape[1]]
    return {WORD_SPANS: spans.numpy(), WORD_OF_TOKEN: owners}


def crop_spans(spans: tf.RaggedTensor, starts: tf.Tensor, seconds: Seconds) -> tf.Tensor:
    """Move word timings into crops.

    Args:
        spans: int32 (batch, words, 2) in 10 ms.
        starts: of each crop, in seconds, (batch,).
        seconds: their length.

    Returns:
        int32 (batch, words, 2), but one word at least; -1 for a word outside the crop, and after
        the last.
    """
    first = tf.cast(tf.round(starts * SPANS_PER_SECOND), tf.int32)
    moved = spans.values - tf.gather(first, spans.value_rowids())[:, None]
    # A model by words wants a place for one, even if no utterance of a batch has timings.
    return dense(spans.with_values(_within(moved, int(seconds * SPANS_PER_SECOND))), -1)


def shift_spans(spans: tf.Tensor, samples: tf.Tensor, num_samples: tf.Tensor) -> tf.Tensor:
    """Move word timings with a recording that is shifted within its own length.

    Args:
        spans: int32 (words, 2) in 10 ms.
        samples: how far, to later where positive.
        num_samples: length of the recording.

    Returns:
        int32 (words, 2); -1 for a word that is cut off.
    """
    per_span = SAMPLE_RATE // SPANS_PER_SECOND
    moved = spans + tf.cast(tf.round(samples / per_span), tf.int32)
    return _within(moved, -(-num_samples // per_span))


def _within(spans: tf.Tensor, last: tf.Tensor | int) -> tf.Tensor:
    """Cut word timings to those from 0 to `last`; -1 for a word outside."""
    inside = (spans[:, 1] > 0) & (spans[:, 0] < last)
    return tf.where(inside[:, None], tf.clip_by_value(spans, 0, last), -1)


def words_of_tokens(
    utterances: Sequence[Utterance], tokenizer: Tokenizer, cleaning: str
) -> np.ndarray:
    """The timed word that each token belongs to.

    Args:
        utterances: those without timed words are welcome.
        tokenizer: of their cleaned transcripts.
        cleaning: style of `text.normalise.clean`.

    Returns:
        Indices into `Utterance.words`, int32 (utterances, `tokenizer.max_tokens`); -1 for
        [CLS], [SEP], padding, and tokens that no timed word accounts for.
    """
    owners = np.full((len(utterances), tokenizer.max_tokens), -1, np.int32)
    timed = [(row, one) for row, one in enumerate(utterances) if one.words]
    if not timed:
        return owners
    spelled = [_as_transcribed(one) for _, one in timed]
    known = sorted({text for texts in spelled for text in texts})
    pieces = dict(zip(known, _tokenise(known, tokenizer, cleaning), strict=True))
    transcripts = _tokenise([one.transcript for _, one in timed], tokenizer, cleaning)
    for (row, _), texts, tokens in zip(timed, spelled, transcripts, strict=True):
        owners[row, 1 : 1 + len(tokens)] = align(tokens, [pieces[text] for text in texts])
    return owners


def align(tokens: Sequence[int], words: Sequence[Sequence[int]]) -> list[int]:
    """Find the word that each token comes from.

    Args:
        tokens: ids of the transcript.
        words: ids of each timed word.

    Returns:
        For each token the index of its word, -1 for a token of none.

    >>> align([7, 1, 2, 9, 3], [[7], [1, 2], [5], [3]])
    [0, 1, 1, -1, 3]
    """
    joined = [token for word in words for token in word]
    sources = [index for index, word in enumerate(words) for _ in word]
    if joined[: len(tokens)] == list(tokens):  # the transcript may be cut, the words are not
        return sources[: len(tokens)]
    owners = [-1] * len(tokens)
    matcher = difflib.SequenceMatcher(None, joined, tokens, autojunk=False)
    for ours, theirs, size in matcher.get_matching_blocks():
        owners[theirs : theirs + size] = sources[ours : ours + size]
    return owners


def _as_transcribed(utterance: Utterance) -> list[str]:
    """The timed words in the transcript's capitals, which a cased tokenizer tells apart."""
    spellings: defaultdict[str, deque[str]] = defaultdict(deque)
    for word in _WORD.findall(utterance.transcript):
        spellings[word.casefold()].append(word)
    same = (spellings[word.text.casefold()] for word in utterance.words)
    return [
        letters.popleft() if letters else word.text
        for letters, word in zip(same, utterance.words, strict=True)
    ]


def _tokenise(texts: Sequence[str], tokenizer: Tokenizer, cleaning: str) -> list[list[int]]:
    """Token ids of each text once it is cleaned, without [CLS] and [SEP]."""
    token_ids, token_mask = tokenizer(tf.constant([clean(text, cleaning) for text in texts]))
    rows = zip(token_ids.numpy(), token_mask.numpy(), strict=True)
    return [row[mask][1:-1].tolist() for row, mask in rows]
