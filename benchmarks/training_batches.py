"""Utterances of the section Training step: made up, of the lengths of real ones, in batches.

Both sides read what `write_batches` left. Needs numpy alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

BATCH_SIZE = 16
CLASSES = 4
MEDIAN_SECONDS, SPREAD = 2.7, 0.35
"""Of EmoDB: the median, and the deviation of the logarithm."""

TOKENS_PER_SECOND = 4

VOCABULARIES = {"gmu": 2_000, "alexnet_bert": 30_522, "hubert_head": None}
"""System -> number of token ids; None without words."""

PASSES = {"gmu": 4, "alexnet_bert": 1, "hubert_head": 4}
"""System -> how often a round goes over the batches."""

LEARNING_RATE, WEIGHT_DECAY, EPSILON, CLIP_NORM = 1e-5, 0.01, 1e-8, 1.0
"""Of AdamW, on both sides."""

FEATURES = {
    "log_mel": ((64,), 100),
    "log_spectrogram": ((321, 3), 50),
    "hubert_states": ((5, 768), 50),
}
"""Shape of a frame, and frames a second."""

Batch = Mapping[str, np.ndarray]


def write_batches(
    file: Path, feature: str, count: int, *, vocabulary: int | None, by_length: bool = True
) -> None:
    """Leave `count` batches.

    Args:
        file: that is written.
        feature: of `FEATURES`.
        count: of batches of `BATCH_SIZE` utterances.
        vocabulary: number of token ids; None without words.
        by_length: neighbours in length share a batch, as in training; else chance decides.
    """
    draw = np.random.default_rng(0)
    seconds = np.exp(draw.normal(np.log(MEDIAN_SECONDS), SPREAD, count * BATCH_SIZE)).clip(1, 8)
    if by_length:
        seconds.sort()
    shape, rate = FEATURES[feature]
    arrays = {}
    for number, lengths in enumerate(seconds.reshape(count, BATCH_SIZE)):
        batch = {"label": draw.integers(0, CLASSES, BATCH_SIZE).astype("int32")}
        mask = _mask((lengths * rate).astype(int))
        frames = draw.normal(size=(*mask.shape, *shape)).astype("float32")
        batch[feature] = np.where(mask.reshape(*mask.shape, *[1] * len(shape)), frames, 0)
        batch[f"{feature}_mask"] = mask
        if vocabulary is not None:
            mask = _mask((lengths * TOKENS_PER_SECOND).astype(int) + 2)
            ids = draw.integers(1, vocabulary, mask.shape)
            batch |= {"token_ids": np.where(mask, ids, 0).astype("int32"), "token_mask": mask}
            batch |= dict.fromkeys(("has_speech", "has_text"), np.ones(BATCH_SIZE, bool))
        arrays |= {f"{number}/{name}": array for name, array in batch.items()}
    np.savez(file, **arrays)


def read_batches(file: Path, batch_size: int) -> list[Batch]:
    """The batches of a file as they are, or its utterances one by one without their padding."""
    batches: dict[str, dict[str, np.ndarray]] = {}
    with np.load(file) as stored:
        for key, array in stored.items():
            number, name = key.split("/")
            batches.setdefault(number, {})[name] = array
    if batch_size == BATCH_SIZE:
        return list(batches.values())
    return [one for batch in batches.values() for one in _one_by_one(batch)]


def _one_by_one(batch: Batch) -> Iterator[Batch]:
    padded = {"token_ids": "token_mask"} | {name: f"{name}_mask" for name in FEATURES}
    for row in range(len(batch["label"])):
        one = {name: array[row : row + 1] for name, array in batch.items()}
        for name, mask in padded.items():
            if name in one:
                length = int(batch[mask][row].sum())
                one |= {name: one[name][:, :length], mask: one[mask][:, :length]}
        yield one


def _mask(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.arange(max(lengths)) < np.asarray(lengths)[:, None]
