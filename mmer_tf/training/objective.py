"""What training lowers and what chooses the epoch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class LabelCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits (batch, classes) against labels (batch,) or shares (batch, classes).

    Args:
        label_smoothing: probability mass spread over all classes (Szegedy et al. 2016).
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "label_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Loss of each row, (batch,)."""
        classes = y_pred.shape[-1]
        is_soft = len(y_true.shape) == 2 and y_true.shape[-1] != 1
        target = y_true if is_soft else ops.one_hot(_label(y_true), classes)
        target = target * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        return keras.losses.categorical_crossentropy(target, y_pred, from_logits=True)

    def get_config(self):
        """Constructor arguments."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("mmer_tf")
class WeightedAccuracy(keras.metrics.Mean):
    """WA: accuracy over utterances, of logits (batch, classes).

    Sample weights and shares are handled as `UnweightedAccuracy` does.
    """

    def __init__(self, name: str = "wa", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count one batch."""
        super().update_state(_hit(_label(y_true), y_pred))


@keras.saving.register_keras_serializable("mmer_tf")
class UnweightedAccuracy(keras.metrics.Metric):
    """UA: mean recall of the classes that occur, of logits (batch, classes).

    Each utterance counts once, whatever its sample weight; of shares (batch, classes) in place of
    labels (batch,) the largest is the label.
    """

    def __init__(self, num_classes: int, name: str = "ua", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.correct = self.add_variable((num_classes,), initializer="zeros", name="correct")
        self.total = self.add_variable((num_classes,), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count one batch."""
        label = _label(y_true)
        target = ops.one_hot(label, self.num_classes, dtype="float32")
        self.correct.assign_add(ops.sum(target * _hit(label, y_pred)[:, None], axis=0))
        self.total.assign_add(ops.sum(target, axis=0))

    def result(self):
        """Scalar in [0, 1]; 0 before the first batch."""
        occurs = ops.cast(self.total > 0, "float32")
        recall = self.correct / ops.maximum(self.total, 1.0)
        return ops.sum(recall * occurs) / ops.maximum(ops.sum(occurs), 1.0)

    def get_config(self):
        """Constructor arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}


def _label(target):
    """Labels (batch,) int of labels (batch,) or (batch, 1), or of shares (batch, classes)."""
    if len(target.shape) == 2 and target.shape[-1] != 1:
        target = ops.argmax(target, axis=-1)
    return ops.cast(ops.reshape(target, (-1,)), "int32")


def _hit(label, logits):
    """1.0 where the largest logit is the label's, (batch,)."""
    return ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), label), "float32")
