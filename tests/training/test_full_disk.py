"""A disk that fills up while a model trains: one sentence, and nothing that was good is lost."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.atomic import StorageError, replacing
from mmer_tf.training.fit import fit


def make_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    x = keras.Input((64,), name="x")
    hidden = keras.layers.Dropout(0.3, seed=7)(keras.layers.Dense(64)(x))
    return keras.Model([x], {"logits": keras.layers.Dense(2, name="logits")(hidden)})


def train(folder: Path, epochs: int, model: keras.Model | None = None):
    model = model or make_model()
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 64)).astype("float32")
    ids = np.array([f"u{row}" for row in range(8)])
    values = {"id": ids, "x": x, "label": (x[:, 0] > 0).astype("int32")}
    batches = tf.data.Dataset.from_tensor_slices(values).batch(4)
    history = fit(
        model,
        lambda first: batches.repeat(epochs - first),
        batches,
        num_classes=2,
        optimizer=keras.optimizers.Adam(0.01),
        epochs=epochs,
        steps_per_epoch=2,
        folder=folder,
    )
    return model, history


def test_full_disk_stops_the_training_and_leaves_the_last_epoch(tmp_path: Path, room_for):
    run = tmp_path / "run"
    train(run, epochs=2)
    last = run / "checkpoint" / "last.npz"
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    told = r"checkpoint/.*\.npz cannot be written, the disk is full .* start the same command again"
    with pytest.raises(StorageError, match=told), room_for(last.stat().st_size // 4):
        train(run, epochs=4)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before

    resumed, history = train(run, epochs=4)
    whole, whole_history = train(tmp_path / "whole", epochs=4)
    assert history == whole_history
    for weight, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_full_disk_leaves_the_model_as_it_was(tmp_path: Path, room_for):
    file = tmp_path / "model.keras"
    make_model().save(file)
    before = file.read_bytes()
    full = pytest.raises(StorageError, match=r"model\.keras cannot be written, the disk is full")
    with full, room_for(len(before) // 2), replacing(file) as temporary:
        make_model().save(temporary)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
