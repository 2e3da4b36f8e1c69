"""The one tokenizer of preparing, training and serving: BERT's WordPiece, in the graph.

It gives what Hugging Face's `BertTokenizer` gives: text is cleaned of control characters,
decomposed, freed of accents and lower-cased, split at spaces, punctuation and Chinese characters,
and each word is cut into the longest pieces the vocabulary knows. Two differences are wanted: a
typed "[SEP]" is text like any other, and the non-verbal tokens (`text.normalise`) have ids of
their own. One is not: a few hundred characters of historic scripts, younger than Unicode 8, count
as accents or punctuation here but not there.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_text as tf_text

from mmer_tf.atomic import write_text
from mmer_tf.remote import as_path
from mmer_tf.text.pretrained import TokenizerError, read_pretrained
from mmer_tf.text.sentences import NON_VERBAL_TOKENS
from mmer_tf.text.vocabulary import learn_vocabulary

VOCABULARY_FILE = "vocab.txt"
SETTINGS_FILE = "tokenizer_settings.json"

_SPACE = r"[\t\n\r\p{Z}]"
_NOT_TEXT = r"[\p{C}\x{FFFD}]"
_ACCENT = r"\p{Mn}"
_CHINESE = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}"
    r"\x{2A700}-\x{2B81F}\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)
_WORD_ON_ITS_OWN = rf"[\p{{P}}!-/:-@\[-`{{-~{_CHINESE}]"
_LONGEST_WORD = 100  # characters; BERT takes a longer word as unknown
_LONG_WORD = rf"[^ ]{{{_LONGEST_WORD + 1},}}"
# Private-use characters never survive cleaning, so they can stand for what is not text.
_UNKNOWN_MARK = "\uf8ff"
_FIRST_MARK = 0xE000


class Tokenizer:
    """Transcripts to BERT token ids, `[CLS] … [SEP]`, padded to the longest of the batch.

    Works eagerly, in a `tf.function`, in `tf.data` and in an exported graph.

    Args:
        vocabulary: the entries in the order of their ids, with [PAD], [UNK], [CLS] and [SEP].
            Non-verbal tokens that stand in it are read as one token, the others as plain text.
        max_tokens: the longest row, [CLS] and [SEP] included, at least 3; longer text is cut.
        lower_case: lower-case the text.
        strip_accents: take off accents; as `lower_case` by default.

    Call: transcripts (batch,) string ->
        token_ids (batch, tokens) int32, token_mask (batch, tokens) bool, True at real tokens

    Raises:
        ValueError: `max_tokens` < 3.
        TokenizerError: the vocabulary lacks a special token.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        lower_case: bool = True,
        strip_accents: bool | None = None,
    ):
        if max_tokens < 3:
            raise ValueError(f"`max_tokens` must be >= 3. Received: max_tokens={max_tokens}.")
        self.vocabulary = tuple(vocabulary)
        self.max_tokens = max_tokens
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.pad_id, _, self.cls_id, self.sep_id = (
            self._id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
        )
        present = [token for token in NON_VERBAL_TOKENS if token in self.vocabulary]
        self._marks = {token: chr(_FIRST_MARK + k) for k, token in enumerate(present)}
        self._word_pieces = tf_text.FastWordpieceTokenizer(
            [self._marks.get(entry, entry) for entry in self.vocabulary],
            token_out_type=tf.int32,
            unknown_token="[UNK]",
            max_bytes_per_word=4 * _LONGEST_WORD,  # long words are caught before, by characters
        )

    @classmethod
    def from_texts(
        cls, texts: Iterable[str], vocabulary_size: int, max_tokens: int, lower_case: bool = True
    ) -> "Tokenizer":
        """Learn the vocabulary from the texts of a training split.

        Args:
            texts: cleaned transcripts.
            vocabulary_size: the most entries, special tokens included.
            max_tokens: the longest row.
            lower_case: lower-case the text and take off its accents.

        Raises:
            ValueError: no word in `texts`, or more characters than places.
        """
        return cls(learn_vocabulary(texts, vocabulary_size, lower_case), max_tokens, lower_case)

    @classmethod
    def from_pretrained(cls, id_or_folder: str | Path, max_tokens: int) -> "Tokenizer":
        """Take the vocabulary of a published BERT.

        Non-verbal tokens take its `[unusedN]` entries, so that its embedding keeps its size; in
        a vocabulary without such entries they stay plain text.

        Args:
            id_or_folder: a folder in Hugging Face layout, or an id of its hub.
            max_tokens: the longest row.

        Raises:
            HubError: not to be had.
            TokenizerError: not a WordPiece tokenizer.
        """
        return cls(max_tokens=max_tokens, **read_pretrained(id_or_folder))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            TokenizerError: a file is missing or damaged.
        """
        folder = as_path(folder)
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            entries = (folder / VOCABULARY_FILE).read_bytes().decode("utf-8").split("\n")[:-1]
            return cls(entries, **settings)
        except FileNotFoundError as error:
            raise TokenizerError(f"{error.filename} is missing: no saved tokenizer.") from error
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
            raise TokenizerError(f"{folder} holds a damaged tokenizer: {error}.") from error

    def save(self, folder: Path) -> None:
        """Write `vocab.txt` and `tokenizer_settings.json` into an existing folder."""
        folder = as_path(folder)
        entries = "".join(f"{entry}\n" for entry in self.vocabulary)
        write_text(folder / VOCABULARY_FILE, entries)
        settings = json.dumps(self._settings, indent=2) + "\n"
        write_text(folder / SETTINGS_FILE, settings)

    @property
    def vocabulary_size(self) -> int:
        """Number of entries, and rows of the embedding that reads the ids."""
        return len(self.vocabulary)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name vocabulary and settings together."""
        everything = json.dumps([self.vocabulary, self._settings], sort_keys=True)
        return hashlib.sha256(everything.encode("utf-8")).hexdigest()[:16]

    @property
    def _settings(self) -> dict[str, int | bool]:
        return {
            "max_tokens": self.max_tokens,
            "lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
        }

    def __call__(self, transcripts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Tokenize a batch of transcripts; see the class."""
        pieces = self._word_pieces.tokenize(self._normalise(tf.convert_to_tensor(transcripts)))
        pieces = pieces[:, : self.max_tokens - 2]
        ends = tf.ones_like(pieces[:, :1].row_lengths(), dtype=tf.int32)[:, None]
        ids = tf.concat([ends * self.cls_id, pieces, ends * self.sep_id], axis=1)
        return ids.to_tensor(self.pad_id), tf.sequence_mask(ids.row_lengths())

    def tokenize_to_strings(self, token_ids: Iterable[int]) -> list[str]:
        """Name the tokens of one row, without its padding, as plots show them.

        Args:
            token_ids: (tokens,) as the call gives them.
        """
        return [self.vocabulary[token] for token in token_ids if token != self.pad_id]

    def _id(self, token: str) -> int:
        try:
            return self.vocabulary.index(token)
        except ValueError:
            raise TokenizerError(f"the vocabulary lacks {token}: not a BERT vocabulary.") from None

    def _normalise(self, text: tf.Tensor) -> tf.Tensor:
        """Write text as words one space apart: (batch,) string -> (batch,) string."""
        text = tf.strings.regex_replace(text, _SPACE, " ")
        text = tf.strings.regex_replace(text, _NOT_TEXT, "")
        for token, mark in self._marks.items():
            text = tf.strings.regex_replace(text, re.escape(token), f" {mark} ")
        if self.strip_accents:
            text = tf_text.normalize_utf8(text, "NFD")
            text = tf.strings.regex_replace(text, _ACCENT, "")
        if self.lower_case:
            text = tf.strings.regex_replace(text, "Σ", "σ")  # ICU would write ς at a word's end
            text = tf.strings.lower(text, encoding="utf-8")
        text = tf.strings.regex_replace(text, _WORD_ON_ITS_OWN, r" \0 ")
        return tf.strings.regex_replace(text, _LONG_WORD, _UNKNOWN_MARK)
