"""Learning-rate range test: train for a few steps at ever higher rates, and see where it helps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from mmer_tf.data.pipeline import as_fit_batch
from mmer_tf.evaluation.plots.figure import BLUE, GREEN, GREY, ORANGE, new_figure, set_title
from mmer_tf.training.objective import LabelCrossentropy
from mmer_tf.training.schedules import ExponentialRise

LOWEST, HIGHEST = 1e-7, 10.0
UPDATES = 100
SMOOTHING = 0.98
"""Weight of the past in the moving average of the losses."""

DIVERGENCE = 4.0
"""The test ends where the smoothed loss is so many times its lowest."""

LEFT_OUT_FIRST, LEFT_OUT_LAST = 0.1, 5
"""Share of the updates at the beginning and number of them at the end that no suggestion looks
at: there the average has not settled, and the loss is already rising."""


class RangeTestError(ValueError):
    """A range test from which nothing can be told, with what to do."""


@dataclass(frozen=True)
class RangeTest:
    """How the loss moved with the learning rate.

    Args:
        rates: of each update, rising in equal ratios.
        losses: mean loss of the batches of each update, before it.
        smoothed: their moving average, without its bias to zero.
        steepest: the rate at which the smoothed loss falls fastest.
        valley: the rate in the middle of its longest fall; what is suggested.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    valley: float

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def find_learning_rate(
    model: keras.Model,
    batches: tf.data.Dataset,
    make_optimizer: Callable[[ExponentialRise], keras.optimizers.Optimizer],
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    updates: int = UPDATES,
    accumulation: int = 1,
    label_smoothing: float = 0.0,
    advance: Callable[[int], None] = lambda done: None,
) -> RangeTest:
    """Raise the learning rate with every update until the loss breaks away.

    Smith 2017, "Cyclical learning rates for training neural networks" (arXiv 1506.01186, section
    3.3), with the figures of fastai's `lr_find` (Howard and Gugger 2020, arXiv 2002.04688).

    Args:
        model: inputs as in the data contract, output a dict with `logits` (batch, classes); has
            its weights back afterwards.
        batches: of the training split alone, in the data contract, at least
            `updates` * `accumulation` of them.
        make_optimizer: a schedule of updates -> an optimizer that has not been built.
        lowest: rate of the first update.
        highest: rate of the last update, if it comes so far.
        updates: of the weights, at most.
        accumulation: batches an update, as the optimizer has it.
        label_smoothing: see `LabelCrossentropy`.
        advance: called with the number of updates done.

    Raises:
        RangeTestError: the loss never fell, or broke away at once.
        ValueError: rates or `updates` out of range.
    """
    before = model.get_weights()
    classifier = keras.Model(model.inputs, model.output["logits"], name="classifier")
    optimizer = make_optimizer(ExponentialRise(lowest, highest, updates))
    classifier.compile(
        optimizer=optimizer,
        loss=LabelCrossentropy(label_smoothing),
        jit_compile=False,
        auto_scale_loss=False,
    )
    record = _Record(accumulation, advance)
    names = [tensor.name for tensor in model.inputs]
    try:
        classifier.fit(
            batches.map(lambda batch: as_fit_batch(batch, names)),
            steps_per_epoch=updates * accumulation,
            callbacks=[record],
            verbose=0,
        )
    finally:
        model.set_weights(before)
    rates = lowest * (highest / lowest) ** (np.arange(len(record.losses)) / (updates - 1))
    first, last = int(updates * LEFT_OUT_FIRST), max(len(rates) - LEFT_OUT_LAST, 0)
    return RangeTest(
        tuple(map(float, rates)),
        tuple(record.losses),
        tuple(record.smoothed),
        *suggestions(rates[first:last], record.smoothed[first:last]),
    )


def smooth(losses: Sequence[float], smoothing: float = SMOOTHING) -> list[float]:
    """Moving average of the losses, as fastai has it.

    >>> [round(value, 3) for value in smooth([1.0, 0.0], smoothing=0.5)]
    [1.0, 0.333]
    """
    average, averages = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = smoothing * average + (1 - smoothing) * loss
        averages.append(average / (1 - smoothing**count))
    return averages


def suggestions(rates: Sequence[float], losses: Sequence[float]) -> tuple[float, float]:
    """The rate of the steepest fall, and the one in the middle of the longest fall.

    fastai's `steep` and `valley`. The longest fall is the longest sequence of losses, not
    necessarily neighbours, each of which is below the one before; it counts as if it had begun as
    many updates before its end as it has losses.

    Args:
        rates: rising.
        losses: smoothed, one a rate.

    Raises:
        RangeTestError: fewer than four rates, or a loss that never falls.
    """
    values = np.asarray(losses, "float64")
    if len(values) < 4 or not (np.diff(values) < 0).any():
        raise RangeTestError(
            "the learning-rate test saw no loss that falls, so that it can suggest nothing; "
            "try a larger train.batch_size, or look at the labels"
        )
    slopes = np.diff(values) / np.diff(np.log(rates))
    lengths = np.ones(len(values), int)
    for end in range(1, len(values)):
        above = lengths[:end][values[:end] > values[end]]
        lengths[end] = 1 + above.max(initial=0)
    end = int(lengths.argmax())
    start = max(end - int(lengths[end]), 0)
    third = (end - start) / 3
    valley = start + int(third) + int(third / 2)
    return float(rates[int(slopes.argmin())]), float(rates[valley])


def draw_range_test(test: RangeTest, title: str = "") -> Figure:
    """Draw the loss over the learning rate with both suggestions."""
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, color=GREY, linewidth=0.7, alpha=0.7, label="loss")
    axes.plot(test.rates, test.smoothed, color=BLUE, label="smoothed")
    for name, rate, colour in (
        ("valley", test.valley, GREEN),
        ("steepest", test.steepest, ORANGE),
    ):
        axes.axvline(rate, color=colour, linestyle=":", label=f"{name}: {rate:.2g}")
    low, high = min(test.smoothed), max(test.smoothed[0], *test.losses[:10])
    axes.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.6 * (high - low) + 1e-3)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize="small")
    set_title(figure, title)
    return figure


class _Record(keras.callbacks.Callback):
    """The mean loss of the batches of each update; ends the training where it breaks away."""

    def __init__(self, accumulation: int, advance: Callable[[int], None]):
        super().__init__()
        self.accumulation, self.advance = accumulation, advance
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.waiting: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()  # the loss in the logs is then that of the batch alone

    def on_train_batch_end(self, batch, logs=None):
        self.waiting.append(float(logs["loss"]))
        if len(self.waiting) < self.accumulation:
            return
        loss, self.waiting = float(np.mean(self.waiting)), []
        if not math.isfinite(loss):
            self.model.stop_training = True
            return
        self.losses.append(loss)
        self.smoothed = smooth(self.losses)
        self.advance(len(self.losses))
        if self.smoothed[-1] > DIVERGENCE * min(self.smoothed):
            self.model.stop_training = True
