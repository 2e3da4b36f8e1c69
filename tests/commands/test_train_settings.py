"""Settings of the train command that change how it computes, and what it shows meanwhile."""

import csv
import dataclasses
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from workplace import FIGURES, command, command_of_a_stranger, read_json

from mmer_tf import fitting
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import read_dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.evaluation.evaluate import predict_ids
from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import load_predictions
from mmer_tf.evaluation.snapshot import Snapshot
from mmer_tf.recipe import load_recipe
from mmer_tf.training.fit import fit

DATA = ("--data", "data/tones")
WORDS = ("--config", "words.yaml", *DATA)


def train_in(precision: str, own_runs: Path, monkeypatch, *changes: str) -> set[str]:
    """Train the words into `half`; the precisions that layers of the trained model compute in."""
    computed: set[str] = set()

    def remember(model, *arguments, **options):
        computed.update(layer.compute_dtype for layer in model.layers if layer.weights)
        return fit(model, *arguments, **options)

    monkeypatch.setattr(fitting, "fit", remember)
    typed = (*WORDS, "--runs", own_runs, "--run", "half", "--no-tensorboard", *FIGURES)
    assert command("train", *typed, f"train.precision={precision}", *changes) == 0
    return computed


def check_float32_bundle(run: Path, shared: Path) -> None:
    """It answers as when it was saved, and has the weights that validation chose."""
    bundle = Bundle.load(run)
    policies = {layer.dtype_policy.name for layer in bundle.model._flatten_layers()}
    assert policies == {"float32"}
    dataset, split = read_dataset(shared / "data" / "tones"), read_json(run / "split.json")
    stored = load_predictions(run / "predictions.csv")
    again = predict_ids(bundle, dataset, split["test"])
    np.testing.assert_allclose(again.probabilities, stored.probabilities, atol=2e-6)
    raw = dataclasses.replace(bundle, temperature=1.0)
    validation = score(predict_ids(raw, dataset, split["validation"]))
    with (run / "history.csv").open(newline="") as stream:
        losses = [float(row["val_loss"]) for row in csv.DictReader(stream)]
    assert min(abs(validation["loss"] - loss) for loss in losses) < 0.02
    assert max(losses) - min(losses) > 1e-4  # it was trained


@pytest.mark.slow
def test_mixed_precision_leaves_a_float32_bundle(
    shared: Path, workplace: Path, own_runs: Path, monkeypatch
):
    computed = train_in("mixed_bfloat16", own_runs, monkeypatch, "train.accumulation=2")
    assert computed == {"bfloat16", "float32"}  # logits stay in float32
    check_float32_bundle(own_runs / "half", shared)
    assert not (own_runs / "half" / "tensorboard").exists()


@pytest.mark.slow
def test_float16_with_xla_leaves_a_float32_bundle(
    shared: Path, workplace: Path, own_runs: Path, monkeypatch
):
    computed = train_in("mixed_float16", own_runs, monkeypatch, "train.xla=true")
    assert computed == {"float16", "float32"}
    check_float32_bundle(own_runs / "half", shared)


@pytest.mark.slow
def test_two_deterministic_processes_have_the_same_bits(shared: Path, tmp_path: Path):
    """Voice and words, all of dropout, SpecAugment and waveform changes drawn."""
    typed = ("--model", "gmu", "--tiny", *DATA, "--deterministic", "--run", "r", *FIGURES,
             "train.epochs=2", "train.batch_size=4", "train.waveform_augment.max_gain_db=6",
             "train.spec_augment.time_masks=1")  # fmt: skip
    weights = []
    for number in range(2):
        runs = tmp_path / str(number)
        done = command_of_a_stranger("train", *typed, "--runs", runs, cwd=shared)
        assert done.returncode == 0, done.stderr
        assert load_recipe(runs / "r" / "recipe.yaml").train.deterministic
        model = keras.saving.load_model(runs / "r" / "model.keras", compile=False)
        weights.append(model.get_weights())
        history = (runs / "r" / "history.csv").read_bytes()
    for one, other in zip(*weights, strict=True):
        assert one.tobytes() == other.tobytes()
    assert (tmp_path / "0" / "r" / "history.csv").read_bytes() == history


@pytest.mark.slow
def test_learning_rate_is_tested_on_the_training_split_alone(
    workplace: Path, own_runs: Path, monkeypatch, capsys
):
    read: set[str] = set()

    def remember(data, ids, **options):
        read.update(ids)
        return make_dataset(data, ids, **options)

    monkeypatch.setattr(fitting, "make_dataset", remember)
    typed = (*WORDS, "--runs", own_runs, "--run", "mine")
    assert command("train", *typed, "--find-lr") == 0
    shown = capsys.readouterr().out
    (folder,) = own_runs.iterdir()
    assert folder.name == "mine-find-lr"
    assert {file.name for file in folder.iterdir()} == {"learning_rate.json", "learning_rate.png"}
    found = read_json(folder / "learning_rate.json")
    (override,) = re.findall(r"try (train\.learning_rate=\S+)", shown)
    assert found["override"] == override
    recipe = load_recipe(workplace / "words.yaml", [override])
    assert recipe.train.learning_rate == pytest.approx(found["valley"], rel=0.06)
    rows = read_dataset(workplace / "data" / "tones").rows
    assert {row.speaker for row in rows if row.id in read} == {"c"}


@pytest.mark.slow
def test_snapshot_shows_confusions_and_attention(both_run: Path, shared: Path):
    dataset = read_dataset(shared / "data" / "tones")
    ids = read_json(both_run / "split.json")["validation"]
    snapshot = Snapshot(Bundle.load(both_run), dataset, ids)
    pictures = snapshot()
    shown = [name.removeprefix("attention/") for name in pictures if "/" in name]
    assert set(pictures) == {"confusion_matrix", *(f"attention/{id}" for id in shown)}
    rows = {row.id: row for row in dataset.rows}
    assert {rows[id].label for id in shown} == set(dataset.labels) and set(shown) <= set(ids)
    counts = [int(text.get_text()) for text in pictures["confusion_matrix"].axes[0].texts]
    assert sum(counts) == len(ids)
    for number in (1, 2):
        bias = 9.0 * np.eye(4)[number]
        snapshot.bundle.model.get_layer("logits").bias.assign(bias)
        counts = [int(text.get_text()) for text in snapshot()["confusion_matrix"].axes[0].texts]
        assert sum(counts[number::4]) == len(ids)  # all are taken for that class
