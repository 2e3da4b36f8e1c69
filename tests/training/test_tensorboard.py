"""What TensorBoard reads of a training, by TensorBoard's own reader."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from mmer_tf.training.tensorboard import (
    TrainingBoard,
    flat_hyperparameters,
    show_outcome,
)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def values(events: EventAccumulator, tag: str) -> list[float]:
    return [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]


def train(folder: Path, stop_after: int = 9) -> None:
    """Nine epochs of ten seconds on a clock of their own; pictures take one."""
    now = [0.0]

    def draw():
        now[0] += 1.0
        return {"picture": Figure((1, 1), dpi=100)}

    callback = TrainingBoard(folder, epochs=9, draw=draw, clock=lambda: now[0])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.25))
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(stop_after):
        now[0] += 10.0
        model.stop_training = epoch + 1 == stop_after
        logs = {"loss": 2.0 - epoch, "ua": 0.5, "val_loss": 3.0 - epoch, "val_ua": 0.1 * epoch}
        callback.on_epoch_end(epoch, logs)
    callback.on_train_end()


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    train(folder)
    return folder


def test_curves_have_kerass_names(board: Path):
    train, validation = read(board / "train"), read(board / "validation")
    tags = {"epoch_loss", "epoch_ua"}
    assert set(train.Tags()["tensors"]) == tags | {"epoch_learning_rate"}
    assert set(validation.Tags()["tensors"]) == tags | {"picture"}
    assert values(train, "epoch_loss") == [2.0 - epoch for epoch in range(9)]
    assert values(train, "epoch_learning_rate") == [0.25] * 9
    np.testing.assert_allclose(values(validation, "epoch_ua"), 0.1 * np.arange(9), rtol=1e-6)


def test_pictures_take_a_twentieth_of_the_time(board: Path, tmp_path: Path):
    """One second each, at 10, 21, 42, 63 and 84 seconds of training, and after the last epoch."""
    events = read(board / "validation").Tensors("picture")
    assert [event.step + 1 for event in events] == [1, 2, 4, 6, 8, 9]
    width, height, png = tf.make_ndarray(events[0].tensor_proto)
    assert png.startswith(b"\x89PNG") and (width, height) == (b"100", b"100")
    train(tmp_path, stop_after=3)  # by patience: the last is drawn all the same
    events = read(tmp_path / "validation").Tensors("picture")
    assert [event.step + 1 for event in events] == [1, 2, 3]


def test_hyperparameters_stand_beside_the_best_validation_ua(tmp_path: Path):
    fields = {"train": {"epochs": 3, "schedule": "cosine", "xla": False}, "layers": (1, 2)}
    history = [
        {"epoch": 1, "val_ua": 0.4, "val_loss": 1.0},
        {"epoch": 2, "val_ua": 0.7, "val_loss": 0.9},
        {"epoch": 3, "val_ua": 0.7, "val_loss": 1.1},
    ]
    show_outcome(tmp_path, flat_hyperparameters(fields), history)
    events = read(tmp_path)
    assert values(events, "best_validation_ua") == [pytest.approx(0.7)]
    assert events.Tensors("best_validation_ua")[0].step == 1
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["train.epochs"].number_value == 3
    assert told["train.schedule"].string_value == "cosine"
    assert not told["train.xla"].bool_value
    assert told["layers"].string_value == "1,2"
