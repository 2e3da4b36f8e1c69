"""The tokenizer against Hugging Face's `BertTokenizer`, and its own promises."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from mmer_tf.hub import HubError
from mmer_tf.text.pretrained import TokenizerError
from mmer_tf.text.sentences import NON_VERBAL_TOKENS
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.text.vocabulary import SPECIAL_TOKENS, learn_vocabulary

SENTENCES = [
    "I am so happy today, thank you!",
    "The café is closed; naïve Ångström walked to the Straße.",
    "Nothing is as sad as this, 日本 or not.",
    "Привет, ΣΑΣ and İstanbul 123.",
    "++LAUGHTER++ well <sil> that is that",
]
ADVERSARIAL = [
    "",
    "   \t\n ",
    "Ångström CAFÉ ﬁne ß ẞ İ ς Σ",
    "a\u0301\u0302b \u0300 e\u0301",
    "zero\u200bwidth soft\u00adhyphen nul\x00bell\x07del\x7f\ufeffbom\ufffd",
    "no\u00a0break\u3000ideographic\u2028line\x85next\x0bvertical",
    "日本語とcafé中文 한국어 ㄱ",
    "👍🏽 🥰🥰 👨‍👩‍👧 ❤️ ©®™ ½ ² №",
    "don't rock'n'roll e.g. a--b ...!!?? (x) $5 50% `~^|<>=+",
    "؟ العربية עִבְרִית हिन्दी ไทย",
    "\ue000\uf8ff private",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 100 + " " + "é" * 101,
    "x" * 10_000,
    "happy " * 2_000,
    "un##happy ##a # ##",
    "tab\there\r\nthere",
]


def _hugging_face(vocabulary, **options) -> BertTokenizer:
    tokenizer = BertTokenizer(vocab={entry: k for k, entry in enumerate(vocabulary)}, **options)
    tokenizer.add_tokens([token for token in NON_VERBAL_TOKENS if token in vocabulary])
    return tokenizer


def _ids(tokenizer: Tokenizer, texts) -> list[list[int]]:
    ids, mask = tokenizer(tf.constant(texts))
    return [row[kept].tolist() for row, kept in zip(ids.numpy(), mask.numpy(), strict=True)]


@pytest.fixture(scope="module")
def vocabulary() -> tuple[str, ...]:
    return learn_vocabulary(SENTENCES, 300)


@pytest.mark.parametrize("lower_case", [True, False])
@pytest.mark.parametrize("max_tokens", [8, 4096])
def test_equals_hugging_face_on_adversarial_texts(lower_case, max_tokens):
    entries = learn_vocabulary(SENTENCES, 300, lower_case)
    ours = Tokenizer(entries, max_tokens, lower_case)
    theirs = _hugging_face(entries, do_lower_case=lower_case)
    texts = ADVERSARIAL + SENTENCES
    expected = theirs(texts, truncation=True, max_length=max_tokens)["input_ids"]
    for text, got, wanted in zip(texts, _ids(ours, texts), expected, strict=True):
        assert got == wanted, text[:60]


@pytest.mark.parametrize("lower_case", [True, False])
def test_equals_hugging_face_on_real_comments(goemotions_root, lower_case):
    lines = (goemotions_root / "train.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines]
    entries = learn_vocabulary(texts[:4000], 4000, lower_case)
    sample = texts[4000::20]  # 1,971 unseen
    theirs = _hugging_face(entries, do_lower_case=lower_case)
    expected = theirs(sample, truncation=True, max_length=32)["input_ids"]
    assert _ids(Tokenizer(entries, 32, lower_case), sample) == expected


def test_equals_hugging_face_around_every_character(vocabulary):
    """Each character between two letters: deleted, space, accent, punctuation or letter."""
    characters = [chr(k) for k in range(1, 0x20000) if not 0xD800 <= k < 0xF900]
    texts = [f"a{character}b" for character in characters]
    expected = _hugging_face(vocabulary)(texts)["input_ids"]
    got = _ids(Tokenizer(vocabulary, 16), texts)
    different = {
        ord(character)
        for character, ours, theirs in zip(characters, got, expected, strict=True)
        if ours != theirs
    }
    assert len(different) < 850  # of 122,000: accents and punctuation younger than Unicode 8
    common = [(0, 0x61C), (0x2000, 0x2E41), (0x3000, 0xA66D), (0xAC00, 0xFFFF), (0x1F000, 0x1FBFF)]
    assert not [hex(k) for k in different for low, high in common if low <= k <= high]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(max_codepoint=0x61C), max_size=40))
def test_equals_hugging_face_on_random_text(vocabulary, text):
    expected = _hugging_face(vocabulary)(text)["input_ids"]
    assert _ids(Tokenizer(vocabulary, 64), [text]) == [expected]


def test_typed_special_tokens_are_text(vocabulary):
    tokenizer = Tokenizer(vocabulary, 64)
    ids, _ = tokenizer(tf.constant(["[SEP] a [CLS] [PAD] [MASK] [UNK]"]))
    strings = tokenizer.tokenize_to_strings(ids[0].numpy())
    assert (strings[0], strings[-1]) == ("[CLS]", "[SEP]")
    assert not set(strings[1:-1]) & (set(SPECIAL_TOKENS) - {"[UNK]"})


def test_non_verbal_tokens_are_one_token_each(vocabulary):
    tokenizer = Tokenizer(vocabulary, 16)
    ids, _ = tokenizer(tf.constant(["a++LAUGHTER++b <sil><SIL>"]))
    strings = tokenizer.tokenize_to_strings(ids[0].numpy())
    assert strings[1:5] == ["a", "++LAUGHTER++", "b", "<sil>"]
    assert strings.count("<sil>") == 1  # they are case-sensitive, as their sources are


def test_shapes_padding_and_truncation(vocabulary):
    tokenizer = Tokenizer(vocabulary, 5)
    ids, mask = tokenizer(tf.constant(["a", "a a a a a a a a", ""]))
    assert ids.dtype == tf.int32
    assert mask.dtype == tf.bool
    assert ids.shape == mask.shape == (3, 5)
    letter = vocabulary.index("a")
    cls, sep, pad = tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id
    np.testing.assert_array_equal(
        ids, [[cls, letter, sep, pad, pad], [cls, *[letter] * 3, sep], [cls, sep, pad, pad, pad]]
    )
    np.testing.assert_array_equal(mask, np.not_equal(ids, pad))
    assert tokenizer(tf.constant([], tf.string))[0].shape[0] == 0


def test_same_in_tf_function_and_tf_data(vocabulary):
    tokenizer = Tokenizer(vocabulary, 12)
    eager = tokenizer(tf.constant(SENTENCES))
    graph = tf.function(tokenizer, input_signature=[tf.TensorSpec([None], tf.string)])
    data = tf.data.Dataset.from_tensor_slices(SENTENCES).batch(5).map(tokenizer)
    for other in (graph(tf.constant(SENTENCES)), next(iter(data))):
        np.testing.assert_array_equal(eager[0], other[0])
        np.testing.assert_array_equal(eager[1], other[1])
    assert data.element_spec[0].shape.as_list() == [None, None]


def test_save_and_load_give_the_same_tokenizer(tmp_path, vocabulary):
    tokenizer = Tokenizer((*vocabulary, "\x85", "\u2028"), 9, lower_case=False)
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.vocabulary == tokenizer.vocabulary
    assert loaded.digest == tokenizer.digest
    assert (loaded.max_tokens, loaded.lower_case, loaded.strip_accents) == (9, False, False)
    assert _ids(loaded, SENTENCES) == _ids(tokenizer, SENTENCES)


def test_the_digest_tells_settings_and_vocabularies_apart(vocabulary):
    tokenizers = [
        Tokenizer(vocabulary, 9),
        Tokenizer(vocabulary, 10),
        Tokenizer(vocabulary, 9, lower_case=False),
        Tokenizer(vocabulary, 9, strip_accents=False),
        Tokenizer((*vocabulary, "more"), 9),
    ]
    assert len({tokenizer.digest for tokenizer in tokenizers}) == 5


def test_a_missing_or_damaged_file_is_named(tmp_path, vocabulary):
    with pytest.raises(TokenizerError, match=r"tokenizer_settings\.json"):
        Tokenizer.load(tmp_path)
    Tokenizer(vocabulary, 9).save(tmp_path)
    (tmp_path / "tokenizer_settings.json").write_text("{")
    with pytest.raises(TokenizerError, match="damaged"):
        Tokenizer.load(tmp_path)


def test_wrong_arguments_are_answered(vocabulary):
    with pytest.raises(ValueError, match=r"`max_tokens` must be >= 3\. Received: max_tokens=2"):
        Tokenizer(vocabulary, 2)
    with pytest.raises(TokenizerError, match=r"lacks \[CLS\]"):
        Tokenizer(["[PAD]", "[UNK]", "a"], 8)
    with pytest.raises(ValueError, match="at least one word"):
        Tokenizer.from_texts(["", "  "], 100, 8)
    with pytest.raises(ValueError, match="Received: vocabulary_size=10"):
        Tokenizer.from_texts(SENTENCES, 10, 8)


def test_a_learned_vocabulary_is_the_same_in_every_process():
    code = (
        "from mmer_tf.text.vocabulary import learn_vocabulary as learn;"
        "texts = [f'{a}{b} {b}{c}{a}' for a in 'abcdef' for b in 'uvwxyz' for c in 'äöüßéλ'];"
        "print(learn(texts, 150))"
    )
    runs = [subprocess.check_output([sys.executable, "-c", code]) for _ in range(3)]
    assert len(set(runs)) == 1


def test_a_learned_vocabulary_holds_what_it_should():
    entries = learn_vocabulary(["happy happy sad SAD once ++LAUGHTER++"], 100)
    assert entries[:8] == (*SPECIAL_TOKENS, *NON_VERBAL_TOKENS)
    assert {"happy", "sad"} <= set(entries)
    assert "once" not in entries  # seen once: spelled out of its characters
    assert "##e" in entries
    assert len(entries) == len(set(entries)) <= 100


def _published(folder: Path, **config) -> Path:
    words = ["hello", "world", "+", "laughter", "<", "sil", ">", "a", "##b", "cafe", "café"]
    unused = [f"[unused{k}]" for k in range(5)]
    entries = ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_non_verbal_tokens_take_unused_entries_of_a_pretrained_vocabulary(tmp_path):
    tokenizer = Tokenizer.from_pretrained(_published(tmp_path), 16)
    assert tokenizer.vocabulary_size == 21
    assert tokenizer.vocabulary[1:6] == (*NON_VERBAL_TOKENS, "[unused3]", "[unused4]")
    assert _ids(tokenizer, ["Hello ++LAUGHTER++ <sil> [unused0] ab"])[0][:4] == [7, 10, 3, 1]


def test_a_pretrained_folder_says_whether_it_is_cased(tmp_path):
    uncased = Tokenizer.from_pretrained(_published(tmp_path, do_lower_case=True), 8)
    assert uncased.tokenize_to_strings(_ids(uncased, ["HELLO Café"])[0])[1:3] == ["hello", "cafe"]
    accents = Tokenizer.from_pretrained(
        _published(tmp_path, do_lower_case=True, strip_accents=False), 8
    )
    assert accents.tokenize_to_strings(_ids(accents, ["HELLO Café"])[0])[1:3] == ["hello", "café"]
    cased = Tokenizer.from_pretrained(_published(tmp_path, do_lower_case=False), 8)
    assert cased.tokenize_to_strings(_ids(cased, ["HELLO café"])[0])[1:3] == ["[UNK]", "café"]


def test_a_tokenizer_json_alone_will_do(tmp_path):
    _published(tmp_path)
    theirs = BertTokenizer(vocab=str(tmp_path / "vocab.txt"), do_lower_case=False)
    theirs.save_pretrained(tmp_path / "json")
    for config in (tmp_path / "json" / "tokenizer_config.json", tmp_path / "json" / "vocab.txt"):
        config.unlink(missing_ok=True)
    ours = Tokenizer.from_pretrained(tmp_path / "json", 8)
    assert not ours.lower_case
    assert _ids(ours, ["Hello hello café"]) == theirs(["Hello hello café"])["input_ids"]


def test_what_is_no_wordpiece_tokenizer_is_said(tmp_path):
    with pytest.raises(TokenizerError, match="no WordPiece vocabulary"):
        Tokenizer.from_pretrained(tmp_path, 8)
    (tmp_path / "tokenizer.json").write_text("not json")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is not valid JSON"):
        Tokenizer.from_pretrained(tmp_path, 8)


def test_an_unreachable_hub_is_answered_with_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(HubError, match=r"hf download someone/bert.*give a folder") as caught:
        Tokenizer.from_pretrained("someone/bert", 8)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_said():
    with pytest.raises(HubError, match="folder /no/such/folder does not exist"):
        Tokenizer.from_pretrained("/no/such/folder", 8)
