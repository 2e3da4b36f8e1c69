"""Training: exact resume, best epoch, objective against scikit-learn and hand-computed values."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmer_tf.training.checkpoint import Checkpoint, CheckpointError
from mmer_tf.training.fit import TrainingError, fit
from mmer_tf.training.objective import (
    LabelCrossentropy,
    UnweightedAccuracy,
    WeightedAccuracy,
)
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.progress import EpochProgress
from mmer_tf.training.schedules import WarmupDecay

CLASSES = 3


def make_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = {"x": keras.Input((5,), name="x")}
    hidden = keras.layers.Dropout(0.3, seed=7)(
        keras.layers.Dense(8, activation="relu")(inputs["x"])
    )
    return keras.Model(inputs, {"logits": keras.layers.Dense(CLASSES)(hidden), "hidden": hidden})


def make_batches(seed: int, first_epoch: int = 0, epochs: int = 1) -> tf.data.Dataset:
    random = np.random.default_rng(seed)
    x = random.normal(size=(24, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0.5)
    ids = np.array([f"u{row:02d}" for row in range(24)])
    one = tf.data.Dataset.from_tensor_slices({"id": ids, "x": x, "label": y}).batch(8)
    return one.repeat(epochs - first_epoch)


def train(
    folder,
    epochs: int,
    learning_rate: float = 0.01,
    total: int = 4,
    data=None,
    steps_per_epoch: int = 3,
    **options,
):
    model = make_model()
    optimizer = make_optimizer(
        "adamw", learning_rate=learning_rate, steps=3 * total, schedule="cosine", warmup_share=0.2
    )
    history = fit(
        model,
        data or (lambda first: make_batches(0, first, epochs)),
        make_batches(1),
        num_classes=CLASSES,
        optimizer=optimizer,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        folder=folder,
        **options,
    )
    return model, history


def test_resumed_training_equals_the_uninterrupted_one(tmp_path):
    whole, history = train(tmp_path / "whole", epochs=4)
    train(tmp_path / "parts", epochs=2)
    resumed, resumed_history = train(tmp_path / "parts", epochs=4)
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [row["loss"] for row in history] == [row["loss"] for row in resumed_history]


def test_model_is_left_at_the_best_validation_epoch(tmp_path):
    model, history = train(tmp_path, epochs=6, learning_rate=0.3, total=6)
    best = max(history, key=lambda row: (row["val_ua"], -row["val_loss"]))
    batch = next(iter(make_batches(1).unbatch().batch(100)))
    y, logits = batch["label"].numpy(), model({"x": batch["x"]})["logits"]
    recall = [np.mean(np.argmax(logits, -1)[y == c] == c) for c in range(CLASSES) if (y == c).any()]
    assert np.mean(recall) == pytest.approx(best["val_ua"], abs=1e-6)
    assert [file.name for file in (tmp_path / "checkpoint").glob("best-*")] == [
        f"best-{int(best['epoch']):04d}.npz"
    ]


def test_patience_stops_and_stays_stopped(tmp_path):
    _, history = train(tmp_path, epochs=30, learning_rate=1e-9, total=30, patience=2)
    assert len(history) == 3
    _, again = train(tmp_path, epochs=30, learning_rate=1e-9, total=30, patience=2)
    assert again == history


def test_broken_loss_names_the_utterances_of_its_batch(tmp_path):
    told = "epoch 1, batch 2: it holds u08, u09, u10, u11, u12 and 3 more; try a lower train.learn"
    with pytest.raises(TrainingError, match=told):
        train(tmp_path, epochs=2, learning_rate=float("nan"))
    assert not (tmp_path / "checkpoint" / "last.npz").exists()


def test_broken_recording_is_named_and_keeps_the_last_checkpoint(tmp_path):
    """The loss breaks in the second epoch, at the third batch; then the recording is mended."""

    def broken(first: int) -> tf.data.Dataset:
        def spoil(number, batch):
            bad = (number + 3 * first == 5) & (batch["id"] == "u19")
            # Not NaN, and in one place: ReLU takes NaN for 0.
            loud = tf.constant([[np.inf, 0, 0, 0, 0]])
            return batch | {"x": tf.where(bad[:, None], loud, batch["x"])}

        return make_batches(0, first, 2).enumerate().map(spoil)

    told = "epoch 2, batch 3: the `x` of u19 is not finite; check these recordings"
    with pytest.raises(TrainingError, match=told):
        train(tmp_path, epochs=2, data=broken)
    whole, history = train(tmp_path / "whole", epochs=2)
    mended, mended_history = train(tmp_path, epochs=2)
    assert mended_history == history
    for a, b in zip(whole.weights, mended.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("learning_rate", "told"),
    [
        (1e30, "the loss on the validation utterances is not a number after the last update"),
        (float("nan"), "the last update of epoch 2 left weights that are not finite"),
    ],
)
def test_break_in_the_last_update_keeps_the_last_checkpoint(tmp_path, learning_rate, told):
    """With one batch an epoch, no training loss tells of it."""

    def one_batch(first: int) -> tf.data.Dataset:
        return make_batches(0, first, 2).unbatch().batch(24)

    train(tmp_path, epochs=1, data=one_batch, steps_per_epoch=1)
    kept = {file: file.read_bytes() for file in (tmp_path / "checkpoint").iterdir()}
    with pytest.raises(TrainingError, match=told):
        train(tmp_path, 2, learning_rate, data=one_batch, steps_per_epoch=1)
    assert {file: file.read_bytes() for file in (tmp_path / "checkpoint").iterdir()} == kept
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_damaged_checkpoint_is_told_with_the_folder_to_remove(tmp_path):
    train(tmp_path, epochs=1)
    last = tmp_path / "checkpoint" / "last.npz"
    whole = last.read_bytes()
    for part in (b"", whole[: len(whole) // 2], b"\0" * len(whole)):
        last.write_bytes(part)
        with pytest.raises(CheckpointError, match=r"last\.npz: damaged; remove the folder .*check"):
            Checkpoint(tmp_path / "checkpoint").restore(make_model())


def test_unweighted_accuracy_is_balanced_accuracy_of_the_classes_that_occur():
    random = np.random.default_rng(3)
    logits, labels = random.normal(size=(40, 5)).astype("float32"), random.integers(0, 4, 40)
    metric = UnweightedAccuracy(5)
    metric.update_state(labels[:15], logits[:15])
    metric.update_state(labels[15:], logits[15:])
    predicted = np.where(logits.argmax(-1) == 4, 4, logits.argmax(-1))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(labels, predicted)
    assert float(metric.result()) == pytest.approx(expected, abs=1e-6)
    accuracy = WeightedAccuracy()
    accuracy.update_state(labels, logits, sample_weight=np.arange(40.0))
    assert float(accuracy.result()) == pytest.approx(accuracy_score(labels, predicted))


def test_smoothed_crossentropy_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1]], "float32"))
    loss = LabelCrossentropy(label_smoothing=0.3)(np.array([0]), logits)
    expected = -(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1))
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_shares_of_votes_are_targets_whose_largest_is_the_label():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], "float32"))
    shares = np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], "float32")
    by_hand = -np.sum(shares * logits, axis=1).mean()
    assert float(LabelCrossentropy()(shares, logits)) == pytest.approx(by_hand, abs=1e-5)
    metric = UnweightedAccuracy(3)
    metric.update_state(shares, logits)
    assert float(metric.result()) == pytest.approx(0.5)


def test_trains_on_shares_and_validates_on_labels(tmp_path):
    def soft(batches):
        return batches.map(lambda b: {**b, "soft_label": tf.one_hot(b["label"], CLASSES)})

    _, hard_history = train(tmp_path / "hard", epochs=2)
    model = make_model()
    history = fit(
        model,
        lambda first: soft(make_batches(0, first, 2)),
        make_batches(1),
        num_classes=CLASSES,
        optimizer=make_optimizer(
            "adamw", learning_rate=0.01, steps=12, schedule="cosine", warmup_share=0.2
        ),
        epochs=2,
        steps_per_epoch=3,
        folder=tmp_path / "soft",
    )
    for hard, shares in zip(hard_history, history, strict=True):
        assert shares == pytest.approx(hard, abs=1e-6)


@pytest.mark.parametrize(
    ("decay", "expected"), [("constant", 2.0), ("linear", 1.0), ("cosine", 1.0)]
)
def test_schedule_rises_then_decays(decay, expected):
    schedule = WarmupDecay(2.0, steps=110, warmup_steps=10, decay=decay)
    assert float(schedule(0)) == pytest.approx(0.2)
    assert float(schedule(60)) == pytest.approx(expected, abs=1e-6)
    assert float(schedule(110)) == pytest.approx(2.0 if decay == "constant" else 0.0, abs=1e-6)
    with pytest.raises(ValueError, match="`warmup_steps` must be"):
        WarmupDecay(1.0, steps=5, warmup_steps=5)


def test_progress_marks_only_what_beats_the_epochs_before(capsys):
    console = Console(width=120)
    history = [{"val_ua": 0.6, "val_loss": 0.9}, {"val_ua": 0.5, "val_loss": 0.8}]
    logs = {"loss": 1.0, "ua": 0.3, "val_loss": 1.0}
    model = make_model()
    model.compile(make_optimizer("adamw", learning_rate=0.25, steps=1))
    with EpochProgress(console, epochs=5, steps=3, history=history) as progress:
        progress.set_model(model)
        for epoch, val_ua in ((2, 0.55), (3, 0.7), (4, 0.7)):
            progress.on_epoch_begin(epoch)
            progress.on_epoch_end(epoch, logs | {"val_ua": val_ua, "val_loss": 1 - epoch / 10})
    third, fourth, fifth = capsys.readouterr().out.splitlines()
    assert third.startswith("epoch   3/5") and not third.endswith("*")
    assert fourth.startswith("epoch   4/5") and fourth.endswith("*")
    assert fifth.endswith("*")  # of equal UA, by its lower loss, as the checkpoint has it
    assert "rate 2.5e-01" in third and "0:00:00 left" in fifth


def test_bar_ends_with_an_interrupted_training():
    console = Console(force_terminal=True, file=io.StringIO())
    with pytest.raises(KeyboardInterrupt), EpochProgress(console, epochs=1, steps=1) as progress:
        raise KeyboardInterrupt
    assert not progress.bar.live.is_started


def test_history_on_disk_is_mended_on_resuming(tmp_path):
    train(tmp_path, epochs=2)
    file = tmp_path / "history.csv"
    whole = file.read_text()
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    train(tmp_path, epochs=2)
    assert file.read_text() == whole
    train(tmp_path, epochs=3)
    assert file.read_text().startswith(whole)
