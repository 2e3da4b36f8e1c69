"""Vectors of many units brought to two, so that they can be drawn."""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

FEWEST_POINTS = 5
MOST_POINTS = 1000
PERPLEXITY = 30.0


def choose_points(count: int, most: int = MOST_POINTS, seed: int = 0) -> np.ndarray:
    """Which of `count` utterances are drawn: all, or `most` at random, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def project(vectors: np.ndarray, seed: int = 0) -> np.ndarray | None:
    """Two dimensions in which neighbours stay neighbours: t-SNE.

    Van der Maaten and Hinton 2008, "Visualizing data using t-SNE". Distances between far points,
    and the axes, mean nothing.

    Args:
        vectors: (n, dim).
        seed: of what is drawn.

    Returns:
        (n, 2), the same for the same vectors and seed; None for fewer than 5 vectors, and for
        vectors that are all alike.
    """
    count = len(vectors)
    if count < FEWEST_POINTS or np.ptp(vectors, axis=0).max() == 0:
        return None
    spread = TSNE(
        n_components=2,
        perplexity=min(PERPLEXITY, (count - 1) / 3),
        init="pca" if vectors.shape[1] > 1 else "random",
        random_state=seed,
    )
    with threadpool_limits(1):  # the order in which several threads add up changes the picture
        return spread.fit_transform(vectors.astype("float64"))
