"""How far a key lies from its query, as an addition to the attention score."""

import keras
import numpy as np
from keras import ops


def distance_buckets(num_buckets: int, max_distance: int) -> np.ndarray:
    """Bucket of each distance from 0 to `max_distance`, from where on it stays the same.

    Half the buckets are of one distance each, the others grow by a constant ratio (Raffel et al.
    2020, arXiv 1910.10683).

    Args:
        num_buckets: of one direction.
        max_distance: in steps.

    >>> distance_buckets(8, 20).tolist()
    [0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7]
    """
    single = num_buckets // 2
    distances = np.arange(max_distance + 1)
    ratio = np.log(np.maximum(distances, single) / single) / np.log(max_distance / single)
    wide = single + (ratio * (num_buckets - single)).astype("int32")
    return np.where(distances < single, distances, np.minimum(wide, num_buckets - 1))


@keras.saving.register_keras_serializable("mmer_tf")
class RelativePositionBias(keras.layers.Layer):
    """A learned number for each head and each bucket of the distance from query to key.

    Args:
        num_heads: attention heads.
        num_buckets: half of them for keys after the query; a multiple of 4.
        max_distance: in steps, from where on the bucket stays the same; above num_buckets / 4.

    Call: sequence (batch, steps, dim) -> (num_heads, steps, steps)

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, num_heads: int, num_buckets: int, max_distance: int, **kwargs):
        super().__init__(**kwargs)
        if num_buckets < 4 or num_buckets % 4:
            raise ValueError(
                f"`num_buckets` must be a multiple of 4. Received: num_buckets={num_buckets}."
            )
        if max_distance <= num_buckets // 4:
            raise ValueError(
                "`max_bucket_distance` must be above num_buckets / 4. "
                f"Received: max_bucket_distance={max_distance}, num_buckets={num_buckets}."
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.buckets = distance_buckets(num_buckets // 2, max_distance).astype("int32")

    def build(self, sequence_shape):
        """Create the numbers."""
        self.embeddings = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="embeddings",
        )

    def call(self, sequence):
        """Look the numbers up; see the class."""
        steps = ops.arange(ops.shape(sequence)[1])
        offsets = steps[None] - steps[:, None]  # (query steps, key steps)
        distances = ops.minimum(ops.abs(offsets), self.max_distance)
        # From a table: a logarithm in the graph would round differently on other devices.
        buckets = ops.take(ops.convert_to_tensor(self.buckets), distances, axis=0)
        buckets = buckets + ops.where(offsets > 0, self.num_buckets // 2, 0)
        return ops.transpose(ops.take(self.embeddings, buckets, axis=0), (2, 0, 1))

    def get_config(self):
        """Arguments that build this layer again."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
        }
