"""AlexNet as torchvision publishes it."""

import keras

from mmer_tf.models.weights.checkpoint import Target, conv_kernel

POSITIONS = (0, 3, 6, 8, 10)
"""Of the convolutions among the published `features`, which also count activations and pools."""


def alexnet_targets(encoder: keras.layers.Layer) -> dict[str, Target]:
    """Where the arrays of `torchvision.models.alexnet` go in an `AlexNet` that was built.

    Returns:
        Published name -> its place, without the arrays of the classifier (`classifier.*`).
    """
    targets = {}
    for position, convolution in zip(POSITIONS, encoder.convolutions, strict=True):
        targets[f"features.{position}.weight"] = Target(convolution.kernel, conv_kernel)
        targets[f"features.{position}.bias"] = Target(convolution.bias)
    return targets
