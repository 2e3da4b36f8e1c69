"""Read the vocabulary of a published BERT from a folder or from the Hugging Face hub."""

import json
from pathlib import Path
from typing import Any

from mmer_tf.hub import find_checkpoint
from mmer_tf.text.sentences import NON_VERBAL_TOKENS

_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")


class TokenizerError(ValueError):
    """A tokenizer that cannot be read; the message says what to do."""


def read_pretrained(id_or_folder: str | Path) -> dict[str, Any]:
    """Read vocabulary and settings of a WordPiece tokenizer.

    Args:
        id_or_folder: a folder in Hugging Face layout (`vocab.txt` or `tokenizer.json`, and
            `tokenizer_config.json` where it has one), or an id such as
            "google-bert/bert-base-uncased".

    Returns:
        `vocabulary` with the non-verbal tokens on its `[unusedN]` entries, `lower_case` and
        `strip_accents`, as `Tokenizer` takes them.

    Raises:
        HubError: not to be had.
        TokenizerError: not a WordPiece tokenizer.
    """
    folder = find_checkpoint(id_or_folder, (), optional=_FILES)
    config = _read_json(folder / "tokenizer_config.json")
    whole = _read_json(folder / "tokenizer.json")
    lower_case = config.get("do_lower_case", (whole.get("normalizer") or {}).get("lowercase", True))
    return {
        "vocabulary": _place_non_verbal(_read_vocabulary(folder, whole)),
        "lower_case": lower_case,
        "strip_accents": config.get("strip_accents"),
    }


def _read_vocabulary(folder: Path, whole: dict[str, Any]) -> list[str]:
    path = folder / "vocab.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    model = whole.get("model", {})
    if model.get("type") != "WordPiece":
        raise TokenizerError(
            f"{folder} holds no WordPiece vocabulary (vocab.txt, or a tokenizer.json of that "
            f"type): give a BERT model."
        )
    entries: dict[str, int] = model["vocab"]
    return sorted(entries, key=entries.__getitem__)


def _place_non_verbal(vocabulary: list[str]) -> list[str]:
    missing = (token for token in NON_VERBAL_TOKENS if token not in vocabulary)
    return [next(missing, entry) if entry.startswith("[unused") else entry for entry in vocabulary]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} is not valid JSON ({error}): download it again.") from error
