import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from mmer_tf.text.normalise import clean
from mmer_tf.text.sentences import NON_VERBAL_TOKENS
from mmer_tf.text.stop_words import STOP_WORDS


@pytest.mark.parametrize(
    ("transcript", "cleaned"),
    [
        ("That's", "That is"),
        ("I've got it", "I have got it"),
        ("I’m sorry, we’ll see.", "I am sorry, we will see."),
        ("THAT'S ENOUGH, don't!", "THAT IS ENOUGH, do not!"),
        ("'That's what he said'", "'That is what he said'"),
        ("Gonna be fine, 'cause it's late", "going to be fine, because it is late"),
        ("++GARBAGE++", ""),
        ("++GARBAGE++ Yes.++GARBAGE++No.", "Yes. No."),
        ("a++BREATHING++b <sil>  c", "a ++BREATHING++ b <sil> c"),
        ("[LAUGHTER] Yeah. [GARBAGE]", "++LAUGHTER++ Yeah."),
        (" two\twords\n ", "two words"),
        ("", ""),
    ],
)
def test_sentences(transcript, cleaned):
    assert clean(transcript).lower() == cleaned.lower()


@pytest.mark.parametrize(
    "transcript",
    [
        "Das will sie am Mittwoch abgeben.",
        "Heute abend könnte ich es ihm sagen.",
        "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück, im Haus von Jan.",
        "Ich hab's gesehen, wie geht's?",
        "L'amore è un'altra cosa: dov'è? Com'è? Un po' d'acqua, d'accordo.",
        "O'Brien ain't here at five o'clock.",
        "Say the word jar.",
    ],
)
def test_what_is_no_english_contraction_stays(transcript):
    assert clean(transcript) == transcript


@pytest.mark.parametrize(
    ("transcript", "cleaned"),
    [
        ("That's fine, I've seen the children crying.", "fine see child cry"),
        ("The DOGS were running; mice, too!", "dog run mouse"),
        ("Laura's houses <sil> ++LAUGHTER++ ++GARBAGE++", "laura house <sil> ++LAUGHTER++"),
        ("I have it.", ""),
    ],
)
def test_lemmas(transcript, cleaned):
    assert clean(transcript, style="lemmas") == cleaned


@given(st.lists(st.sampled_from([*NON_VERBAL_TOKENS, "I'm", "a", " ", "'", "++", "<", "\n", "é"])))
def test_cleaning_twice_changes_nothing(pieces):
    once = clean("".join(pieces))
    assert clean(once) == once
    assert once == " ".join(once.split())


def test_stop_words_are_those_of_scikit_learn():
    assert STOP_WORDS == ENGLISH_STOP_WORDS


def test_an_unknown_style_is_named():
    with pytest.raises(ValueError, match="'lemma'"):
        clean("a", style="lemma")


def test_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys, mmer_tf.text.normalise;"
        "sys.exit(bool({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
