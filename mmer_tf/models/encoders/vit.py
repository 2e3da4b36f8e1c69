"""Vision transformer over a picture of a spectrogram."""

import keras
import keras_hub
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.vit import vit_sizes, vit_targets


@keras.saving.register_keras_serializable("mmer_tf")
class ViT(Encoder):
    """Encode a picture with a vision transformer: the states of [CLS] and of the patches.

    Dosovitskiy et al. 2021 (arXiv 2010.11929), after the last normalisation and before the pooler;
    ViT-Base/16 by default.

    Args:
        image_size: height and width in pixels that pictures are brought to, a multiple of
            `patch_size`; 224 leaves the stored mel picture as it is.
        patch_size: height and width of a patch in pixels, at least 1.
        hidden_dim: width of the states, a multiple of `num_heads`.
        num_layers: transformer layers.
        num_heads: attention heads per layer.
        intermediate_dim: width of the feed-forward part.
        layer_norm_epsilon: of the normalisations.
        dropout: inside the transformer, of states and of attention weights.

    Call: image (batch, height, width, 3) uint8 -> (batch, 1 + patches, hidden_dim), [CLS] and
        then the patches from the upper left by rows, and a mask that is True throughout. A picture
        of another size is resized, bilinear between pixel centres.

    Raises:
        ValueError: an argument out of range, or no multiple where it must be one.
    """

    inputs = "image"

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        hidden_dim: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        intermediate_dim: int = 3072,
        layer_norm_epsilon: float = 1e-12,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for argument, value in (("patch_size", patch_size), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"`{argument}` must be >= 1. Received: {argument}={value}.")
        if image_size < 1 or image_size % patch_size:
            raise ValueError(
                "`image_size` must be a multiple of `patch_size`. "
                f"Received: image_size={image_size}, patch_size={patch_size}."
            )
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}.")
        self.image_size = image_size
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.layer_norm_epsilon = layer_norm_epsilon
        self.dropout = dropout

    @classmethod
    def from_pretrained(
        cls, weights: str, *, frozen: bool = False, dropout: float = 0.0, **kwargs
    ) -> "ViT":
        """A vision transformer with published weights, and of their size.

        Args:
            weights: folder in Hugging Face layout, or hub name such as
                `google/vit-base-patch16-224-in21k`. A `.safetensors` file alone must hold a
                ViT-Base/16 for 224 x 224 pixels.
            frozen: see `Encoder`.
            dropout: inside the transformer.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of a vision transformer.
        """
        checkpoint = Checkpoint.find(weights)
        encoder = cls(**vit_sizes(checkpoint), frozen=frozen, dropout=dropout, **kwargs)
        encoder.build((None, encoder.image_size, encoder.image_size, 3))
        checkpoint.assign(
            vit_targets(encoder),
            prefixes=("vit.", ""),
            ignored=[r"(vit\.)?pooler\..*", r"classifier\..*"],
        )
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.hidden_dim

    def build(self, image_shape):
        """Create the weights."""
        self.backbone = keras_hub.models.ViTBackbone(
            image_shape=(self.image_size, self.image_size, 3),
            patch_size=self.patch_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            hidden_dim=self.hidden_dim,
            mlp_dim=self.intermediate_dim,
            dropout_rate=self.dropout,
            attention_dropout=self.dropout,
            layer_norm_epsilon=self.layer_norm_epsilon,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="backbone",
        )

    def call(self, image, training=None):
        """Encode (batch, height, width, 3); see the class."""
        size = (self.image_size, self.image_size)
        image = ops.cast(image, "float32") / 127.5 - 1.0  # as published: mean and deviation 0.5
        if tuple(image.shape[1:3]) != size:
            image = ops.image.resize(image, size, data_format="channels_last")
        # (batch, image_size, image_size, 3)
        sequence = self.backbone(ops.cast(image, self.compute_dtype), training=training)
        return sequence, ops.ones(ops.shape(sequence)[:2], dtype="bool")

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "dropout": self.dropout,
        }
