"""BERT, from scratch or from published weights."""

from collections.abc import Sequence

import keras
import keras_hub
from keras import ops

from mmer_tf.models.encoders.encoder import Encoder, checked_layers, require_positive
from mmer_tf.models.weights.bert import (
    PREFIXES,
    RENAMED,
    bert_sizes,
    bert_targets,
    ignored_names,
)
from mmer_tf.models.weights.checkpoint import Checkpoint

LAYER_NORM_EPSILON = 1e-12


@keras.saving.register_keras_serializable("mmer_tf")
class BERT(Encoder):
    """Encode tokens with BERT (Devlin et al. 2019, arXiv 1810.04805).

    Args:
        vocabulary_size: number of token ids.
        hidden_dim: width of the states, a multiple of `num_heads`.
        num_layers: transformer layers.
        num_heads: attention heads per layer.
        intermediate_dim: width of the feed-forward part.
        max_tokens: longest sequence it has positions for.
        num_segments: segment embeddings; only segment 0 is used.
        dropout: inside the transformer, as in the paper.
        layers: hidden states to answer: 0 enters the first transformer layer, N leaves layer N.
            Layers above the highest of them are not built. None is the last alone.
        pooler: put BERT's own pooled output, `tanh(W h + b)` of the `[CLS]` state, in the place of
            the first step, where the pooling `cls` reads it; goes with the last layer alone.

    Call: token_ids (batch, tokens) int32, token_mask (batch, tokens) bool
        -> (batch, tokens, hidden_dim), or with `layers` (batch, tokens, len(layers), hidden_dim),
        and the mask

    Raises:
        ValueError: an argument out of range, or `pooler` with `layers`.
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
        layers: Sequence[int] | None = None,
        pooler: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(num_layers=num_layers)
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` must be a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}."
            )
        if pooler and layers is not None:
            raise ValueError(
                "`pooler` reads the last layer's states, so `layers` must be None. "
                f"Received: layers={layers}."
            )
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.intermediate_dim = intermediate_dim
        self.max_tokens = max_tokens
        self.num_segments = num_segments
        self.dropout = dropout
        self.layers = checked_layers(layers, num_layers)
        self.pooler = pooler
        self.highest_layer = num_layers if self.layers is None else max(self.layers)
        # Names as in `keras_hub.models.BertBackbone`.
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
            for index in range(self.highest_layer)
        ]
        self.pooler_dense = None
        if pooler:
            self.pooler_dense = keras.layers.Dense(
                hidden_dim,
                activation="tanh",
                kernel_initializer=_initializer(),
                name="pooler_dense",
                **shared,
            )

    @classmethod
    def from_pretrained(
        cls,
        weights: str,
        *,
        layers: Sequence[int] | None = None,
        frozen: bool = False,
        dropout: float = 0.1,
        pooler: bool = False,
        **kwargs,
    ) -> "BERT":
        """BERT with published weights, and of their size.

        Args:
            weights: folder in Hugging Face layout (`config.json`, `model.safetensors`), or a hub
                name such as `google-bert/bert-base-uncased`; heads in it are not read.
            layers: hidden states to answer, as of the class.
            frozen: not trained, and run as in inference.
            dropout: inside the transformer.
            pooler: as of the class; its weights must then be there.
            kwargs: of the Keras layer.

        Raises:
            HubError: the weights cannot be had, or are not those of a BERT.
            ValueError: an argument out of range.
        """
        checkpoint = Checkpoint.find(weights)
        encoder = cls(
            **bert_sizes(checkpoint),
            dropout=dropout,
            layers=layers,
            pooler=pooler,
            frozen=frozen,
            **kwargs,
        )
        encoder.build((None, None))
        checkpoint.assign(
            bert_targets(encoder),
            prefixes=PREFIXES,
            ignored=ignored_names(encoder),
            renamed=RENAMED,
        )
        return encoder

    @property
    def output_dim(self) -> int:
        """Width of one step of the answer."""
        return self.hidden_dim

    def build(self, token_ids_shape):
        """Create the weights."""
        states_shape = (*token_ids_shape, self.hidden_dim)
        self.token_embedding.build(token_ids_shape)
        self.position_embedding.build(states_shape)
        self.segment_embedding.build(token_ids_shape)
        for layer in (self.embeddings_layer_norm, *self.transformer_layers):
            layer.build(states_shape)
        if self.pooler:
            self.pooler_dense.build(states_shape)

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
        states = [self.embeddings_dropout(sequence, training=training)]
        for layer in self.transformer_layers:
            states.append(layer(states[-1], padding_mask=token_mask, training=training))
        if self.layers is not None:
            chosen = ops.stack([states[index] for index in self.layers], axis=2)
            return ops.where(token_mask[:, :, None, None], chosen, 0), token_mask
        sequence = states[-1]
        if self.pooler:
            pooled = self.pooler_dense(sequence[:, :1])
            sequence = ops.concatenate([pooled, sequence[:, 1:]], axis=1)
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
            "layers": self.layers,
            "pooler": self.pooler,
        }


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
