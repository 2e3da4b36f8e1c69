"""What all encoders have in common."""

import functools
from collections.abc import Sequence

import keras


class Encoder(keras.layers.Layer):
    """A layer from one modality's inputs to a sequence of vectors and its mask.

    Subclasses declare `inputs`, the kind of what they are called with (see the package), and
    `output_dim`. An encoder with published weights has a class method `from_pretrained(weights,
    **options)`.

    A layer that holds a frozen encoder hands `training` on to what it calls after it: Keras takes
    the last value that it was given for granted.

    Args:
        frozen: not trained, and always run as in inference (no dropout). The attribute can be set
            at any time; a compiled model has to be compiled again, as after `trainable`.
    """

    inputs: str

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _build_frozen(cls.build)

    def __init__(self, frozen: bool = False, **kwargs):
        super().__init__(**kwargs)
        self._frozen = frozen
        if frozen:
            self.trainable = False

    @property
    def frozen(self) -> bool:
        """Whether it is frozen."""
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool):
        self._frozen = value
        self.trainable = not value

    @property
    def trainable(self) -> bool:
        """Whether its weights are trained; never while it is frozen, not even if a model asks."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool):
        keras.layers.Layer.trainable.fset(self, value and not self._frozen)

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        raise NotImplementedError

    def __call__(self, *args, **kwargs):
        """Run; see the class."""
        if self.frozen:
            kwargs["training"] = False
        return super().__call__(*args, **kwargs)

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {"frozen": self.frozen}


def checked_layers(layers: Sequence[int] | None, num_layers: int) -> tuple[int, ...] | None:
    """The hidden states that an encoder is asked for, where it has them all.

    Args:
        layers: 0 is what enters the first layer, N what layer N answers; None is the last alone.
        num_layers: how many the encoder has.

    Raises:
        ValueError: none, one twice, or one that is not there.
    """
    if layers is None:
        return None
    layers = tuple(layers)
    known = range(num_layers + 1)
    if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(known):
        raise ValueError(
            f"`layers` must be different numbers from 0 to {num_layers}. Received: layers={layers}."
        )
    return layers


def require_positive(**arguments: int) -> None:
    """Refuse arguments below 1.

    Raises:
        ValueError: names the first of them.
    """
    for argument, value in arguments.items():
        if value < 1:
            raise ValueError(f"`{argument}` must be >= 1. Received: {argument}={value}.")


def _build_frozen(build):
    """`build`, after which the weights of a frozen encoder know that they are not trained.

    Keras hands `trainable` on when it changes, hence not to weights that come later.
    """

    @functools.wraps(build)
    def build_and_freeze(self, *args, **kwargs):
        build(self, *args, **kwargs)
        if not self.trainable:
            Encoder.trainable.fset(self, False)  # an assignment that changes nothing is skipped

    return build_and_freeze
