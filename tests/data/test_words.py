"""Every token finds the timed word that it came from."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.data.augment import WaveformAugmentation
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.order import draw_seed
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.data.words import align, crop_spans, word_inputs, words_of_tokens
from mmer_tf.testing import fake_synthetic
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import Utterance, Word

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<sil>", "++LAUGHTER++", ".", ",", "i", "do", "not"),
    *("know", "it", "is", "fine", "walk", "walking", "##ed", "the", "door", "child", "No", "no"),
)
SENTENCE = "I don't know, it's fine."
WORDS = ("I", "don't", "know,", "it's", "fine.")


def timed(*texts: str) -> tuple[Word, ...]:
    return tuple(Word(text, 0.2 * k, 0.2 * k + 0.2) for k, text in enumerate(texts))


def owners_of(transcript: str, words, cleaning="sentences", max_tokens=16, lower_case=True):
    tokenizer = Tokenizer(VOCABULARY, max_tokens, lower_case)
    utterance = Utterance("u", "sad", transcript=transcript, words=timed(*words))
    (row,) = words_of_tokens([utterance], tokenizer, cleaning)
    assert row.shape == (max_tokens,) and row.dtype == np.int32
    assert row[0] == -1
    return row[1:].tolist()


def padded(*owners: int, to: int = 15) -> list[int]:
    return [*owners, *[-1] * (to - len(owners))]


def test_contractions_belong_to_the_word_that_is_said():
    # i | do not | know , | it is | fine . [SEP]
    assert owners_of(SENTENCE, WORDS) == padded(0, 1, 1, 2, 2, 3, 3, 4, 4)


def test_pieces_of_a_word_belong_together():
    assert owners_of("Walked. The walking", ("Walked.", "The", "walking")) == padded(0, 0, 0, 1, 2)


def test_words_as_an_aligner_writes_them():
    words = ("I", "DON'T", "KNOW", "IT'S", "FINE")
    expected = padded(0, 1, 1, 2, -1, 3, 3, 4, -1)  # nobody says the comma
    assert owners_of(SENTENCE, words) == expected


@pytest.mark.parametrize("lower_case", [False, True])
def test_capitals_do_not_matter(lower_case):
    owners = owners_of("the door is fine", ("THE", "DOOR", "IS", "FINE"), lower_case=lower_case)
    assert owners == padded(0, 1, 2, 3)
    assert owners_of("No, no.", ("NO", "NO"), lower_case=lower_case) == padded(0, -1, 1)


def test_words_that_are_left_out_have_no_token():
    words = ("The", "children", "walked.")
    assert owners_of("The children walked.", words, "lemmas") == padded(1, 2)  # child walk


def test_tokens_without_a_timed_word():
    assert owners_of("++LAUGHTER++ no door", ("door",)) == padded(-1, -1, 0)
    assert owners_of("no <sil> door", ("no", "door")) == padded(0, -1, 1)
    assert owners_of("no door", ()) == padded()


def test_an_aligner_that_heard_something_else():
    assert owners_of("the door is fine", ("the", "child", "is", "fine")) == padded(0, -1, 2, 3)
    assert owners_of("the door", ("no", "the", "the", "door")) == padded(2, 3)


def test_a_transcript_cut_at_the_longest_row():
    assert owners_of(SENTENCE, WORDS, max_tokens=5) == padded(0, 1, 1, to=4)
    capitals = ("I", "DON'T", "KNOW", "IT'S", "FINE")
    assert owners_of(SENTENCE, capitals, max_tokens=7) == padded(0, 1, 1, 2, -1, to=6)
    assert owners_of("walked", ("walked",), max_tokens=3) == [0, -1]


def test_align_takes_what_it_can_get():
    assert align([], [[1]]) == []
    assert align([1, 2], []) == [-1, -1]
    assert align([1, 2, 3], [[1, 2], [], [3]]) == [0, 0, 2]
    assert align([8, 1, 2, 9], [[1], [2]]) == [-1, 0, 1, -1]


def test_crop():
    spans = tf.ragged.constant(
        [[[0, 50], [90, 110], [150, 180], [220, 250]], [], [[0, 50]]],
        tf.int32,
        inner_shape=(2,),
    )
    moved = crop_spans(spans, tf.constant([1.0, 0.5, 0.0]), 1.0).numpy()
    outside = [-1, -1]
    assert moved.tolist() == [
        [outside, [0, 10], [50, 80], outside],
        [outside] * 4,
        [[0, 50], outside, outside, outside],
    ]
    nothing = crop_spans(spans[1:2], tf.constant([0.0]), 1.0)
    assert nothing.numpy().tolist() == [[outside]]


def test_one_utterance():
    tokenizer = Tokenizer(VOCABULARY, 16)
    found = word_inputs(timed(*WORDS), SENTENCE, tokenizer, start=0.3, max_seconds=0.5)
    assert found["word_spans"].tolist() == [[[-1, -1], [0, 10], [10, 30], [30, 50], [-1, -1]]]
    assert found["word_of_token"].tolist() == [[-1, 0, 1, 1, 2, 2, 3, 3, 4, 4, -1]]
    unknown = word_inputs((), "no", tokenizer)
    assert {name: array.tolist() for name, array in unknown.items()} == {
        "word_spans": [[[-1, -1]]],
        "word_of_token": [[-1, -1, -1]],
    }
    assert all(array.dtype == np.int32 for array in (*found.values(), *unknown.values()))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A synthetic tree with contractions, its tokens stored; and the folder of their tokenizer."""
    folder = tmp_path_factory.mktemp("spoken")
    fake_synthetic(folder / "tree")
    manifest = folder / "tree" / "synthetic.jsonl"
    header, *lines = manifest.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        if number % 2:
            row["transcript"] = SENTENCE
            row["words"] = [[word, 0.05 * k, 0.05 * k + 0.05] for k, word in enumerate(WORDS)]
    rows[0] |= {"transcript": "no", "words": []}
    manifest.write_text("\n".join([header, *map(json.dumps, rows)]) + "\n")
    bert = folder / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("".join(f"{entry}\n" for entry in VOCABULARY))
    settings = {"tokenizer": bert, "max_tokens": 16, "workers": 0}
    features = ("waveform",)
    return prepare_dataset(
        "synthetic", folder / "tree", folder / "data", features, **settings
    ), bert


@pytest.mark.parametrize("stored", [False, True], ids=["on the fly", "stored tokens"])
def test_batches(spoken: tuple[Dataset, Path], stored: bool):
    dataset, bert = spoken
    tokenizer = Tokenizer.from_pretrained(bert, 16 if stored else 12)
    ids = [row.id for row in dataset.rows]
    batches = make_dataset(
        dataset,
        ids,
        ("word_of_token", "word_spans"),
        dataset.labels,
        batch_size=4,
        training=False,
        tokenizer=tokenizer,
    )
    assert batches.element_spec["word_of_token"] == tf.TensorSpec((None, None), tf.int32)
    seen = set()
    for batch in batches.as_numpy_iterator():
        assert batch["word_of_token"].shape == batch["token_ids"].shape
        assert batch["word_spans"].shape[1] >= 1
        assert (batch["word_of_token"][~batch["token_mask"]] == -1).all()
        for row, text in enumerate(batch["transcript"]):
            owners = batch["word_of_token"][row][batch["token_mask"][row]].tolist()
            spans = batch["word_spans"][row]
            if text == b"I do not know, it is fine.":
                assert owners == [-1, 0, 1, 1, 2, 2, 3, 3, 4, 4, -1]
                assert spans[:5].tolist() == [[0, 5], [5, 10], [10, 15], [15, 20], [20, 25]]
            elif text == b"no":
                assert owners == [-1, -1, -1] and (spans == -1).all()
            else:  # Well, now.
                assert owners == [-1, 0, -1, 1, -1, -1]
            seen.add(text)
    assert len(seen) == 3


def test_timings_move_with_a_shifted_recording(spoken: tuple[Dataset, Path]):
    dataset, _ = spoken
    rows = {row.id: row for row in dataset.rows}
    heard = []
    for training in (False, True):
        (batch,) = make_dataset(
            dataset,
            list(rows),
            ("waveform", "word_spans"),
            dataset.labels,
            batch_size=len(rows),
            training=training,
            epochs=1,
            waveform_augment={"max_shift_seconds": 0.2},
        ).as_numpy_iterator()
        heard.append(
            {
                identifier.decode(): (batch["waveform"][i, : batch["num_samples"][i]], spans)
                for i, (identifier, spans) in enumerate(
                    zip(batch["id"], batch["word_spans"], strict=True)
                )
            }
        )
    before, after = heard
    shifts = []
    for identifier, row in rows.items():
        seed = draw_seed(0, tf.constant(0, tf.int64), zlib.crc32(identifier.encode()))
        seed = tf.random.experimental.stateless_fold_in(seed, 2)
        original = before[identifier][0]
        moved, samples = WaveformAugmentation(max_shift_seconds=0.2)(tf.constant(original), seed)
        waveform, spans = after[identifier]
        np.testing.assert_array_equal(waveform, moved)
        shifts.append(int(samples))
        last = len(original) / 160
        for word, found in zip(row.words, spans, strict=False):
            first, end = (100 * moment + int(samples) / 160 for moment in (word.start, word.end))
            if end > 1 and first < last - 1:
                np.testing.assert_allclose(found, np.clip([first, end], 0, last), atol=1.01)
            elif end < -1 or first > last + 1:
                assert found.tolist() == [-1, -1]
        assert (spans[len(row.words) :] == -1).all()
    assert min(shifts) < 0 < max(shifts)


def test_words_of_tokens_want_a_tokenizer(spoken: tuple[Dataset, Path]):
    dataset, _ = spoken
    ids = [dataset.rows[0].id]
    with pytest.raises(DatasetError, match="`word_of_token` needs a tokenizer"):
        make_dataset(dataset, ids, ("word_of_token",), dataset.labels, batch_size=1, training=False)
