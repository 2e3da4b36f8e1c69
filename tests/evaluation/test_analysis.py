"""What a classifier did inside, against its weights and its answers for raw recordings."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.neighbors import NearestNeighbors

from mmer_tf.assembly import build_model
from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.evaluation.analysis import (
    AnalysisError,
    analyse,
    choose_examples,
    gate_statistics,
)
from mmer_tf.evaluation.attention import join_pieces, spread_over_tokens, stretches
from mmer_tf.evaluation.evaluate import predict_ids
from mmer_tf.evaluation.explainer import Explainer, InsideRow
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.evaluation.projection import choose_points, project
from mmer_tf.recipe import recipe_from_mapping
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE, Utterance, Word

LABELS = ("angry", "happy", "sad")
WORDS = ("never", "again", "morning", "please", "yellow", "answer", "astonishing")
SPEECH = {"encoder": "blstm", "options": {"units": 4, "frame_stack": 4}}
TEXT = {"encoder": "bert", "options": {
    "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}}  # fmt: skip
MAX_SECONDS = 0.8
SILENT, WORDLESS, LONG = "u03", "u04", "u05"


def make_bundle(**fields) -> Bundle:
    """Untrained, with weights as large as trained ones."""
    values = {"name": "small", "summary": "", "data": {"max_seconds": MAX_SECONDS}}
    recipe = recipe_from_mapping(values | fields)
    tokenizer = Tokenizer.from_texts([" ".join(WORDS[:5])] * 3, 60, 16) if recipe.text else None
    size = tokenizer.vocabulary_size if tokenizer else None
    model = build_model(recipe, len(LABELS), size, seed=3)
    draw = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    if recipe.speech:
        statistics = np.full(64, -6.0, "float32"), np.full(64, 3.0, "float32")
        model.get_layer("standardise_log_mel").set_statistics(*statistics)
    return Bundle(recipe, LABELS, tokenizer, model)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    """Nine utterances: one has no recording, one no words, one is longer than the crop."""
    root = tmp_path_factory.mktemp("analysis")
    rows = []
    for number in range(9):
        random = np.random.default_rng(number)
        name = f"u{number:02d}"
        row = {"id": name, "label": LABELS[number % 3], "speaker": "ab"[number % 2]}
        row["text"] = "" if name == WORDLESS else " ".join(random.choice(WORDS, 4))
        if name != SILENT:
            seconds = 1.2 if name == LONG else 0.3 + number / 30
            wave = random.normal(0, 0.1, round(seconds * SAMPLE_RATE))
            soundfile.write(root / f"{name}.wav", wave, SAMPLE_RATE)
            row["file"] = f"{name}.wav"
        rows.append(row)
    lines = (json.dumps(row) + "\n" for row in rows)
    (root / "table.jsonl").write_text("".join(lines), encoding="utf-8")
    return prepare_dataset("table", root, root / "data", ["log_mel"], workers=0)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(speech=SPEECH, text=TEXT, fusion="gmu")


@pytest.fixture(scope="module")
def predictions(bundle, dataset) -> Predictions:
    return predict_ids(bundle, dataset, list(dataset.records))


@pytest.fixture(scope="module")
def analysis(bundle, dataset, predictions):
    ids = list(dataset.records)
    return analyse(bundle, dataset, predictions, ids, [LONG, SILENT, WORDLESS, "u08"])


def raw_answers(bundle: Bundle, dataset: Dataset) -> dict:
    """The bundle's answers for the recordings and transcripts themselves."""
    waveforms = [decode(row.audio) if row.audio else None for row in dataset.rows]
    answers = bundle.predict(waveforms, [row.transcript for row in dataset.rows])
    return {row.id: answer for row, answer in zip(dataset.rows, answers, strict=True)}


def test_absent_modalities_have_no_vector(analysis):
    blocks = {name: set(block.ids) for name, block in analysis.blocks.items()}
    everything = {f"u{number:02d}" for number in range(9)}
    assert blocks == {
        "temporal": everything - {SILENT},
        "contextual": everything - {WORDLESS},
        "fusion": everything,
    }
    for block in analysis.blocks.values():
        assert [LABELS[target] for target in block.targets] == [
            LABELS[int(id[1:]) % 3] for id in block.ids
        ]
        assert block.points.shape == (len(block.ids), 2) and np.isfinite(block.points).all()


def test_blocks_by_the_weights_that_follow_them(analysis, bundle, predictions):
    """GMU by its formula on the two vectors gives the third, and that gives the answers."""
    vectors = {
        name: dict(zip(block.ids, block.vectors, strict=True))
        for name, block in analysis.blocks.items()
    }
    both = sorted(set(vectors["temporal"]) & set(vectors["contextual"]))
    speech, text, fused = (
        np.stack([vectors[name][id] for id in both])
        for name in ("temporal", "contextual", "fusion")
    )
    unit = bundle.model.get_layer("fusion")

    def dense(layer, values):
        kernel, bias = layer.get_weights()
        return values @ kernel + bias

    gate = 1 / (1 + np.exp(-dense(unit.gate, np.concatenate([speech, text], axis=1))))
    heard, read = np.tanh(dense(unit.speech, speech)), np.tanh(dense(unit.text, text))
    np.testing.assert_allclose(fused, gate * heard + (1 - gate) * read, atol=1e-5)

    logits = dense(bundle.model.get_layer("logits"), analysis.blocks["fusion"].vectors)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, predictions.probabilities, atol=1e-5)

    for label, row in analysis.gate.items():
        own = [one.mean() for id, one in zip(both, gate, strict=True) if _label(id) == label]
        assert row["n"] == len(own)
        assert row["mean"] == pytest.approx(np.mean(own), abs=1e-5)
        assert row["deviation"] == pytest.approx(np.std(own, ddof=1), abs=1e-5)
    assert sum(row["n"] for row in analysis.gate.values()) == len(both) == 7


def _label(id: str) -> str:
    return LABELS[int(id[1:]) % 3]


def test_examples_are_those_of_the_raw_recordings(analysis, bundle, dataset):
    answers = raw_answers(bundle, dataset)
    assert [one.id for one in analysis.examples] == [LONG, SILENT, WORDLESS, "u08"]
    for example in analysis.examples:
        answer = answers[example.id]
        assert bool(example.voice) == (example.id != SILENT)
        assert bool(example.words) == (example.id != WORDLESS)
        if example.id == LONG:
            continue  # its last frame is cut with the waveform, or sees what lies behind the cut
        assert (example.true, example.predicted) == (_label(example.id), answer.label)
        assert example.probability == pytest.approx(max(answer.probabilities.values()), abs=0.01)
        if example.voice:
            weights = [one.weight for one in example.voice]
            np.testing.assert_allclose(weights, answer.speech_attention, atol=2e-3)
            assert [one.start for one in example.voice[:3]] == pytest.approx([0, 0.04, 0.08])
            seconds = len(decode(_row(dataset, example.id).audio)) / SAMPLE_RATE
            assert example.voice[-1].end == pytest.approx(seconds)
            assert len(example.waveform) == round(seconds * SAMPLE_RATE)
        if example.words:
            token_ids, _ = bundle.tokenizer([example.transcript])
            names = bundle.tokenizer.tokenize_to_strings(token_ids.numpy()[0])
            expected = join_pieces(names, answer.text_attention)
            assert [word for word, _ in example.words] == [word for word, _ in expected]
            np.testing.assert_allclose(
                [weight for _, weight in example.words],
                [weight for _, weight in expected],
                atol=2e-3,
            )
        both = example.id not in (SILENT, WORDLESS)
        assert (example.gate is not None) == both
        if both:
            assert example.gate == pytest.approx(answer.gate.mean(), abs=2e-3)


def _row(dataset: Dataset, id: str) -> Utterance:
    return next(row for row in dataset.rows if row.id == id)


def test_the_middle_of_a_long_recording_is_shown(analysis, dataset):
    (example,) = (one for one in analysis.examples if one.id == LONG)
    whole = decode(_row(dataset, LONG).audio)
    first = round(0.2 * SAMPLE_RATE)
    np.testing.assert_array_equal(
        example.waveform, whole[first : first + round(MAX_SECONDS * SAMPLE_RATE)]
    )
    assert example.voice[-1].end == pytest.approx(MAX_SECONDS)


def test_strangers_cannot_be_explained(bundle, dataset, predictions):
    with pytest.raises(AnalysisError, match=r"'nobody'.* 9 utterances"):
        analyse(bundle, dataset, predictions, list(dataset.records), ["nobody"])


def test_a_tiny_split_of_one_modality_whose_recordings_are_gone(dataset, tmp_path: Path):
    voice = make_bundle(speech=SPEECH, pooling="mean")
    ids = ["u00", "u01", "u02"]
    answers = predict_ids(voice, dataset, ids)
    rows = tuple(
        dataclasses.replace(row, audio=tmp_path / "gone.wav") if row.id in ids else row
        for row in dataset.rows
    )
    found = analyse(voice, dataclasses.replace(dataset, rows=rows), answers, ids)
    assert set(found.blocks) == {"temporal"} and found.gate == {}
    assert found.blocks["temporal"].points is None
    assert any("3 utterances are too few" in note for note in found.notes)
    assert {one.id for one in found.examples} <= set(ids)
    for one in found.examples:
        assert one.waveform is None and not one.words
        assert any(f"recording of {one.id} cannot be read" in note for note in found.notes)
        assert len({weight.weight for weight in one.voice}) == 1  # the mean weighs all alike


def test_words_of_a_fusion_by_words_stand_at_their_times(dataset):
    words = make_bundle(speech=SPEECH, text=TEXT, fusion="hierarchical")
    timings = (Word("never", 0.0, 0.2), Word("again", 0.2, 0.5), Word("cut", 0.9, 1.0))
    utterance = Utterance("u", "sad", transcript="never again cut", words=timings)
    explainer = Explainer(words, dataclasses.replace(dataset, rows=(utterance,)))
    inputs = {
        "has_speech": np.True_,
        "has_text": np.True_,
        "transcript": b"never again cut",
        "word_spans": np.array([[0, 20], [20, 50], [-1, -1], [-1, -1]]),
    }
    row = InsideRow("u", inputs, {"word_attention": np.array([0.25, 0.75, 0.0, 0.0])})
    answers = Predictions(np.array(["u"]), np.array([2]), np.array([[0.1, 0.2, 0.7]]), LABELS)
    shown = explainer.explain(row, answers, 0)
    assert shown.words == (("never", 0.25), ("again", 0.75))
    times = [(one.start, one.end, one.weight) for one in shown.voice]
    np.testing.assert_allclose(times, [(0, 0.2, 0.25), (0.2, 0.5, 0.75)])
    lost = InsideRow("u", inputs | {"word_spans": np.full((1, 2), -1)}, row.outputs)
    assert explainer.explain(lost, answers, 0).words == ()


def test_examples_are_the_surest_right_ones_of_each_class_then_wrong_ones():
    probabilities = np.array(
        [[0.9, 0.1, 0], [0.8, 0.2, 0], [0, 0.7, 0.3], [0.6, 0.4, 0], [0.5, 0.3, 0.2], [0.7, 0.3, 0]]
    )
    ids = np.array(list("abcdef"))
    answers = Predictions(ids, np.array([0, 0, 1, 1, 2, 2]), probabilities, LABELS)
    assert choose_examples(answers) == ("a", "c", "f", "d")


def test_gate_of_one_utterance_has_no_deviation():
    statistics = gate_statistics({"a": 0.2, "b": 0.4, "c": 0.9}, {"a": 0, "b": 0, "c": 2}, LABELS)
    assert statistics == {
        "angry": {"mean": pytest.approx(0.3), "deviation": pytest.approx(0.02**0.5), "n": 2},
        "sad": {"mean": 0.9, "deviation": 0.0, "n": 1},
    }


def test_pieces_of_words_and_steps_of_tokens():
    assert join_pieces(["##ing", "a"], [0.5, 0.5]) == (("##ing", 0.5), ("a", 0.5))
    weights = spread_over_tokens(np.array([0.2, 0.3, 0.5]), tokens=5, per_step=2)
    np.testing.assert_allclose(weights, [0.1, 0.1, 0.15, 0.15, 0.5])
    ends = [one.end for one in stretches(np.ones(3), 0.04, 0.1)]
    assert ends == pytest.approx([0.04, 0.08, 0.1])


def test_projection_keeps_clusters_apart_and_repeats():
    random = np.random.default_rng(0)
    centres = np.repeat(np.eye(3) * 20, 20, axis=0)
    vectors = np.concatenate([centres, np.zeros((60, 5))], axis=1) + random.normal(size=(60, 8))
    points = project(vectors)
    np.testing.assert_array_equal(points, project(vectors))
    _, neighbours = NearestNeighbors(n_neighbors=4).fit(points).kneighbors(points)
    assert (neighbours // 20 == np.arange(60)[:, None] // 20).all()
    assert project(vectors[:4]) is None and project(np.ones((9, 3))) is None
    assert project(vectors[:5, :1]).shape == (5, 2)
    assert len(choose_points(2000)) == len(set(choose_points(2000))) == 1000
    np.testing.assert_array_equal(choose_points(3), [0, 1, 2])
