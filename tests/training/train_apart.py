"""A training for a process of its own: `train_apart.py HOW FOLDER [key=value …]` prints its curve.

HOW is a name that `make_distribution` knows, several joined by commas, or `keras`. With
`devices=2` the machine has two logical CPUs.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf

from mmer_tf.training.distribute import Distribution, make_distribution
from mmer_tf.training.fit import fit
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.precision import computing_in, scale_loss

ROWS = (7, 7, 4, 1)
"""Utterances in the batches of an epoch: two replicas share seven and one."""

BATCH_SIZE = max(ROWS)
CLASSES = 3


@keras.saving.register_keras_serializable("tests")
class Inside(keras.layers.Layer):
    """A layer whose own layer gets another name in each copy."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(6)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


def make_model(dropout: float = 0.0) -> keras.Model:
    """Hears five numbers a frame, under a mask."""
    keras.utils.set_random_seed(1)
    frames = keras.Input((None, 5), name="frames")
    mask = keras.Input((None,), dtype="bool", name="frames_mask")
    hidden = Inside(name="inside")(keras.layers.GlobalAveragePooling1D()(frames, mask=mask))
    hidden = keras.layers.Activation("tanh")(hidden)
    # Frozen, since its moments are those of a replica's own rows.
    hidden = keras.layers.BatchNormalization(trainable=False)(hidden)
    hidden = keras.layers.Dropout(dropout, seed=7)(hidden)
    logits = keras.layers.Dense(CLASSES, name="logits", dtype="float32")(hidden)
    return keras.Model([frames, mask], {"logits": logits, "hidden": hidden})


def make_batches(seed: int, first: int = 0, epochs: int = 1) -> tf.data.Dataset:
    """Batches of the data contract, with weights, in an order that the epoch decides."""

    def draw(epoch: int):
        for number in np.random.default_rng(epoch).permutation(len(ROWS)):
            random = np.random.default_rng([seed, number])
            rows, steps = ROWS[number], 3 + number
            frames = random.normal(size=(rows, steps, 5)).astype("float32")
            label = (frames[:, 0, 0] > 0).astype("int32") + (frames[:, 0, 1] > 0.5)
            yield {
                "id": np.array([f"u{number}-{row}" for row in range(rows)], object),
                "frames": frames,
                "frames_mask": np.arange(steps) < random.integers(1, steps + 1, (rows, 1)),
                "label": label,
                "sample_weight": random.uniform(0.5, 1.5, rows).astype("float32"),
            }

    def generate():
        for epoch in range(first, epochs):
            yield from draw(epoch)

    signature = {
        "id": tf.TensorSpec([None], tf.string),
        "frames": tf.TensorSpec([None, None, 5], tf.float32),
        "frames_mask": tf.TensorSpec([None, None], tf.bool),
        "label": tf.TensorSpec([None], tf.int32),
        "sample_weight": tf.TensorSpec([None], tf.float32),
    }
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    cardinality = tf.data.experimental.assert_cardinality((epochs - first) * len(ROWS))
    return dataset.apply(cardinality)


def train(
    distribution: Distribution,
    folder: Path,
    *,
    dropout: float = 0.0,
    accumulation: int = 1,
    precision: str = "float32",
    epochs: int = 4,
    last_epoch: int | None = None,
) -> tuple[list[Mapping], list[np.ndarray]]:
    """History and weights, with clipping, decay and a schedule over `epochs`."""
    with computing_in(precision):
        model = make_model(dropout)
    slow = next(v.path for v in model.variables if v.path.startswith("inside/dense"))
    with distribution.scope():
        optimizer = make_optimizer(
            "adamw",
            learning_rate=0.05,
            steps=epochs * len(ROWS),
            schedule="cosine",
            weight_decay=0.1,
            clip_norm=0.3,
            rate_factors={slow: 0.1},
            accumulation=accumulation,
        )
        optimizer = scale_loss(optimizer, precision)
    history = fit(
        model,
        lambda first: make_batches(0, first, epochs),
        make_batches(1),
        num_classes=CLASSES,
        optimizer=optimizer,
        epochs=last_epoch or epochs,
        steps_per_epoch=len(ROWS),
        folder=folder,
        label_smoothing=0.1,
        distribution=distribution,
    )
    return history, model.get_weights()


def train_with_keras() -> None:
    """The model of a few lines that Keras' own documentation would train."""
    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(), "mse")
    data = tf.data.Dataset.from_tensor_slices((tf.ones([8, 3]), tf.ones([8, 1]))).batch(4)
    model.fit(data, verbose=0)


def main(how: str, folder: str, *settings: str) -> None:
    """Train and print what came out as JSON."""
    options = {key: json.loads(value) for key, _, value in (s.partition("=") for s in settings)}
    if devices := options.pop("devices", 0):
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
    if how == "keras":
        train_with_keras()
        return
    cases = options.pop("cases", {"": {}})
    for name, case in cases.items():
        for which in how.split(","):
            distribution = make_distribution(which)
            history, weights = train(distribution, Path(folder) / which / name, **options | case)
            result = {"how": which, "case": name, "history": history}
            print(json.dumps(result | {"weights": [w.tolist() for w in weights]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
