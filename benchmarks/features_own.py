"""This package's side of features.py: the Keras layers in a graph, as preparing uses them."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from contender import Maker, Work, contend
from features_clips import read_clips, repeated

# One pool, as large as the other side's.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ["TF_NUM_INTEROP_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"]

import numpy as np
import tensorflow as tf

from mmer_tf.data.features import FEATURES


def make(feature: str, work: Path) -> Work:
    """One call for the padded batch of all clips, which may be one alone."""
    clips = read_clips(work)
    num_samples = np.array([len(clip) for clip in clips], np.int32)
    waveform = np.zeros((len(clips), num_samples.max()), np.float32)
    for row, clip in zip(waveform, clips, strict=True):
        row[: len(clip)] = clip
    layer_class = FEATURES[feature].layer
    assert layer_class is not None
    compute: Callable = tf.function(
        layer_class(),
        input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None,), tf.int32)],
    )
    values, mask = (one.numpy() for one in compute(waveform, num_samples))

    def run() -> np.ndarray:
        return compute(waveform, num_samples)[0].numpy()

    return Work(run=repeated(run, clips), answers={feature: values[mask]}, facts={})


MAKERS: dict[str, Maker] = {
    feature: partial(make, feature) for feature in ("log_spectrogram", "log_mel", "mfcc")
}


if __name__ == "__main__":
    contend(MAKERS)
