"""A bundle: the way back from disk, and answers from the raw voice and words."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_bundle import LABELS, SENTENCES, SPEECH, TEXT, make_bundle, noise

from mmer_tf.assembly import build_model
from mmer_tf.audio.decode import decode
from mmer_tf.bundle import FORMAT_VERSION, Bundle, BundleError
from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.evaluation.evaluate import predict_ids
from mmer_tf.feasibility import usable_rows
from mmer_tf.hub import HubError
from mmer_tf.recipe import RecipeError, load_recipe, recipe_from_mapping, shipped_recipes
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE, Utterance, Word


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(speech=SPEECH, text=TEXT, fusion="gmu")


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "small"
    bundle.save(path)
    return path


@pytest.fixture
def own_folder(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(folder, tmp_path / "own")


def assert_same(answers, others) -> None:
    for answer, other in zip(answers, others, strict=True):
        for one, two in zip(vars(answer).values(), vars(other).values(), strict=True):
            np.testing.assert_equal(one, two)


CASES = (
    [noise(0.4, 1), noise(0.9, 2), None, noise(0.02, 3), noise(3.3, 4)],
    ["Never again.", "", "Good morning!", "zyx 9", "I can't believe it."],
)
"""Both modalities, no words, no voice, a clip of two frames with unknown words, a long clip."""


def test_answers_come_back_from_disk(bundle: Bundle, folder: Path):
    loaded = Bundle.load(folder)
    assert (loaded.recipe, loaded.labels, loaded.folder) == (bundle.recipe, LABELS, folder)
    assert loaded.tokenizer.digest == bundle.tokenizer.digest
    assert_same(loaded.predict(*CASES), bundle.predict(*CASES))


def test_saved_folder_holds_no_temporary_file(folder: Path):
    assert {file.name for file in folder.iterdir()} == {
        "recipe.yaml", "labels.json", "tokenizer", "model.keras", "calibration.json",
        "trained_on.json",
    }  # fmt: skip


def test_temperature_and_training_ids_come_back(bundle: Bundle, tmp_path: Path):
    ids = {"model": ("a", "b"), "vocabulary": ("a",)}
    dataclasses.replace(bundle, temperature=2.0, trained_on=ids).save(tmp_path)
    loaded = Bundle.load(tmp_path)
    assert {what: tuple(found) for what, found in loaded.trained_on.items()} == ids
    (plain,) = bundle.predict(None, ["Never again."])
    (warm,) = loaded.predict(None, ["Never again."])
    logits = np.log(list(plain.probabilities.values()))
    expected = np.exp(logits / 2) / np.exp(logits / 2).sum()
    np.testing.assert_allclose(list(warm.probabilities.values()), expected, rtol=1e-5)


def test_answer_names_the_most_probable_class(bundle: Bundle):
    answers = bundle.predict(*CASES)
    for answer in answers:
        assert tuple(answer.probabilities) == LABELS
        assert sum(answer.probabilities.values()) == pytest.approx(1.0)
        assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
    assert len({answer.probabilities["angry"] for answer in answers}) == len(answers)
    both = answers[0]
    assert both.speech_attention.sum() == pytest.approx(1.0, abs=1e-5)
    assert both.text_attention.sum() == pytest.approx(1.0, abs=1e-5)
    assert both.gate.ndim == 1 and ((both.gate > 0) & (both.gate < 1)).all()


def test_answer_does_not_depend_on_neighbours(bundle: Bundle):
    together = bundle.predict(*CASES)
    alone = [bundle.predict([voice], [words])[0] for voice, words in zip(*CASES, strict=True)]
    assert_same(together, alone)
    backwards = bundle.predict(CASES[0][::-1], CASES[1][::-1])
    assert_same(together, backwards[::-1])


PICTURE = {"encoder": "vit", "feature": "mel_image", "options": {
    "patch_size": 32, "hidden_dim": 8, "num_layers": 1, "num_heads": 2,
    "intermediate_dim": 8}}  # fmt: skip
TIMINGS = [
    [Word("Never", 0.0, 0.1), Word("again.", 0.1, 0.4)],
    [],
    [],
    [],
    [
        Word("I", 0.9, 1.2),
        Word("can't", 1.2, 1.5),
        Word("believe", 1.5, 2.0),
        Word("it.", 2.0, 2.2),
    ],
]


def assert_many_as_each(bundle: Bundle) -> None:
    """In batches of any size, whatever else is in them."""
    single = [list(one.probabilities.values()) for one in bundle.predict(*CASES, TIMINGS)]
    assert np.ptp(single, axis=0).max() > 1e-3
    for size in (2, 32):
        many = bundle.predict_probabilities(*CASES, TIMINGS, batch_size=size)
        assert many.shape == (len(CASES[0]), len(LABELS))
        np.testing.assert_allclose(many, single, atol=1e-5)


def test_probabilities_of_many_are_those_of_each(bundle: Bundle):
    assert_many_as_each(bundle)


def test_probabilities_of_many_with_word_timings():
    assert_many_as_each(make_bundle(speech=SPEECH, text=TEXT, fusion="hierarchical"))


@pytest.mark.slow
def test_probabilities_of_many_with_pictures():
    assert_many_as_each(make_bundle(speech=PICTURE, text=TEXT, fusion="concat"))


def test_many_are_refused_like_one(bundle: Bundle):
    with pytest.raises(BundleError, match="nothing to classify"):
        bundle.predict_probabilities()
    with pytest.raises(BundleError, match="neither a recording nor a transcript"):
        bundle.predict_probabilities([noise(0.1, 1), None], ["", ""])


def test_one_modality_may_be_missing(bundle: Bundle):
    voices, words = CASES
    assert_same(bundle.predict(voices[:2]), bundle.predict(voices[:2], ["", ""]))
    assert_same(bundle.predict(transcripts=words[:1]), bundle.predict([None], words[:1]))
    (heard,) = bundle.predict(voices[:1])
    (read,) = bundle.predict(transcripts=words[:1])
    assert not heard.text_attention.any() and not read.speech_attention.any()


def test_long_clip_is_judged_by_its_middle(bundle: Bundle):
    clip = noise(3.0, 5)
    middle = clip[SAMPLE_RATE : 2 * SAMPLE_RATE]
    assert_same(bundle.predict([clip]), bundle.predict([middle]))
    changed = clip.copy()
    changed[:SAMPLE_RATE], changed[2 * SAMPLE_RATE :] = 0.5, -0.5
    assert_same(bundle.predict([changed]), bundle.predict([middle]))


def test_files_give_what_the_shards_give(bundle: Bundle, tmp_path: Path):
    """Within 1e-5: a batch pads, a bundle does not.

    A clip beyond `max_seconds` within 1e-2: the pipeline cuts 100 frames a second out of those of
    the whole clip, the bundle cuts the samples, which make two frames fewer.
    """
    rows = []
    for number, (voice, words) in enumerate(zip(*CASES, strict=True)):
        name = f"{number}.wav" if voice is not None else ""
        if name:
            soundfile.write(tmp_path / name, voice, SAMPLE_RATE)
        rows.append({"id": str(number), "file": name, "text": words, "label": LABELS[number % 3]})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = prepare_dataset("table", tmp_path, tmp_path / "data", ["log_mel"], workers=0)
    stored = predict_ids(bundle, tmp_path / "data", list(data.records))
    files = [decode(tmp_path / row["file"]) if row["file"] else None for row in rows]
    answers = bundle.predict(files, [row["text"] for row in rows])
    direct = np.array([list(answer.probabilities.values()) for answer in answers])
    assert list(stored.ids) == [row["id"] for row in rows]
    np.testing.assert_allclose(stored.probabilities[:4], direct[:4], atol=1e-5)
    np.testing.assert_allclose(stored.probabilities[4], direct[4], atol=1e-2)


def test_one_modality_alone_refuses_the_other():
    voice = make_bundle(speech=SPEECH)
    assert voice.predict([noise(0.3, 1)])[0].text_attention is None
    with pytest.raises(BundleError, match="hears only the voice"):
        voice.predict(transcripts=["Never again."])
    words = make_bundle(text=TEXT)
    assert words.predict(transcripts=["Never again."])[0].speech_attention is None
    with pytest.raises(BundleError, match="reads only the words"):
        words.predict([noise(0.3, 1)])


def test_nothing_is_no_utterance(bundle: Bundle):
    with pytest.raises(BundleError, match="nothing to classify"):
        bundle.predict()
    with pytest.raises(BundleError, match="neither a recording nor a transcript"):
        bundle.predict([None], [""])


def test_recipe_that_cannot_be_built_is_named(bundle: Bundle):
    for options in ({"unit": 3}, {"units": 0}, {"units": "many"}):
        wrong = dataclasses.replace(
            bundle.recipe, speech=dataclasses.replace(bundle.recipe.speech, options=options)
        )
        with pytest.raises(RecipeError, match="recipe small: "):
            build_model(wrong, 3, bundle.tokenizer.vocabulary_size, seed=0)


def describe(run: Path, text: str) -> None:
    (run / "labels.json").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: shutil.rmtree(run), "no such run"),
        (lambda run: (run / "model.keras").unlink(), "start its training again"),
        (lambda run: (run / "labels.json").unlink(), "start its training again"),
        (
            lambda run: describe(run, f'{{"format_version": {FORMAT_VERSION + 1}, "labels": []}}'),
            f"written in format {FORMAT_VERSION + 1}, this version reads up to {FORMAT_VERSION}",
        ),
        (lambda run: describe(run, '{"labels": '), "labels.json: damaged"),
        (lambda run: describe(run, "[]"), "labels.json: damaged"),
        (
            lambda run: (run / "model.keras").write_bytes((run / "model.keras").read_bytes()[:999]),
            "model.keras: damaged or of another version",
        ),
        (lambda run: (run / "model.keras").write_bytes(b""), "model.keras: damaged"),
    ],
)
def test_what_is_no_finished_run_is_told(own_folder: Path, spoil, message: str):
    spoil(own_folder)
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.load(own_folder)
    assert str(own_folder) in str(caught.value)


STORED = {
    "encoder": "blstm", "options": {"units": 4},
    "upstream": {"encoder": "bert", "weights": "weights", "layers": 1, "stored": True},
}  # fmt: skip
KEPT = {"encoder": "bert", "source": "/nowhere/weights", "sha256": "0" * 64, "layers": [1],
        "settings": {}, "cleaning": "sentences", "max_tokens": 128}  # fmt: skip


@pytest.fixture(scope="module")
def stored() -> Bundle:
    """A model on hidden states of a BERT that is no longer there."""
    recipe = recipe_from_mapping({"name": "stored", "summary": "", "text": STORED})
    tokenizer = Tokenizer.from_texts(SENTENCES, 60, max_tokens=16)
    model = build_model(recipe, len(LABELS), tokenizer.vocabulary_size, 3, {"bert_states": (1, 8)})
    return Bundle(recipe, LABELS, tokenizer, model, {"bert_states": KEPT})


def test_encoders_of_stored_states_come_back_from_disk(stored: Bundle, tmp_path: Path):
    stored.save(tmp_path / "run")
    loaded = Bundle.load(tmp_path / "run")
    assert loaded.encoders == {"bert_states": KEPT} and loaded.features == ("bert_states",)
    file = tmp_path / "run" / "encoders.json"
    for text in ("{", "[]", "[1]", '{"bert_states": 3}', '{"bert_states": {"encoder": "bert"}}'):
        file.write_text(text)
        with pytest.raises(BundleError, match=r"encoders.json: damaged; copy the run again"):
            Bundle.load(tmp_path / "run")
    file.unlink()
    with pytest.raises(BundleError, match=r"lacks encoders.json; copy the run again"):
        Bundle.load(tmp_path / "run")


def test_encoders_are_looked_for_where_the_run_says(stored: Bundle, tmp_path: Path, monkeypatch):
    """And not where the recipe does, unless the caller names another place."""
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubError, match=r"SHA-256 00000000….*/nowhere/weights.*--weights bert=DIR"):
        stored.predict(transcripts=["Never again."])
    moved = stored.with_weights({"bert": "weights"})
    assert moved.encoders["bert_states"] == KEPT | {"source": str(tmp_path / "weights")}
    with pytest.raises(HubError, match=r"lacks config.json, model.safetensors.*bert=DIR names"):
        moved.predict(transcripts=["Never again."])
    with pytest.raises(BundleError, match=r"--weights hubert=.*; it reads those of: bert"):
        stored.with_weights({"hubert": "weights"})
    assert stored.encoders["bert_states"] == KEPT


def test_summary_of_several_runs_is_no_bundle(tmp_path: Path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(BundleError, match="sums up several runs; name one of them"):
        Bundle.load(tmp_path)


def test_a_model_of_one_modality_leaves_out_what_it_cannot_read(tmp_path: Path):
    def utterance(name: str, audio: bool, text: str, duration: float | None) -> Utterance:
        return Utterance(name, "sad", Path(name) if audio else None, text, duration=duration)

    rows = (
        utterance("both", True, "well", 3.0),
        utterance("voice", True, " ", 20.0),
        utterance("words", False, "well", None),
    )
    counts = ("options", "families", "dropped", "rejected", "conversions")
    nothing = {name: {} for name in counts}
    dataset = Dataset(
        folder=tmp_path, name="table", root=tmp_path, labels=("sad",), rows=rows,
        records={}, digest="", **nothing,
    )  # fmt: skip
    recipes = shipped_recipes()
    found = {}
    for name in ("gmu", "gmu_speech", "gmu_text"):
        kept, notes = usable_rows(load_recipe(recipes[name]), dataset)
        found[name] = ([row.id for row in kept.rows], notes)
    cropped = "clips cropped to 15 s (`data.max_seconds`): 1"
    left_out = "utterances left out because they have no {}: 1"
    assert found == {
        "gmu": (["both", "voice", "words"], [cropped]),
        "gmu_speech": (["both", "voice"], [left_out.format("recording"), cropped]),
        "gmu_text": (["both", "words"], [left_out.format("transcript")]),
    }
    with pytest.raises(DatasetError, match="no utterance with a transcript"):
        usable_rows(load_recipe(recipes["gmu_text"]), dataclasses.replace(dataset, rows=rows[1:2]))
