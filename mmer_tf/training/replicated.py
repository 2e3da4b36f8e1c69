"""A classifier on several devices or machines, each with its rows of every batch.

Keras 3 trains with `MirroredStrategy`, but not as one device does, and with
`MultiWorkerMirroredStrategy` not at all (keras issue 20585): it builds a model from values that
lie on several workers, and reduces scalar logs over an axis that they lack. It also clips,
accumulates and checks each replica's own gradient before they are added, and lets a replica with
few rows count as much as one with many. Here everything is built beforehand, the rows are
counted, and the optimizer gets the gradient of the whole batch.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mmer_tf.data.pipeline import as_fit_batch
from mmer_tf.training.distribute import Distribution
from mmer_tf.training.objective import LabelCrossentropy, UnweightedAccuracy, WeightedAccuracy

SEED_DISTANCE = 1_000_003


class ReplicatedClassifier(keras.Model):
    """A functional model with one output, whose `fit` takes what `Distribution` parts.

    Made and compiled, without loss and metrics, within the scope of a strategy.
    """

    def set_objective(self, num_classes: int, label_smoothing: float = 0.0) -> None:
        """Say what is lowered and counted, as `Model.compile` would."""
        self.row_loss = LabelCrossentropy(label_smoothing, reduction=None)
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.accuracies = [UnweightedAccuracy(num_classes), WeightedAccuracy()]

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing is left to build, and Keras cannot with what several workers hold."""

    def train_step(self, data):
        """One optimizer step on this replica's rows of a batch."""
        inputs, target, weight, rows = data
        with tf.GradientTape() as tape:
            losses, logits = self._judge(inputs, target, weight, training=True)
            # The replicas' losses add up to the mean over the whole batch.
            loss = tf.reduce_sum(losses) / tf.cast(rows, losses.dtype)
            loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_weights
        pairs = zip(tape.gradient(loss, variables), variables, strict=True)
        # Of embeddings a gradient is sparse, and what the loss does not depend on has none.
        reached = [
            (tf.convert_to_tensor(given), variable)
            for given, variable in pairs
            if given is not None
        ]
        gradients, variables = zip(*reached, strict=True)
        context = tf.distribute.get_replica_context()
        self.optimizer.apply(context.all_reduce("SUM", list(gradients)), variables)
        return self._count(target, logits, losses)

    def test_step(self, data):
        """The figures of this replica's rows of a batch."""
        inputs, target, weight, _ = data
        losses, logits = self._judge(inputs, target, weight, training=False)
        return self._count(target, logits, losses)

    def _judge(self, inputs, target, weight, training: bool):
        # A replica without a row of its own has one to run through, which counts nowhere.
        logits = self(inputs, training=training)[: tf.shape(target)[0]]
        return self.row_loss(target, logits) * weight, logits

    def _count(self, target, logits, losses):
        self.loss_mean.update_state(losses)
        for metric in self.accuracies:
            metric.update_state(target, logits)
        figures = self.get_metrics_result()
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras reduces those of several workers over their first axis.
            return {name: value[None] for name, value in figures.items()}
        return figures


def replicate(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    distribution: Distribution,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
) -> tuple[ReplicatedClassifier, keras.Model]:
    """A copy of a classifier on every device.

    Args:
        model: output a dict with `logits` (batch, classes); stays as it is.
        optimizer: made in the scope of the distribution, not built yet.
        distribution: of several devices.
        num_classes: width of the logits.
        label_smoothing: see `LabelCrossentropy`.

    Returns:
        The classifier, compiled, and the whole copy of the model, which shares its variables.

    Raises:
        ValueError: the optimizer was made outside the scope.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner.variables[0].value, tf.distribute.DistributedValues):
        raise ValueError("`optimizer` must be made in the scope of the distribution.")
    with distribution.scope():
        copy = keras.models.clone_model(model)
        classifier = ReplicatedClassifier(copy.inputs, copy.output["logits"], name="classifier")
        classifier.set_objective(num_classes, label_smoothing)
        _take_whole_gradients(inner)
        if hasattr(inner, "rate_factors"):  # known by paths, which a copy's layers may change
            inner.rate_factors = {
                new.path: inner.rate_factors.get(old.path, 1.0)
                for old, new in zip(model.variables, copy.variables, strict=True)
            }
        # An XLA program cannot wait for other devices' gradients.
        classifier.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
        optimizer.build(classifier.trainable_variables)
    copy_variables(model, copy)
    return classifier, copy


def copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Give a model the weights and random states of its copy."""
    for given, taken in zip(source.variables, target.variables, strict=True):
        taken.assign(given.numpy())


def part_seeds(model: ReplicatedClassifier) -> None:
    """Let each replica draw its own dropout; the first keeps the state that is stored.

    All replicas hold the first one's random states before.
    """
    states = [v.value for v in model.non_trainable_variables if v.name == "seed_generator_state"]

    def move():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for state in states:
            # Of the pair (seed, draws so far) the seed alone differs.
            state.assign(state + tf.cast(tf.stack([replica * SEED_DISTANCE, 0]), state.dtype))

    _on_each_replica(model, move)()


def _take_whole_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """Let each replica update its own variables, since all have the same gradient.

    Keras would add the gradients of the replicas within the update: after clipping them, and
    within the condition of accumulation, where TensorFlow does not allow it.
    """
    plain = next(c for c in type(optimizer).__mro__ if c.__name__ == "BaseOptimizer")
    distributed = next(c for c in type(optimizer).__mro__ if c.__name__ == "TFOptimizer")
    for name in (
        "_backend_update_step",
        "_backend_increment_gradient_accumulators",
        "_apply_weight_decay",
    ):
        # What a class of its own does instead stays.
        if getattr(type(optimizer), name) is getattr(distributed, name):
            setattr(optimizer, name, getattr(plain, name).__get__(optimizer))


def part_batches(
    batches: tf.data.Dataset, inputs: list[str], distribution: Distribution
) -> tf.distribute.DistributedDataset:
    """Give each replica its rows of every batch.

    Every worker reads all batches, in the order that seed and epoch decide, and keeps its rows,
    so that a batch holds what it would hold in one process.

    Args:
        batches: of the data contract.
        inputs: names of the model's inputs.
        distribution: of several devices.

    Returns:
        Without an end, since Keras does not know that of such a data set. For each replica inputs,
        target (rows,) or (rows, classes), weight float32 (rows,), and the number of rows of the
        whole batch. A replica without a row gets inputs of one row.
    """
    replicas = distribution.num_replicas

    def part(batch: dict[str, tf.Tensor], replica: tf.Tensor) -> tuple[Any, ...]:
        values, target, *weights = as_fit_batch(batch, inputs)
        rows = tf.shape(target)[0]
        first, end = rows * replica // replicas, rows * (replica + 1) // replicas
        weight = weights[0] if weights else tf.ones([rows])
        values = {name: value[first : tf.maximum(end, first + 1)] for name, value in values.items()}
        return values, target[first:end], weight[first:end], rows

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        devices = replicas // context.num_input_pipelines
        own = tf.range(devices) + context.input_pipeline_id * devices
        parts = batches.repeat().flat_map(
            lambda batch: tf.data.Dataset.from_tensor_slices(own).map(lambda r: part(batch, r))
        )
        return parts.prefetch(tf.data.AUTOTUNE)

    return distribution.strategy.distribute_datasets_from_function(of_worker)


class AverageMoments(keras.callbacks.Callback):
    """Average the moments of batch normalisation before each validation.

    Each replica has seen other rows; validation and the saved model take the mean.
    """

    def on_train_begin(self, logs=None):
        """Keras hook."""
        moments = [
            variable.value
            for variable in self.model.non_trainable_variables
            if variable.name in ("moving_mean", "moving_variance")
        ]

        def average():
            context = tf.distribute.get_replica_context()
            for moment in moments:
                moment.assign(context.all_reduce("MEAN", tf.identity(moment)))

        self.average = _on_each_replica(self.model, average) if moments else lambda: None

    def on_test_begin(self, logs=None):
        """Keras hook."""
        self.average()


def _on_each_replica(model: keras.Model, action: Callable[[], None]) -> Callable[[], None]:
    """A graph that runs an action on every device."""
    return tf.function(lambda: model.distribute_strategy.run(action))
