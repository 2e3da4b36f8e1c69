"""What is stored of a voice: one table of features, computed by the layers of the models."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from mmer_tf.audio.features import MFCC, LogMel, LogSpectrogram
from mmer_tf.audio.lld import extract_lld
from mmer_tf.audio.mel_image import MelImage
from mmer_tf.registry import Registry
from mmer_tf.types import SAMPLE_RATE

Extractor = Callable[[np.ndarray], np.ndarray]
"""Of one clip: float32 waveform (samples,) in [-1, 1] -> the array as it is stored."""

ClipFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""The same inside a TensorFlow graph: waveform (samples,), num_samples () int -> the array, in
float32 or as the picture that it is, with one frame at least."""

WAVEFORM = "waveform"

FULL_SCALE = 32_768
"""A 16-bit sample is the waveform's value times this."""


@dataclass(frozen=True)
class Layout:
    """How the array of one utterance is stored.

    Args:
        shape: of the array without its first axis, which counts frames or tokens; of the whole
            array for an image.
        dtype: as stored; uint8 for images alone.
        frames_per_second: steps of the first axis a second; None for an image and for tokens.
        of_recording: computed from the recording, not from the transcript.
    """

    shape: tuple[int, ...]
    dtype: Literal["float16", "float32", "int16", "uint8"]
    frames_per_second: int | None
    of_recording: bool = field(default=True, kw_only=True)

    @property
    def is_image(self) -> bool:
        """Whether it is stored as PNG, without an axis of its own for time."""
        return self.dtype == "uint8"

    @property
    def bytes_per_frame(self) -> int:
        """Of one step of the first axis, where there is one."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def dim(self) -> int:
        """Width of the last axis."""
        return self.shape[-1]


@dataclass(frozen=True)
class Feature(Layout):
    """One representation of a waveform.

    Args:
        make: builds the extractor.
        parameters: what else determines the values.
        in_graph: builds what computes it on the way to a model; None where no layer does.
        layer: of `audio`, what computes it for a batch; None where no layer does.
    """

    make: Callable[[], Extractor]
    parameters: Callable[[], Mapping[str, Any]] = dict
    in_graph: Callable[[], ClipFunction] | None = None
    layer: type[keras.layers.Layer] | None = None

    @cached_property
    def extract(self) -> Extractor:
        """The extractor, built at its first use."""
        return self.make()


def _of_layer(
    layer_class: type[keras.layers.Layer],
    shape: tuple[int, ...],
    dtype: Literal["float16", "uint8"],
    frames_per_second: int | None,
) -> Feature:
    layout = Layout(shape, dtype, frames_per_second)

    def in_graph() -> ClipFunction:
        layer = layer_class()

        def compute(waveform: tf.Tensor, num_samples: tf.Tensor) -> tf.Tensor:
            feature = layer(waveform[None], num_samples[None])
            if isinstance(feature, tuple):
                feature, _ = feature  # alone in its batch, the clip has no masked frame
            return tf.ensure_shape(feature[0], shape if layout.is_image else (None, *shape))

        return compute

    def make() -> Extractor:
        compute = in_graph()

        @tf.function(input_signature=[tf.TensorSpec((None,))])
        def extract(waveform: tf.Tensor) -> tf.Tensor:
            return tf.cast(compute(waveform, tf.size(waveform)), dtype)

        # Finding the function of one signature would take as long as half of a clip's log-mel.
        traced = extract.get_concrete_function()
        return lambda waveform: traced(tf.constant(waveform, tf.float32)).numpy()

    return Feature(
        shape,
        dtype,
        frames_per_second,
        make,
        lambda: _parameters(layer_class()),
        in_graph,
        layer_class,
    )


def _parameters(layer: keras.layers.Layer) -> dict[str, Any]:
    known_elsewhere = ("name", "dtype", "trainable")
    return {k: v for k, v in layer.get_config().items() if k not in known_elsewhere}


def _quantise(waveform: np.ndarray) -> np.ndarray:
    levels = np.rint(waveform * FULL_SCALE)
    return np.clip(levels, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def _unchanged(waveform: tf.Tensor, num_samples: tf.Tensor) -> tf.Tensor:
    del num_samples
    return waveform


FEATURES: Registry[Feature] = Registry(
    "feature",
    {
        "log_spectrogram": _of_layer(LogSpectrogram, (321, 3), "float16", 50),
        "log_mel": _of_layer(LogMel, (64,), "float16", 100),
        "mfcc": _of_layer(MFCC, (40,), "float16", 100),
        "mel_image": _of_layer(MelImage, (224, 224, 3), "uint8", None),
        # Not float16: the spectral variance (about 1e6 Hz²) leaves its range.
        "lld": Feature((65,), "float32", 100, lambda: extract_lld),
        WAVEFORM: Feature((), "int16", SAMPLE_RATE, lambda: _quantise, in_graph=lambda: _unchanged),
    },
)


def follows_waveform(name: str) -> bool:
    """Whether a feature can be computed from a changed waveform while a model trains.

    >>> follows_waveform("log_mel"), follows_waveform("lld"), follows_waveform("hubert_states")
    (True, False, False)
    """
    return name in FEATURES and FEATURES[name].in_graph is not None
