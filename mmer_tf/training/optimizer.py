"""Optimizers by name, with their schedules."""

from collections.abc import Mapping
from typing import Any, Literal

import keras

from mmer_tf.training.adam import Adam, AdamW
from mmer_tf.training.layer_rates import ScaledAdam, ScaledAdamW
from mmer_tf.training.schedules import OneCycle, PerUpdate, WarmupDecay

Schedule = Literal["constant", "linear", "cosine", "step", "one_cycle"]

UNDECAYED = r"(^|/)(bias|gamma|beta)(:\d+)?$"
"""Names of variables that weight decay spares. Keras looks for it in `kernel` on some ways and in
`encoder/layer/kernel:0` on others, so that a layer called `relative_bias` must not match."""

ONE_CYCLE_WARMUP = 0.25
"""Share of the rise that fastai takes, for a recipe that names none."""


def make_optimizer(
    name: Literal["adam", "adamw"],
    *,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    steps: int,
    schedule: Schedule = "constant",
    warmup_share: float = 0.0,
    decay_steps: int = 1,
    decay_factor: float = 0.1,
    weight_decay: float = 0.0,
    epsilon: float = 1e-8,
    clip_norm: float | None = None,
    rate_factors: Mapping[str, float] | None = None,
    accumulation: int = 1,
) -> keras.optimizers.Optimizer:
    """An optimizer with its schedule.

    Args:
        name: "adam" or "adamw"; `weight_decay` is AdamW's, decoupled from the gradient, and
            spares biases and normalisation layers (Devlin et al. 2019, appendix A.2).
        learning_rate: peak; or a schedule of updates, which takes the place of `schedule`.
        steps: updates of the weights in the whole training.
        schedule: what follows the warm-up, see `WarmupDecay`; or "one_cycle", see `OneCycle`.
        warmup_share: share of `steps` during which the rate rises; 0 is a quarter for
            "one_cycle".
        decay_steps: of "step": updates from one fall of the rate to the next.
        decay_factor: of "step": what the rate is then multiplied by.
        weight_decay: AdamW's coefficient.
        epsilon: of Adam, what keeps its denominator from zero.
        clip_norm: largest global norm of the gradient; None does not clip.
        rate_factors: path of a variable -> factor of its learning rate, as of
            `encoder_rate_factors`; 1 where none is given. None is 1 everywhere.
        accumulation: batches whose gradients are averaged into one update.
    """
    rate: Any = learning_rate
    if not isinstance(learning_rate, float):
        pass  # moves by itself
    elif schedule == "one_cycle":
        rate = OneCycle(learning_rate, steps, warmup_share or ONE_CYCLE_WARMUP)
    elif schedule != "constant" or warmup_share:
        warmup_steps = int(warmup_share * steps)
        rate = WarmupDecay(learning_rate, steps, warmup_steps, schedule, decay_steps, decay_factor)
    options: dict[str, Any] = {"epsilon": epsilon, "global_clipnorm": clip_norm}
    if accumulation > 1:
        options["gradient_accumulation_steps"] = accumulation
        rate = rate if isinstance(rate, float) else PerUpdate(rate, accumulation)
    if rate_factors:
        options["rate_factors"] = rate_factors
    if name == "adam":
        return (ScaledAdam if rate_factors else Adam)(rate, **options)
    optimizer_class = ScaledAdamW if rate_factors else AdamW
    optimizer = optimizer_class(rate, weight_decay=weight_decay, **options)
    optimizer.exclude_from_weight_decay(var_names=[UNDECAYED])
    return optimizer
