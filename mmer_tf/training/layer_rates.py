"""Learning rates that differ from layer to layer."""

import re
from collections.abc import Mapping

import keras
from keras import ops

from mmer_tf.training.adam import Adam, AdamW

BRANCHES = (("speech_upstream", "speech_encoder"), ("text_upstream", "text_encoder"))
"""Names of the layers whose depth decides about discriminative rates, from input to output."""


class _ScaledRates:
    """Multiplies the learning rate, also of the weight decay, by a factor for each variable.

    Mixed into Adam and AdamW.

    Args:
        rate_factors: path of a variable -> its factor; 1 where none is given.
    """

    def __init__(self, *args, rate_factors: Mapping[str, float], **kwargs):
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors)

    def build(self, variables):
        """Create the optimizer's variables."""
        # A list, since updates see the backend's own variables, which know no path.
        self._factors = [self.rate_factors.get(variable.path, 1.0) for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Decay and move one variable."""
        rate = learning_rate * self._factors[self._get_variable_index(variable)]
        if self.weight_decay is not None and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * ops.cast(self.weight_decay * rate, variable.dtype))
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        """Nothing: `update_step` does it, where the variable's own rate is known."""

    def get_config(self):
        """Constructor arguments."""
        return {**super().get_config(), "rate_factors": self.rate_factors}


@keras.saving.register_keras_serializable("mmer_tf")
class ScaledAdam(_ScaledRates, Adam):
    """Adam with a factor of the learning rate for each variable; see `encoder_rate_factors`."""


@keras.saving.register_keras_serializable("mmer_tf")
class ScaledAdamW(_ScaledRates, AdamW):
    """AdamW with a factor of the learning rate for each variable; see `encoder_rate_factors`."""


def encoder_rate_factors(model: keras.Model, lowest: float) -> dict[str, float]:
    """Discriminative rates: the deeper in a branch's encoders, the closer to the full rate.

    Howard and Ruder 2018 (arXiv 1801.06146, section 3.2). The layers of an encoder are the
    sublayers that it holds directly, and in a stack of numbered ones each of these, in the order
    of their creation; those of an encoder behind an upstream come after the upstream's. From one
    to the next the rate grows by the same ratio. What belongs to no encoder learns at the full
    rate.

    Args:
        model: its encoders are the layers named as in `BRANCHES`.
        lowest: factor of a branch's first trainable layer, in (0, 1]; the last one's is 1.

    Returns:
        Path of each trainable variable of an encoder -> factor.
    """
    if not 0 < lowest <= 1:
        raise ValueError(f"`lowest` must be in (0, 1]. Received: lowest={lowest}.")
    factors = {}
    encoders = {layer.name: layer for layer in model.layers}
    for branch in BRANCHES:
        layers: dict[tuple[str, str], list[str]] = {}
        for name in branch:
            for variable in encoders[name].trainable_variables if name in encoders else ():
                inside = variable.path.split(f"{name}/", 1)[-1]
                layers.setdefault((name, _layer_of(inside)), []).append(variable.path)
        for depth, paths in enumerate(layers.values(), 1):
            height = (len(layers) - depth) / max(len(layers) - 1, 1)  # 1 first, 0 last
            factors |= dict.fromkeys(paths, lowest**height)
    return factors


def _layer_of(path: str) -> str:
    """Where a variable of an encoder counts: up to the first numbered sublayer, else the first.

    >>> _layer_of("recurrent/bidirectional_1/forward_lstm/lstm_cell/kernel")
    'recurrent/bidirectional_1'
    >>> _layer_of("token_embedding/embeddings")
    'token_embedding'
    """
    *sublayers, _ = path.split("/")
    for depth, name in enumerate(sublayers, 1):
        if re.search(r"_\d+$", name):
            return "/".join(sublayers[:depth])
    return sublayers[0] if sublayers else path
