"""Trainings in a row: what is handed over, what stands still, what a kill leaves unchanged."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from mmer_tf.models.encoders.encoder import Encoder
from mmer_tf.training.fit import fit
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.stages import StageError, frozen_encoders, hand_over

CLASSES = 3
BRANCHES = {"speech": 4, "text": 6}
"""Width of the input of each branch."""


@keras.saving.register_keras_serializable("tests")
class DropAndProject(Encoder):
    """An encoder with dropout, which runs in training alone."""

    inputs = "frames"

    def __init__(self, units: int = 5, **kwargs):
        super().__init__(**kwargs)
        self.dropout = keras.layers.Dropout(0.4, seed=3, name="dropout")
        self.project = keras.layers.Dense(units, name="project")

    def build(self, shape):
        self.project.build(shape)

    def call(self, vector, training=None):
        return self.project(self.dropout(vector, training=training))


def make_model(*branches: str, seed: int = 0, **options) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = {name: keras.Input((BRANCHES[name],), name=name) for name in branches}
    encoded = [
        keras.layers.Dense(5, name=f"{name}_pooling")(
            DropAndProject(name=f"{name}_encoder", **options)(inputs[name])
        )
        for name in branches
    ]
    vector = encoded[0] if len(encoded) == 1 else keras.layers.Concatenate()(encoded)
    return keras.Model(inputs, {"logits": keras.layers.Dense(CLASSES, name="logits")(vector)})


def make_batches(seed: int, first: int = 0, epochs: int = 1) -> tf.data.Dataset:
    random = np.random.default_rng(seed)
    values = {name: random.normal(size=(24, dim)) for name, dim in BRANCHES.items()}
    label = (values["speech"][:, 0] > 0).astype("int32") + (values["text"][:, 0] > 0)
    values = {name: v.astype("float32") for name, v in values.items()} | {"label": label}
    return tf.data.Dataset.from_tensor_slices(values).batch(8).repeat(epochs - first)


def train(model: keras.Model, folder, epochs: int = 3, **options) -> list[dict]:
    return fit(
        model,
        lambda first: make_batches(0, first, epochs),
        make_batches(1),
        num_classes=CLASSES,
        optimizer=make_optimizer("adamw", learning_rate=0.05, steps=3 * 3),
        epochs=epochs,
        steps_per_epoch=3,
        folder=folder,
        **options,
    )


def weights_of(model: keras.Model, layer: str) -> list[np.ndarray]:
    return [np.copy(weight) for weight in model.get_layer(layer).get_weights()]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# === What is handed over ===


def test_layers_that_both_have_are_copied_by_name():
    alone, whole = make_model("speech", seed=1), make_model("speech", "text", seed=2)
    text, logits = weights_of(whole, "text_encoder"), weights_of(whole, "logits")
    assert hand_over(alone, whole) == ["speech_encoder", "speech_pooling"]
    for layer in ("speech_encoder", "speech_pooling"):
        assert_same(weights_of(whole, layer), weights_of(alone, layer))
    assert_same(weights_of(whole, "text_encoder"), text)
    assert_same(weights_of(whole, "logits"), logits)


def test_classifier_is_not_copied_even_where_it_fits():
    source, target = make_model("speech", seed=1), make_model("speech", seed=2)
    logits = weights_of(target, "logits")
    assert "logits" not in hand_over(source, target)
    assert_same(weights_of(target, "logits"), logits)


def test_encoder_must_fit():
    with pytest.raises(StageError, match="speech_encoder of a stage is nowhere"):
        hand_over(make_model("speech"), make_model("text"))
    with pytest.raises(StageError, match="speech_encoder of a stage is in another size"):
        hand_over(make_model("speech", units=7), make_model("speech", "text"))
    inputs = keras.Input((4,))
    no_encoder = keras.Model(inputs, keras.layers.Dense(3, name="speech_pooling")(inputs))
    with pytest.raises(StageError, match="no encoder that the whole model has"):
        hand_over(no_encoder, make_model("speech"))


# === What stands still ===


@pytest.mark.slow
def test_frozen_encoders_stand_still_without_dropout_and_thaw_again(tmp_path):
    model = make_model("speech", "text")
    model.get_layer("text_encoder").frozen = True  # as a recipe may declare
    before = {layer: weights_of(model, layer) for layer in ("speech_encoder", "text_encoder")}
    pooling = weights_of(model, "speech_pooling")
    batch = {name: np.ones((2, dim), "float32") for name, dim in BRANCHES.items()}
    with frozen_encoders(model):
        calm = [model(batch, training=True)["logits"].numpy() for _ in range(2)]
        np.testing.assert_array_equal(*calm)
        train(model, tmp_path)
    for layer, weights in before.items():
        assert_same(weights_of(model, layer), weights)
    assert (weights_of(model, "speech_pooling")[0] != pooling[0]).any()

    assert not model.get_layer("speech_encoder").frozen
    assert model.get_layer("text_encoder").frozen
    one, other = (model(batch, training=True)["logits"].numpy() for _ in range(2))
    assert (one != other).any()
    train(model, tmp_path / "all")
    assert (weights_of(model, "speech_encoder")[0] != before["speech_encoder"][0]).any()
    assert_same(weights_of(model, "text_encoder"), before["text_encoder"])


def test_encoders_thaw_after_a_failed_training():
    model = make_model("speech")
    with pytest.raises(KeyboardInterrupt), frozen_encoders(model):
        raise KeyboardInterrupt
    assert model.get_layer("speech_encoder").trainable


# === What each leaves, and a kill in between ===


def train_in_stages(folder, last_epochs: int = 3) -> tuple[keras.Model, list[dict]]:
    model = make_model("speech", "text")
    with frozen_encoders(model):
        rows = train(model, folder, stage="1-head")
    return model, [*rows, *train(model, folder, last_epochs, stage="2-all", earlier=rows)]


def test_stages_keep_folders_and_one_history(tmp_path, capsys):
    model = make_model("speech", "text")
    first = train(model, tmp_path, epochs=2, stage="1-head", console=Console(width=60))
    rows = [*first, *train(model, tmp_path, epochs=1, stage="2-all", earlier=first)]
    assert {file.name for file in (tmp_path / "checkpoint").iterdir()} == {"1-head", "2-all"}
    for stage in ("1-head", "2-all"):
        assert (tmp_path / "checkpoint" / stage / "last.npz").is_file()
    with (tmp_path / "history.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    assert next(iter(written[0])) == "stage"
    places = [("1-head", "1"), ("1-head", "2"), ("2-all", "1")]
    assert [(row["stage"], row["epoch"]) for row in written] == places
    assert [float(row["loss"]) for row in written] == [row["loss"] for row in rows]
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  loss")[0] for line in shown] == [
        f"1-head  epoch   {epoch}/2" for epoch in (1, 2)
    ]


@pytest.mark.slow
def test_stages_resumed_are_the_stages_uninterrupted(tmp_path):
    """Stopped after an epoch of the second; the first is not trained again."""
    whole, rows = train_in_stages(tmp_path / "whole")
    train_in_stages(tmp_path / "parts", last_epochs=1)
    file = tmp_path / "parts" / "checkpoint" / "1-head" / "last.npz"
    finished = file.stat().st_mtime_ns
    resumed, resumed_rows = train_in_stages(tmp_path / "parts")
    assert file.stat().st_mtime_ns == finished
    assert resumed_rows == rows
    assert_same(whole.get_weights(), resumed.get_weights())
    assert (tmp_path / "whole" / "history.csv").read_bytes() == (
        tmp_path / "parts" / "history.csv"
    ).read_bytes()
