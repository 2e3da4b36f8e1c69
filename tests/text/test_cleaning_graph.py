"""Cleaning in a graph against cleaning in Python."""

import re

import contractions
import pytest
import tensorflow as tf

from mmer_tf.text.cleaning_graph import CleaningGraph
from mmer_tf.text.expansions import EXPANSIONS, expand
from mmer_tf.text.normalise import clean
from mmer_tf.text.sentences import LOOKED_UP

TEXTS = (
    "",
    " \t\n",
    "It's\u00a0[LAUGHTER] gonna be ++GARBAGE++'Don't<sil>x  IT’s",
    "'cause o'clock Ain't y’all O'Brien rock'n'roll ThAT's 'em",
    "\x1fa\x85b\u2028c\n++BREATHING++",
    "Das weiß ich nicht. Ça va? 我不知道 égonna gonnaé _gotta gotta's",
)


@pytest.fixture(scope="module")
def clean_in_graph():
    graph = tf.function(CleaningGraph(), input_signature=[tf.TensorSpec((None,), tf.string)])
    return lambda texts: [text.decode() for text in graph(tf.constant(texts)).numpy()]


def test_graph_cleans_as_python_does(clean_in_graph):
    assert clean_in_graph(TEXTS) == [clean(text) for text in TEXTS]


def test_graph_cleans_real_comments_as_python_does(clean_in_graph, goemotions_root):
    lines = (goemotions_root / "test.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines]
    assert sum(text != clean(text) for text in texts) > 1_000
    assert clean_in_graph(texts) == [clean(text) for text in texts]


def test_contractions_are_written_out_as_their_package_does(goemotions_root):
    text = (goemotions_root / "train.tsv").read_text(encoding="utf-8")
    words = {match.group() for match in LOOKED_UP.finditer(text)}
    kept = {word for word in words if re.fullmatch("o['’]clock|ain['’]t", word.lower())}
    assert len(words) > 500
    for word in words - kept:
        assert expand(word) == contractions.fix(word, leftovers=False, slang=False)


def test_every_contraction_is_looked_up():
    assert all(LOOKED_UP.fullmatch(word) for word in EXPANSIONS)
