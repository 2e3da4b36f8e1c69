"""ResNet34 as torchvision and timm publish it."""

import keras

from mmer_tf.models.weights.checkpoint import Target, conv_kernel


def resnet34_targets(encoder: keras.layers.Layer) -> dict[str, Target]:
    """Where the arrays of `torchvision.models.resnet34` go in a `ResNet34`.

    Returns:
        Published name -> its place, without the arrays of the classifier (`fc.*`, or `head.*`).
    """
    layer_of = encoder.backbone.get_layer
    targets = _convolution("conv1", layer_of("conv1_conv"))
    targets |= _normalisation("bn1", layer_of("conv1_bn"))
    for stack, num_blocks in enumerate(encoder.num_blocks):
        for block in range(num_blocks):
            here, published = f"stack{stack}_block{block}", f"layer{stack + 1}.{block}"
            for part in (1, 2):
                convolution, normalisation = f"{here}_{part}_conv", f"{here}_{part}_bn"
                targets |= _convolution(f"{published}.conv{part}", layer_of(convolution))
                targets |= _normalisation(f"{published}.bn{part}", layer_of(normalisation))
            if stack > 0 and block == 0:  # the stack's stride also shrinks the shortcut
                targets |= _convolution(f"{published}.downsample.0", layer_of(f"{here}_0_conv"))
                targets |= _normalisation(f"{published}.downsample.1", layer_of(f"{here}_0_bn"))
    return targets


def _convolution(name: str, layer: keras.layers.Conv2D) -> dict[str, Target]:
    return {f"{name}.weight": Target(layer.kernel, conv_kernel)}


def _normalisation(name: str, layer: keras.layers.BatchNormalization) -> dict[str, Target]:
    return {
        f"{name}.weight": Target(layer.gamma),
        f"{name}.bias": Target(layer.beta),
        f"{name}.running_mean": Target(layer.moving_mean),
        f"{name}.running_var": Target(layer.moving_variance),
    }
