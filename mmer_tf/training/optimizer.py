"""Optimizers and learning-rate schedules by name."""

import math
from typing import Literal

import keras
from keras import ops


@keras.saving.register_keras_serializable("mmer_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear rise from zero, then constant, linear decay or cosine decay to zero.

    Args:
        peak: the highest learning rate.
        steps: optimizer steps of the whole training, at least 1.
        warmup_steps: steps of the rise, fewer than `steps`.
        decay: "constant", "linear" or "cosine".

    Raises:
        ValueError: `warmup_steps` leaves no step for the decay.
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        warmup_steps: int = 0,
        decay: Literal["constant", "linear", "cosine"] = "constant",
    ):
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                f"`warmup_steps` must be >= 0 and < `steps`. Received: "
                f"warmup_steps={warmup_steps}, steps={steps}."
            )
        self.peak, self.steps, self.warmup_steps, self.decay = peak, steps, warmup_steps, decay

    def __call__(self, step):
        """Learning rate of a step, a scalar."""
        step = ops.cast(step, "float32")
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        done = ops.clip(done, 0.0, 1.0)
        factor = {
            "constant": ops.ones_like(done),
            "linear": 1.0 - done,
            "cosine": 0.5 * (1.0 + ops.cos(math.pi * done)),
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
        }


def make_optimizer(
    name: Literal["adam", "adamw"],
    *,
    learning_rate: float,
    steps: int,
    schedule: Literal["constant", "linear", "cosine"] = "constant",
    warmup_share: float = 0.0,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """An optimizer with its schedule.

    Args:
        name: "adam" or "adamw"; `weight_decay` is AdamW's, decoupled from the gradient, and
            spares biases and normalisation layers (Devlin et al. 2019, appendix A.2).
        learning_rate: peak.
        steps: optimizer steps of the whole training.
        schedule: what follows the warm-up.
        warmup_share: share of `steps` during which the rate rises from zero.
        weight_decay: AdamW's coefficient.
        clip_norm: largest global norm of the gradient; None does not clip.
    """
    rate = learning_rate
    if schedule != "constant" or warmup_share:
        rate = WarmupDecay(learning_rate, steps, int(warmup_share * steps), schedule)
    if name == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=clip_norm)
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=weight_decay, epsilon=1e-8, global_clipnorm=clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
