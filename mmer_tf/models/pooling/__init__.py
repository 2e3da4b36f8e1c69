"""Poolings: from a sequence to one vector.

A pooling is a Keras layer: call(sequence (batch, steps, dim), mask (batch, steps) bool)
-> (vector (batch, dim), weights (batch, steps) float32). The weights of a row sum to 1; masked
steps weigh 0; a row with no valid step gives zeros.
"""

from mmer_tf.models.pooling.attention import AttentionPooling
from mmer_tf.models.pooling.cls import CLSPooling
from mmer_tf.models.pooling.last import LastPooling
from mmer_tf.models.pooling.max import MaxPooling
from mmer_tf.models.pooling.mean import MeanPooling
from mmer_tf.models.pooling.sum import SumPooling
from mmer_tf.registry import Registry

POOLINGS = Registry(
    "pooling",
    {
        "last": LastPooling,
        "cls": CLSPooling,
        "mean": MeanPooling,
        "sum": SumPooling,
        "max": MaxPooling,
        "attention": AttentionPooling,
    },
)
