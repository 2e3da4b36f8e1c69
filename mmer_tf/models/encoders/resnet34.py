"""ResNet34 over a picture of a spectrogram."""

from collections.abc import Sequence

import keras
import keras_hub
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.resnet34 import resnet34_targets

FILTERS = (64, 128, 256, 512)
NUM_BLOCKS = (3, 4, 6, 3)

# Of ImageNet's photographs, red, green, blue in [0, 1]: what published weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable("mmer_tf")
class ResNet34(Encoder):
    """Encode a picture with ResNet34: the positions of its last feature map.

    He et al. 2016 (doi 10.1109/CVPR.2016.90), without the average over positions and the
    classifier. In training, batch normalisation takes the batch's statistics, and keeps moving
    averages for inference; frozen, it takes the published ones.

    Args:
        filters: of the four stacks, the first of which has 64.
        num_blocks: residual blocks of each stack, at least 1.

    Call: image (batch, height, width, 3) uint8 -> (batch, positions, filters[-1]) and a mask that
        is True throughout; 49 positions of a picture of 224 x 224, from the upper left by rows

    Raises:
        ValueError: not four `filters` and `num_blocks`, or one out of range.
    """

    inputs = "image"

    def __init__(
        self,
        filters: Sequence[int] = FILTERS,
        num_blocks: Sequence[int] = NUM_BLOCKS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if len(filters) != 4 or filters[0] != 64 or min(filters) < 1:
            raise ValueError(
                f"`filters` must be four numbers >= 1, 64 first. Received: filters={filters}."
            )
        if len(num_blocks) != 4 or min(num_blocks) < 1:
            raise ValueError(
                f"`num_blocks` must be four numbers >= 1. Received: num_blocks={num_blocks}."
            )
        self.filters = list(filters)
        self.num_blocks = list(num_blocks)

    @classmethod
    def from_pretrained(
        cls,
        weights: str,
        *,
        filters: Sequence[int] = FILTERS,
        num_blocks: Sequence[int] = NUM_BLOCKS,
        frozen: bool = False,
        **kwargs,
    ) -> "ResNet34":
        """ResNet34 with published weights.

        Args:
            weights: `.safetensors` file with the arrays of torchvision's or timm's ResNet34, or a
                folder or hub name that holds it as `model.safetensors`.
            filters: of the four stacks.
            num_blocks: of the four stacks.
            frozen: see `Encoder`.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of this ResNet.
        """
        checkpoint = Checkpoint.find(weights, needs_config=False)
        encoder = cls(filters, num_blocks, frozen=frozen, **kwargs)
        encoder.build((None, None, None, 3))
        checkpoint.assign(
            resnet34_targets(encoder), ignored=[r"(fc|head)\..*", r".*\.num_batches_tracked"]
        )
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.filters[-1]

    def build(self, image_shape):
        """Create the weights, which fit pictures of any size."""
        self.backbone = keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=self.filters,
            stackwise_num_blocks=self.num_blocks,
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="basic_block",
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="backbone",
        )

    def call(self, image, training=None):
        """Encode (batch, height, width, 3); see the class."""
        image = (ops.cast(image, "float32") / 255.0 - IMAGENET_MEAN) / IMAGENET_DEVIATION
        image = ops.cast(image, self.compute_dtype)
        # (batch, height / 32, width / 32, filters[-1])
        features = self.backbone(image, training=training)
        height, width = ops.shape(features)[1:3]
        sequence = ops.reshape(features, (-1, height * width, self.output_dim))
        return sequence, ops.ones(ops.shape(sequence)[:2], dtype="bool")

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {"filters": self.filters, "num_blocks": self.num_blocks}
