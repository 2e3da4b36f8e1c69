"""How the learning rate moves from the first step to the last."""

import math
from typing import Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise from zero, then a constant rate, or one that falls evenly or in steps.

    Args:
        peak: the highest learning rate.
        steps: optimizer steps of the whole training, at least 1.
        warmup_steps: steps of the rise, fewer than `steps`.
        decay: "constant"; "linear" and "cosine", to zero; "step", from time to time by a factor.
        decay_steps: of "step": optimizer steps from one fall to the next, counted from the first
            step of the training.
        decay_factor: of "step": what the rate is multiplied by.

    Raises:
        ValueError: `warmup_steps` leaves no step for the decay, or `decay_steps` < 1.
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine", "step"] = "constant",
        decay_steps: int = 1,
        decay_factor: float = 0.1,
    ):
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                f"`warmup_steps` must be >= 0 and < `steps`. Received: "
                f"warmup_steps={warmup_steps}, steps={steps}."
            )
        if decay_steps < 1:
            raise ValueError(f"`decay_steps` must be >= 1. Received: decay_steps={decay_steps}.")
        self.peak, self.steps, self.warmup_steps, self.decay = peak, steps, warmup_steps, decay
        self.decay_steps, self.decay_factor = decay_steps, decay_factor

    def __call__(self, step):
        """Learning rate of a step, a scalar."""
        step = ops.cast(step, "float32")
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        done = ops.clip(done, 0.0, 1.0)
        factor = {
            "constant": ops.ones_like(done),
            "linear": 1.0 - done,
            "cosine": 0.5 * (1.0 + ops.cos(math.pi * done)),
            "step": ops.power(self.decay_factor, ops.floor(step / self.decay_steps)),
        }[self.decay]
        # Step counts start at 0; (step + 1) lets the very first update move the weights.
        rise = ops.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        return self.peak * factor * rise

    def get_config(self):
        """Constructor arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
            "decay_steps": self.decay_steps,
            "decay_factor": self.decay_factor,
        }


@keras.saving.register_keras_serializable("mmer_tf")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise from a 25th of the peak, then fall to its 100,000th, both along half a cosine.

    The 1cycle policy of Smith and Topin 2019 (arXiv 1708.07120) in the shape and with the
    figures of fastai's `fit_one_cycle` (Howard and Gugger 2020, arXiv 2002.04688), without its
    cycle of Adam's first momentum.

    Args:
        peak: the highest learning rate.
        steps: optimizer steps of the whole training, at least 1.
        warmup_share: share of the steps in which the rate rises, in (0, 1).

    Raises:
        ValueError: an argument out of range.
    """

    first_divisor = 25.0
    last_divisor = 1e5

    def __init__(self, peak: float, steps: int, warmup_share: float = 0.25):
        if steps < 1:
            raise ValueError(f"`steps` must be >= 1. Received: steps={steps}.")
        if not 0 < warmup_share < 1:
            raise ValueError(
                f"`warmup_share` must be in (0, 1). Received: warmup_share={warmup_share}."
            )
        self.peak, self.steps, self.warmup_share = peak, steps, warmup_share

    def __call__(self, step):
        """Learning rate of a step, a scalar."""
        done = ops.clip(ops.cast(step, "float32") / self.steps, 0.0, 1.0)
        rising = _half_cosine(self.peak / self.first_divisor, self.peak, done / self.warmup_share)
        fallen = (done - self.warmup_share) / (1.0 - self.warmup_share)
        falling = _half_cosine(self.peak, self.peak / self.last_divisor, fallen)
        return ops.where(done < self.warmup_share, rising, falling)

    def get_config(self):
        """Constructor arguments."""
        return {"peak": self.peak, "steps": self.steps, "warmup_share": self.warmup_share}


@keras.saving.register_keras_serializable("mmer_tf")
class PerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over updates of the weights, for an optimizer that counts batches.

    Keras' gradient accumulation updates the weights once in several batches and asks its schedule
    by the number of the batch.

    Args:
        schedule: of updates, from 0.
        batches: an update takes, at least 1.

    Raises:
        ValueError: `batches` < 1.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, batches: int):
        if batches < 1:
            raise ValueError(f"`batches` must be >= 1. Received: batches={batches}.")
        self.schedule, self.batches = schedule, batches

    def __call__(self, step):
        """Learning rate of a batch, a scalar."""
        return self.schedule(ops.floor_divide(step, self.batches))

    def get_config(self):
        """Constructor arguments."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "batches": self.batches}

    @classmethod
    def from_config(cls, config):
        """The schedule behind `get_config`."""
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["batches"])


@keras.saving.register_keras_serializable("mmer_tf")
class ExponentialRise(keras.optimizers.schedules.LearningRateSchedule):
    """From the lowest to the highest rate in equal ratios, for a learning-rate range test.

    Args:
        lowest: rate of the first step.
        highest: rate of the last step, above `lowest`.
        steps: at least 2.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, lowest: float, highest: float, steps: int):
        if not 0 < lowest < highest:
            raise ValueError(
                f"`lowest` must be above 0 and below `highest`. Received: lowest={lowest}, "
                f"highest={highest}."
            )
        if steps < 2:
            raise ValueError(f"`steps` must be >= 2. Received: steps={steps}.")
        self.lowest, self.highest, self.steps = lowest, highest, steps

    def __call__(self, step):
        """Learning rate of a step, a scalar."""
        done = ops.cast(step, "float32") / (self.steps - 1)
        return self.lowest * ops.power(self.highest / self.lowest, done)

    def get_config(self):
        """Constructor arguments."""
        return {"lowest": self.lowest, "highest": self.highest, "steps": self.steps}


def _half_cosine(first: float, last: float, done):
    """From `first` at 0 to `last` at 1."""
    return first + (last - first) * 0.5 * (1.0 - ops.cos(math.pi * done))
