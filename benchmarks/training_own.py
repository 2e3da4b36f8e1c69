"""This package's side of the section Training step: `fit` on batches that lie in memory.

Started by contest.py as SYSTEM-VARIANT; `SYSTEM-weights` leaves what a model starts from.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from contender import Work, contend
from training_batches import (
    BATCH_SIZE,
    CLASSES,
    CLIP_NORM,
    EPSILON,
    LEARNING_RATE,
    PASSES,
    VOCABULARIES,
    WEIGHT_DECAY,
    Batch,
    read_batches,
)

from mmer_tf import cli
from mmer_tf.recipe import load_recipe, shipped_recipes

ALL_THERE = ("train.modality_dropout=0",)


@dataclass(frozen=True)
class System:
    """What is trained, all of it at once.

    Args:
        recipe: a shipped one.
        overrides: of the recipe.
        dropout: fields of the recipe that say how much is dropped.
    """

    recipe: str
    overrides: tuple[str, ...]
    dropout: tuple[str, ...]


SYSTEMS = {
    "gmu": System(
        "gmu", (*ALL_THERE, "train.vocal_tract_warp=0"),
        ("speech.options.dropout", "text.options.dropout", "dropout"),
    ),
    "alexnet_bert": System(
        "alexnet_bert", (*ALL_THERE, "text.weights=null"),
        ("text.options.dropout", "dropout"),
    ),
    "hubert_head": System("hubert_conv_blstm", (), ("speech.options.dropout", "dropout")),
}  # fmt: skip

ENVIRONMENTS = {
    "16-onednn_off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "16-one_operation": {"TF_NUM_INTEROP_THREADS": "1"},
}
"""Variables of a variant, which TensorFlow reads when it is loaded."""


def make(system: str, variant: str, work: Path) -> Work:
    """A variant of a system: `BATCH[-SETTING]`."""
    cli.import_tensorflow()
    batch_size, _, setting = variant.partition("-")
    mixed = "-mixed" if setting == "mixed" else ""
    batches = read_batches(work / f"{system}{mixed}.npz", int(batch_size))
    answers = {} if setting or int(batch_size) != BATCH_SIZE else _answers(system, batches[0])
    classifier = _classifier(system, drop=True, xla=setting == "xla")
    data, passes = _data(classifier, batches), PASSES[system]

    def run() -> None:
        classifier.fit(data, epochs=passes, verbose=0, callbacks=_callbacks())

    return Work(run, answers, {})


def make_weights(system: str, work: Path) -> Work:
    """What the untrained model holds, by path."""
    cli.import_tensorflow()
    classifier = _classifier(system, drop=False)
    return Work(lambda: None, {v.path: v.numpy() for v in classifier.weights}, {})


def _answers(system: str, batch: Batch) -> Mapping[str, np.ndarray]:
    """Logits and loss without dropout, and the loss after one step."""
    classifier = _classifier(system, drop=False)
    inputs = {tensor.name: batch[tensor.name] for tensor in classifier.inputs}
    logits = np.asarray(classifier(inputs, training=False))
    before = classifier.train_on_batch(inputs, batch["label"], return_dict=True)["loss"]
    after = classifier.test_on_batch(inputs, batch["label"], return_dict=True)["loss"]
    return {"logits": logits, "losses": np.array([before, after])}


def _classifier(name: str, *, drop: bool, xla: bool = False):
    from mmer_tf.assembly import build_model
    from mmer_tf.training.fit import compile_classifier
    from mmer_tf.training.optimizer import make_optimizer

    system = SYSTEMS[name]
    overrides = [*system.overrides, *(() if drop else (f"{part}=0" for part in system.dropout))]
    recipe = load_recipe(shipped_recipes()[system.recipe], overrides)
    states = {"hubert_states": (5, 768)}
    model = build_model(recipe, CLASSES, VOCABULARIES[name], seed=0, states_shapes=states)
    optimizer = make_optimizer(
        "adamw",
        learning_rate=LEARNING_RATE,
        steps=1,
        weight_decay=WEIGHT_DECAY,
        epsilon=EPSILON,
        clip_norm=CLIP_NORM,
    )
    return compile_classifier(model, optimizer, num_classes=CLASSES, label_smoothing=0.0, xla=xla)


def _data(classifier, batches: list[Batch]):
    """Batches of whatever length, in TensorFlow's memory after the first pass."""
    import tensorflow as tf

    from mmer_tf.data.pipeline import as_fit_batch

    def signature(array: np.ndarray) -> tf.TensorSpec:
        steps = [None] * min(array.ndim, 2)
        return tf.TensorSpec((*steps, *array.shape[2:]), array.dtype)

    signatures = {name: signature(array) for name, array in batches[0].items()}
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signatures)
    names = [tensor.name for tensor in classifier.inputs]
    data = data.map(lambda batch: as_fit_batch(batch, names))
    return data.apply(tf.data.experimental.assert_cardinality(len(batches))).cache().prefetch(1)


def _callbacks() -> list:
    """What looks at every step of a training."""
    from mmer_tf.training.finite_loss import FiniteLoss

    return [FiniteLoss(lambda epoch: None)]


VARIANTS = ("16", "1", "16-xla", "16-mixed", *ENVIRONMENTS)

MAKERS = {f"{name}-{variant}": partial(make, name, variant) for name in SYSTEMS
          for variant in VARIANTS}  # fmt: skip
MAKERS |= {f"{name}-weights": partial(make_weights, name) for name in SYSTEMS}


if __name__ == "__main__":
    os.environ |= ENVIRONMENTS.get(sys.argv[1].partition("-")[2], {})
    cli.silence_libraries(verbose=False)
    contend(MAKERS)
