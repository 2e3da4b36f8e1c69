"""Learn a WordPiece vocabulary from texts, the same one in every process."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, trainers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mmer_tf.text.sentences import NON_VERBAL_TOKENS

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first entries of every learned vocabulary, in this order."""


def learn_vocabulary(
    texts: Iterable[str], vocabulary_size: int, lower_case: bool = True
) -> tuple[str, ...]:
    """Learn word pieces as BERT's were: merge the most frequent neighbours, again and again.

    A merge must have been seen twice.

    Args:
        texts: cleaned transcripts, of the training split only.
        vocabulary_size: the most entries, special and non-verbal tokens included.
        lower_case: lower-case the texts and take off their accents.

    Returns:
        The entries: special tokens, non-verbal tokens, characters, merged pieces.

    Raises:
        ValueError: the texts hold no word, or more characters than the vocabulary has places.
    """
    words = _count_words(texts, lower_case)
    if not words:
        raise ValueError("`texts` must hold at least one word to learn a vocabulary from.")
    # The trainer numbers the pieces inside words in the order of a hash map that differs from run
    # to run, and breaks ties between merges by those numbers. Naming every character beforehand
    # (as a special token, the only way in) settles the numbers.
    alphabet = {word[0] for word in words}
    alphabet |= {f"##{character}" for word in words for character in word[1:]}
    settled = [*SPECIAL_TOKENS, *NON_VERBAL_TOKENS, *sorted(alphabet)]
    if vocabulary_size < len(settled):
        raise ValueError(
            f"`vocabulary_size` must be >= {len(settled)}, the characters of these texts. "
            f"Received: vocabulary_size={vocabulary_size}."
        )
    model = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=settled,
        min_frequency=2,
        show_progress=False,
        continuing_subword_prefix="##",
    )
    model.pre_tokenizer = BertPreTokenizer()
    model.train_from_iterator(words.elements(), trainer)
    entries = model.get_vocab()
    return tuple(sorted(entries, key=entries.__getitem__))


def _count_words(texts: Iterable[str], lower_case: bool) -> Counter[str]:
    normalizer = BertNormalizer(lowercase=lower_case)
    splitter = BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        for token in NON_VERBAL_TOKENS:
            text = text.replace(token, " ")
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    return words
