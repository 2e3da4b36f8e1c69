"""From a transcript to token ids where there is no TensorFlow: on a phone, in a small container.

The same cleaning and the same ids as in training, from a vocabulary, a table of contractions and
Hugging Face's `tokenizers`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from mmer_tf.text.sentences import NON_VERBAL_TOKENS, clean_sentences

_SPACE = r"[\t\n\r\p{Z}]"
# RE2's \p{C}, with which training cleans; other engines count unassigned characters in.
_NOT_TEXT = r"[\p{Cc}\p{Cf}\p{Co}\x{FFFD}]"
_ACCENT = r"\p{Mn}"
_CHINESE = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}"
    r"\x{2A700}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)
_SIGNS = r"\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}"
_WORD_ON_ITS_OWN = rf"[\p{{P}}{_SIGNS}{_CHINESE}]"
_LONGEST_WORD = 100  # characters; BERT takes a longer word as unknown
_FIRST_MARK = 0xE000  # private-use characters stand for what is not text


class DeviceText:
    """Clean and tokenize one transcript after the other.

    Args:
        vocabulary: the entries in the order of their ids.
        expansions: contractions and what they are written out as.
        max_tokens: that a row has at most.
        lower_case: lower-case the text.
        strip_accents: take off accents.

    Call: transcript -> token_ids (1, tokens) int32, from `[CLS]` to `[SEP]`, and whether there is a
        word at all
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        expansions: Mapping[str, str],
        max_tokens: int,
        lower_case: bool,
        strip_accents: bool,
    ):
        self.expansions = expansions
        self.max_tokens = max_tokens
        self.cls_id, self.sep_id = (vocabulary.index(token) for token in ("[CLS]", "[SEP]"))
        present = [token for token in NON_VERBAL_TOKENS if token in vocabulary]
        marks = {token: chr(_FIRST_MARK + k) for k, token in enumerate(present)}
        entries = {marks.get(entry, entry): number for number, entry in enumerate(vocabulary)}
        model = models.WordPiece(entries, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD)
        steps = [
            normalizers.Replace(Regex(_SPACE), " "),
            normalizers.Replace(Regex(_NOT_TEXT), ""),
            *(normalizers.Replace(token, f" {mark} ") for token, mark in marks.items()),
        ]
        if strip_accents:
            steps += [normalizers.NFD(), normalizers.Replace(Regex(_ACCENT), "")]
        if lower_case:
            steps.append(normalizers.Lowercase())
        self._tokenizer = Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(steps)
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Split(Regex(_WORD_ON_ITS_OWN), "isolated"),
            ]
        )

    def __call__(self, transcript: str) -> tuple[np.ndarray, bool]:
        """Clean and tokenize; see the class."""
        words = clean_sentences(transcript, self.expansions)
        pieces = self._tokenizer.encode(words).ids[: self.max_tokens - 2]
        return np.array([[self.cls_id, *pieces, self.sep_id]], np.int32), bool(words)
