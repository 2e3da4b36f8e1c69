import pytest

from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.labels import every_label, parse_labels


def test_merging_takes_the_first_name_or_the_given_one():
    assert parse_labels("ang, hap+exc ,sad").classes == (
        ("ang", ("ang",)),
        ("hap", ("hap", "exc")),
        ("sad", ("sad",)),
    )
    assert parse_labels("joy=hap+exc,sad").names == ("joy", "sad")


def test_the_order_of_the_selection_is_the_order_of_the_classes():
    assert parse_labels("sad,ang").names == ("sad", "ang")
    assert every_label(["b", "a", "b"]).names == ("a", "b")


def test_votes_are_merged_selected_and_renormalised():
    selection = parse_labels("ang,hap+exc")
    votes = {"ang": 0.2, "hap": 0.1, "exc": 0.1, "fru": 0.6}
    assert selection.merged_votes(votes) == pytest.approx({"ang": 0.5, "hap": 0.5})
    assert selection.merged_votes({"fru": 1.0}) is None


@pytest.mark.parametrize("text", ["", "ang,,sad", "hap+", "=hap", "+"])
def test_malformed_selections_are_answered_with_an_example(text):
    with pytest.raises(CorpusError, match="must read like"):
        parse_labels(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("ang,hap+ang", "label 'ang' is given twice"), ("x=ang,x=sad", "class 'x' is given twice")],
)
def test_repeated_names_are_named(text, message):
    with pytest.raises(CorpusError, match=message):
        parse_labels(text)


def test_unknown_labels_are_answered_with_the_known_ones():
    with pytest.raises(CorpusError, match=r"unknown label 'jyo'.*Known: ang, joy"):
        parse_labels("ang,jyo").check(["joy", "ang"])
