"""What all encoders have in common."""

import keras


class Encoder(keras.layers.Layer):
    """A layer from one modality's inputs to a sequence of vectors and its mask.

    Subclasses declare `inputs`, the kind of what they are called with (see the package), and
    `output_dim`. An encoder with published weights has a class method `from_pretrained(weights,
    **options)`.

    Args:
        frozen: not trained, and always run as in inference (no dropout).
    """

    inputs: str

    def __init__(self, frozen: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.frozen = frozen

    @property
    def frozen(self) -> bool:
        """Whether it is frozen."""
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool):
        self._frozen = value
        self.trainable = not value

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
