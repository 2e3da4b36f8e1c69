"""A training for a process of its own: `train_apart.py HOW FOLDER [key=value …]` prints its curve.

HOW is a name that `make_distribution` knows. With `devices=2` the machine has two logical CPUs.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmer_tf.training.distribute import make_distribution

ROWS = (7, 7, 4, 1)
"""Utterances in the batches of an epoch: two replicas share seven and one."""

BATCH_SIZE = max(ROWS)
CLASSES = 3


def make_model(dropout: float = 0.0):
    """Speech of five numbers a frame, under a mask."""
    import keras

    keras.utils.set_random_seed(1)
    frames = keras.Input((None, 5), name="frames")
    mask = keras.Input((None,), dtype="bool", name="frames_mask")
    hidden = keras.layers.GRU(6)(frames, mask=mask)
    hidden = keras.layers.BatchNormalization(momentum=0.5, trainable=False)(hidden)
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
    distribution,
    folder: Path,
    epochs: int = 4,
    dropout: float = 0.0,
    accumulation: int | None = None,
    half: bool = False,
    **options,
) -> tuple[list[Mapping], list[np.ndarray]]:
    """History and weights, of a schedule over four epochs."""
    import keras

    from mmer_tf.training.fit import fit

    keras.config.set_dtype_policy("mixed_float16" if half else "float32")
    model = make_model(dropout)
    keras.config.set_dtype_policy("float32")
    with distribution.scope():
        rate = keras.optimizers.schedules.CosineDecay(0.05, 16)
        optimizer = keras.optimizers.AdamW(
            rate, global_clipnorm=0.3, gradient_accumulation_steps=accumulation
        )
        if half:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    history = fit(
        model,
        lambda first: make_batches(0, first, epochs),
        make_batches(1),
        num_classes=CLASSES,
        optimizer=optimizer,
        epochs=epochs,
        steps_per_epoch=len(ROWS),
        folder=folder,
        label_smoothing=0.1,
        distribution=distribution,
        **options,
    )
    return history, model.get_weights()


def main(how: str, folder: str, *settings: str) -> None:
    """Train and print what came out as JSON."""
    options = {key: json.loads(value) for key, _, value in (s.partition("=") for s in settings)}
    if devices := options.pop("devices", 0):
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
    cases = options.pop("cases", {"": {}})
    for name, case in cases.items():
        for which in how.split(","):
            distribution = make_distribution(which)
            history, weights = train(distribution, Path(folder) / which / name, **options | case)
            result = {"how": which, "case": name, "history": history}
            print(json.dumps(result | {"weights": [w.tolist() for w in weights]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
