"""The phone's tokenizer gives the ids of training's."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmer_tf.deploy.device_text import DeviceText
from mmer_tf.text.expansions import EXPANSIONS
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer

TEXTS = (
    "I can't believe it. <sil> Well, it’s gonna be DON'T!",
    "++GARBAGE++ [LAUGHTER] ha ++LAUGHTER++ha<sil><sil>",
    "[CLS] a typed [SEP] and [MASK] ##ing",
    "É à la façon naïve, Straße, İstanbul, ΣΟΦΟΣ ΟΔΟΣ",
    "日本語テスト 中文 ﬁ ǅ",
    f"{'x' * 100} {'y' * 101} {'é' * 100}",
    "word " * 300,
    "in\u200bvisible soft\u00adhyphen a\x85b\x1cc \ue000\uf8ff \ufffd",
    "",
    "  \u3000 ",
    "++GARBAGE++",
)
SETTINGS = [{"lower_case": True}, {"lower_case": False}]


def make_pair(lower_case: bool) -> tuple[Tokenizer, DeviceText]:
    texts = [*map(clean, TEXTS), "<sil> ++LAUGHTER++", "abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer.from_texts(texts, 400, 48, lower_case)
    device = DeviceText(
        tokenizer.vocabulary, EXPANSIONS, 48, tokenizer.lower_case, tokenizer.strip_accents
    )
    return tokenizer, device


@pytest.fixture(scope="module", params=[True, False], ids=["lower case", "cased"])
def pair(request) -> tuple[Tokenizer, DeviceText]:
    return make_pair(request.param)


def differing(pair: tuple[Tokenizer, DeviceText], texts: list[str]) -> list[str]:
    tokenizer, device = pair
    token_ids, token_mask = (
        tensor.numpy() for tensor in tokenizer([clean(text) for text in texts])
    )
    different = []
    for text, ids, mask in zip(texts, token_ids, token_mask, strict=True):
        found, has_word = device(text)
        assert has_word == bool(clean(text))
        different += [] if found.tolist() == [ids[mask].tolist()] else [text]
    return different


def test_ids_are_those_of_training(pair):
    assert differing(pair, list(TEXTS)) == []


def test_non_verbal_tokens_are_one_token_each(pair):
    tokenizer, device = pair
    token_ids, _ = device("well<sil>++LAUGHTER++")
    tokens = [tokenizer.vocabulary[one] for one in token_ids[0]]
    assert tokens[0] == "[CLS]" and tokens[-3:] == ["<sil>", "++LAUGHTER++", "[SEP]"]


def test_unassigned_characters_are_read_as_in_training():
    assert differing(PAIR, ["x\u0378y", "\u2fe0", "a\u05ffb c"]) == []


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
def test_ids_of_any_text_are_those_of_training(texts):
    # Of the characters that Unicode 8 knows; see `text.tokenizer` about younger ones.
    assert (
        differing(PAIR, [text for text in texts if max(text, default="") < "\u3000"] or [""]) == []
    )


PAIR = make_pair(True)


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_ids_of_real_comments_are_those_of_training(pair, goemotions_root: Path, every: int):
    lines = (goemotions_root / "train.tsv").read_text(encoding="utf-8").split("\n")
    texts = [line.split("\t")[0] for line in lines if line][::every]
    assert len(texts) > 2000
    assert differing(pair, texts) == []
