"""BERT, from scratch or from published weights."""

import json

import keras
import keras_hub
import safetensors
from keras import ops

from mmer_tf.hub import HubError, find_checkpoint
from mmer_tf.models.encoders.encoder import Encoder

LAYER_NORM_EPSILON = 1e-12


@keras.saving.register_keras_serializable("mmer_tf")
class BERT(Encoder):
    """Encode tokens with BERT: the last layer's states (Devlin et al. 2019).

    Args:
        vocabulary_size: number of token ids.
        hidden_dim: width of the states, a multiple of `num_heads`.
        num_layers: transformer layers.
        num_heads: attention heads per layer.
        intermediate_dim: width of the feed-forward part.
        max_tokens: longest sequence it has positions for.
        num_segments: segment embeddings; only segment 0 is used.
        dropout: inside the transformer, as in the paper.

    Call: token_ids (batch, tokens) int32, token_mask (batch, tokens) bool
        -> (batch, tokens, hidden_dim) and the mask

    Raises:
        ValueError: `hidden_dim` is no multiple of `num_heads`.
    """

    inputs = "tokens"

    def __init__(
        self,
        vocabulary_size: int,
        hidden_dim: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        intermediate_dim: int = 3072,
        max_tokens: int = 512,
        num_segments: int = 2,
        dropout: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.max_tokens = max_tokens
        self.num_segments = num_segments
        self.dropout = dropout
        # Names as in `keras_hub.models.BertBackbone`: published weights go from name to name.
        shared = {"dtype": self.dtype_policy}
        embed = {"embeddings_initializer": _initializer(), **shared}
        self.token_embedding = keras.layers.Embedding(
            vocabulary_size, hidden_dim, name="token_embedding", **embed
        )
        self.position_embedding = keras_hub.layers.PositionEmbedding(
            max_tokens, initializer=_initializer(), name="position_embedding", **shared
        )
        self.segment_embedding = keras.layers.Embedding(
            num_segments, hidden_dim, name="segment_embedding", **embed
        )
        self.embeddings_layer_norm = keras.layers.LayerNormalization(
            epsilon=LAYER_NORM_EPSILON, name="embeddings_layer_norm", **shared
        )
        self.embeddings_dropout = keras.layers.Dropout(dropout, name="embeddings_dropout", **shared)
        self.transformer_layers = [
            keras_hub.layers.TransformerEncoder(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                # BertBackbone's own is the tanh approximation, up to 2e-4 off in the states.
                activation="gelu",
                layer_norm_epsilon=LAYER_NORM_EPSILON,
                kernel_initializer=_initializer(),
                name=f"transformer_layer_{index}",
                **shared,
            )
            for index in range(num_layers)
        ]

    @classmethod
    def from_pretrained(cls, weights: str, dropout: float = 0.1, **kwargs) -> "BERT":
        """BERT with published weights, and of their size.

        Args:
            weights: folder in Hugging Face layout (`config.json`, `model.safetensors`), or a hub
                name such as `google-bert/bert-base-uncased`.
            dropout: inside the transformer.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of a BERT.
        """
        folder = find_checkpoint(weights, ["config.json", "model.safetensors"])
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            is_bert = config["model_type"] == "bert"
            pretrained = keras_hub.models.BertBackbone.from_preset(str(folder)) if is_bert else None
        except (KeyError, ValueError, safetensors.SafetensorError) as error:
            raise HubError(
                f"{folder}: config.json and model.safetensors are damaged, or do not belong "
                "together; fetch the whole folder again with `hf download`."
            ) from error
        if pretrained is None:
            raise HubError(
                f"{folder} holds a model of type '{config['model_type']}', not a BERT; give one "
                "such as google-bert/bert-base-uncased."
            )
        encoder = cls(
            vocabulary_size=pretrained.vocabulary_size,
            hidden_dim=pretrained.hidden_dim,
            num_layers=pretrained.num_layers,
            num_heads=pretrained.num_heads,
            intermediate_dim=pretrained.intermediate_dim,
            max_tokens=pretrained.max_sequence_length,
            num_segments=pretrained.num_segments,
            dropout=dropout,
            **kwargs,
        )
        encoder.build((None, None))
        for layer in encoder.weighted_layers:
            layer.set_weights(pretrained.get_layer(layer.name).get_weights())
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.hidden_dim

    @property
    def weighted_layers(self) -> list[keras.layers.Layer]:
        """The layers that hold weights, from the tokens upwards."""
        return [
            self.token_embedding,
            self.position_embedding,
            self.segment_embedding,
            self.embeddings_layer_norm,
            *self.transformer_layers,
        ]

    def build(self, token_ids_shape):
        """Create the weights."""
        states_shape = (*token_ids_shape, self.hidden_dim)
        for layer in self.weighted_layers:
            is_table = isinstance(layer, keras.layers.Embedding)
            layer.build(token_ids_shape if is_table else states_shape)

    def call(self, token_ids, token_mask, training=None):
        """Encode (batch, tokens); see the class."""
        token_ids = ops.where(token_mask, token_ids, 0)
        sequence = self.token_embedding(token_ids)  # (batch, tokens, hidden_dim)
        sequence = (
            sequence
            + self.position_embedding(sequence)
            + self.segment_embedding(ops.zeros_like(token_ids))
        )
        sequence = self.embeddings_layer_norm(sequence)
        sequence = self.embeddings_dropout(sequence, training=training)
        for layer in self.transformer_layers:
            sequence = layer(sequence, padding_mask=token_mask, training=training)
        return ops.where(token_mask[:, :, None], sequence, 0), token_mask

    def get_config(self):
        """Arguments that build this layer again, without the published weights."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "intermediate_dim": self.intermediate_dim,
            "max_tokens": self.max_tokens,
            "num_segments": self.num_segments,
            "dropout": self.dropout,
        }


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
