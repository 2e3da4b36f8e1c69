"""Every shipped recipe: it loads, trains, saves, answers alike from disk, and predicts a file.

A new file in `configs/` is tested with no new code. At its trial size, on a synthetic tree.
"""

import csv
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mmer_tf import cli, predict, train
from mmer_tf.assembly import batch_features
from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.data.manifest import Dataset
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.deploy.classifier import SavedModelClassifier
from mmer_tf.deploy.lite_convert import convert
from mmer_tf.deploy.lite_export import LiteExport
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.deploy.tflite import LiteRTClassifier
from mmer_tf.evaluation.predictions import load_predictions
from mmer_tf.recipe import Recipe, load_recipe, shipped_recipes
from mmer_tf.testing import FAKE_CORPORA
from mmer_tf.types import SAMPLE_RATE

RECIPES = shipped_recipes()
WORDS = "Well, now."


def missing_extra(recipe: Recipe) -> str | None:
    """The extra that a recipe's feature needs and that is not installed."""
    wants = recipe.speech is not None and "lld" in recipe.speech.features
    return "opensmile" if wants and find_spec("opensmile") is None else None


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Fifteen tones of two speakers, with the features of all recipes."""
    folder = tmp_path_factory.mktemp("data")
    FAKE_CORPORA["synthetic"](folder / "speech")
    recipes = [load_recipe(file, tiny=True) for file in RECIPES.values()]
    features = [f for r in recipes if not missing_extra(r) for f in batch_features(r)]
    return prepare_dataset(
        "synthetic", folder / "speech", folder / "synthetic", features, workers=0
    )


@pytest.fixture(scope="module", params=RECIPES)
def name(request) -> str:
    if extra := missing_extra(load_recipe(RECIPES[request.param])):
        pytest.skip(f'needs pip install "mmer-tf[{extra}]"')
    return request.param


@pytest.fixture(scope="module")
def trained(name: str, data: Dataset, tmp_path_factory) -> Iterator[tuple[Path, Bundle]]:
    """The folder of a run of two steps, and the classifier as it was in memory."""
    runs, saved = tmp_path_factory.mktemp("runs"), []
    save = Bundle.save

    def remember(bundle: Bundle, folder: Path) -> None:
        saved.append(bundle)
        save(bundle, folder)

    arguments = ["--model", name, "--tiny", "--data", data.folder, "--runs", runs, "--run", name,
                 "--report", "figures", "train.epochs=1", "train.batch_size=2"]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bundle, "save", remember)
        assert cli.run(train.main, train.make_parser(), list(map(str, arguments))) == 0
    (bundle,) = saved
    return runs / name, bundle


def test_recipe_says_what_it_is_and_how_to_run_it(name: str):
    recipe = load_recipe(RECIPES[name])
    assert recipe.name == name
    assert recipe.summary and recipe.published
    header = RECIPES[name].read_text(encoding="utf-8").split("\nname:")[0]
    assert f"python -m mmer_tf.train --model {name}" in header
    assert all(line.startswith("#") for line in header.splitlines())


def test_two_steps_are_trained_in_each_stage(trained):
    run, bundle = trained
    with (run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    stages = [row.pop("stage", None) for row in rows]
    declared = [f"{n}-{stage.trains}" for n, stage in enumerate(bundle.recipe.stages, 1)]
    assert stages == (declared or [None])
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    split = json.loads((run / "split.json").read_text())
    assert len(split["train"]) > 2  # at two utterances a step
    report = json.loads((run / "report.json").read_text())
    assert report["n"] == len(split["test"]) == len(load_predictions(run / "predictions.csv").ids)


def test_answers_from_disk_are_those_from_memory(trained, data: Dataset):
    run, bundle = trained
    loaded = Bundle.load(run)
    assert loaded.recipe == bundle.recipe
    rows = [row for row in data.rows if row.speaker == "01F"][:3]
    voices = [decode(row.audio) for row in rows] if bundle.recipe.speech else None
    words = [row.transcript for row in rows] if bundle.recipe.text else None
    timings = [row.words for row in rows]
    for weight, stored in zip(bundle.model.weights, loaded.model.weights, strict=True):
        np.testing.assert_array_equal(weight, stored, err_msg=weight.path)
    before, after = (
        np.array(
            [list(answer.probabilities.values()) for answer in each.predict(voices, words, timings)]
        )
        for each in (bundle, loaded)
    )
    # Not bit by bit: TensorFlow optimises the graph of the shapes that a model has seen.
    np.testing.assert_allclose(before, after, atol=1e-6)
    table = load_predictions(run / "predictions.csv")
    expected = table.probabilities[[list(table.ids).index(row.id) for row in rows]]
    # A stored waveform is rounded to 16 bits, which shows in what is computed from it, and a
    # temperature below 1 magnifies every difference.
    hears_waveform = bundle.recipe.speech and "waveform" in bundle.recipe.speech.features
    tolerance = (2e-4 if hears_waveform else 1e-5) / min(1.0, bundle.temperature)
    np.testing.assert_allclose(after, expected, atol=tolerance)


def test_predicts_a_file(trained, data: Dataset, capsys):
    run, bundle = trained
    arguments = ["--run", run, "--json", data.rows[0].audio]
    arguments += ["--text", WORDS] if bundle.recipe.text else []
    assert cli.run(predict.main, predict.make_parser(), list(map(str, arguments))) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["label"] in data.labels
    assert sum(answer["probabilities"].values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_saved_model_answers_as_keras(trained, data: Dataset, tmp_path: Path):
    """Each alone; what a graph computes in another order differs by rounding alone."""
    run, _ = trained
    bundle = Bundle.load(run)
    served = SavedModelClassifier(export_saved_model(bundle, tmp_path / "emotion"))
    rows = data.rows[:3]
    voices = [decode(row.audio) for row in rows]
    words = [row.transcript for row in rows]
    if bundle.hears and bundle.reads:
        voices, words = [*voices, None, voices[0]], [*words, WORDS, ""]
    expected, answers = (
        [list(answer.probabilities.values()) for answer in each.predict(voices, words)]
        for each in (bundle, served)
    )
    np.testing.assert_allclose(answers, expected, atol=1e-5 / min(1.0, bundle.temperature))


WINDOW = 1.0
"""Seconds that the phone's files hear here."""

DIFFERENCES = {"none": 5e-4, "float16": 1e-2, "dynamic": 5e-2, "int8": 1e-1}
"""Of a probability, at most. In float, what remains are features that another order of sums puts on
the other side of a step of half precision, which at -20 is 1/64."""


def spoken(data: Dataset, bundle: Bundle) -> list[tuple[np.ndarray | None, str]]:
    """A whole window, a short clip; where the model has both modalities, each is absent once."""
    first, second = [row for row in data.rows if row.speaker == "01F"][:2]
    voice, short = decode(first.audio)[: int(WINDOW * SAMPLE_RATE)], decode(second.audio)[:5000]
    if bundle.recipe.speech and bundle.recipe.text:
        return [(voice, first.transcript), (short, ""), (None, second.transcript)]
    return [(voice, first.transcript), (short, second.transcript)]


def assert_lite_answers_alike(bundle: Bundle, data: Dataset, folder: Path, *quantisations: str):
    if "lld" in (tensor.name for tensor in bundle.model.inputs):
        with pytest.raises(BundleError, match="hears openSMILE's descriptors"):
            LiteExport(bundle, WINDOW)
        return
    examples = spoken(data, bundle)
    expected = bundle.predict(*zip(*examples, strict=True))
    with LiteExport(bundle, WINDOW, convert) as export:
        for quantisation in quantisations:
            file = folder / f"{quantisation}.tflite"
            export.write(file, quantisation, examples)
            found = LiteRTClassifier(file).predict(*zip(*examples, strict=True))
            tolerance = DIFFERENCES[quantisation] / min(1.0, bundle.temperature)
            for answer, other in zip(found, expected, strict=True):
                assert answer.probabilities == pytest.approx(other.probabilities, abs=tolerance)


def test_phone_answers_alike(trained, data: Dataset, tmp_path: Path):
    assert_lite_answers_alike(trained[1], data, tmp_path, "none", "dynamic")


@pytest.mark.slow
def test_phone_answers_alike_in_fewer_bits(trained, data: Dataset, tmp_path: Path):
    assert_lite_answers_alike(trained[1], data, tmp_path, "float16", "int8")
