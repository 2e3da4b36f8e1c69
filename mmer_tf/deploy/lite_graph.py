"""A bundle as one graph for LiteRT: one utterance, samples and token ids as many as it has.

Three things differ from the graph of `saved_model`. Spectra are products with small matrices:
LiteRT's Fourier transform takes three times as long, and powers of two alone. LSTMs have the form
that LiteRT runs as one operation. And what turns sound into spectra is kept out of the converter's
sight where it could only do harm: in 8 bits a spectrum loses all that is quiet.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmer_tf.audio.spectrum import FactoredTransform, PowerSpectrum, mel_lines
from mmer_tf.audio.whisper_mel import WhisperMel
from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.data.features import FEATURES
from mmer_tf.deploy.lite_lstm import fused_lstms
from mmer_tf.deploy.raw_graph import RawGraph, Tensors
from mmer_tf.types import SAMPLE_RATE, Seconds

SIGNATURE = "serving_default"

LEAST_SECONDS = 0.1

_FIXED_TABLES = ("cosines", "rows", "colours_and_steps")
"""Attributes of the layers of `audio` that hold large constants, besides `filters`."""


class LiteGraph:
    """What a `.tflite` file computes.

    Args:
        bundle: a finished run.
        max_seconds: longest recording; at most the recipe's `data.max_seconds` counts.

    Call: by name, those that the bundle takes of
        `waveform` float32 (1, samples) in [-1, 1] at 16 kHz, `num_samples` int32 (1,),
        `token_ids` int32 (1, tokens), `token_mask` bool (1, tokens),
        and of a model of both `has_speech`, `has_text` bool (1,)
        -> `probabilities` float32 (1, classes); equal ones where there is nothing to judge

    Raises:
        BundleError: a part of the recipe runs in no graph, or a window that is too short.
        HubError: weights of stored hidden states that cannot be had.
    """

    def __init__(self, bundle: Bundle, max_seconds: Seconds):
        if not max_seconds >= LEAST_SECONDS:  # nor where it is no number
            raise BundleError(
                f"--max-seconds {max_seconds:g}: the window must be at least {LEAST_SECONDS} s"
            )
        self.raw = RawGraph(bundle, crop=False)
        if self.raw.hears_descriptors:
            raise BundleError(
                f"recipe {bundle.recipe.name} hears openSMILE's descriptors, which no graph "
                "computes; train one on log_mel (gmu in place of gmu_lld)"
            )
        self.bundle = bundle
        self.window = int(min(max_seconds, bundle.recipe.data.max_seconds) * SAMPLE_RATE)
        for name in self.raw.layers:
            self.raw.layers[name] = FEATURES[name].layer(dft="factored")

    @property
    def max_tokens(self) -> int | None:
        """Of one utterance at most; None for a model without words."""
        return self.raw.tokenizer.max_tokens if self.bundle.reads else None

    @property
    def specs(self) -> tuple[tf.TensorSpec, ...]:
        """The arguments, in their order."""
        specs = []
        if self.bundle.hears:
            specs.append(tf.TensorSpec((1, None), tf.float32, "waveform"))
            specs.append(tf.TensorSpec((1,), tf.int32, "num_samples"))
        if self.bundle.reads:
            specs.append(tf.TensorSpec((1, None), tf.int32, "token_ids"))
            specs.append(tf.TensorSpec((1, None), tf.bool, "token_mask"))
        if self.bundle.hears and self.bundle.reads:
            specs.append(tf.TensorSpec((1,), tf.bool, "has_speech"))
            specs.append(tf.TensorSpec((1,), tf.bool, "has_text"))
        return tuple(specs)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each input by name, where there is no room for a longer utterance."""
        most = {"waveform": self.window, "token_ids": self.max_tokens}
        most["token_mask"] = self.max_tokens
        return {spec.name: (1, *(most[spec.name] for _ in spec.shape[1:])) for spec in self.specs}

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """All layers of the model, of frozen encoders before it, and of what computes features."""
        parts = (self.bundle.model, *self.raw.encoders.values(), *self.raw.layers.values())
        return tuple(layer for part in parts for layer in part._flatten_layers())

    def __call__(self, *arguments: tf.Tensor) -> Tensors:
        """Judge one utterance; see the class."""
        given = {spec.name: value for spec, value in zip(self.specs, arguments, strict=True)}
        with _at_run_time(self.layers, given.get("num_samples")):
            inputs, readable = self._inputs(given)
            return {"probabilities": self.raw.answer(inputs, readable)["probabilities"]}

    def _inputs(self, given: Tensors) -> tuple[Tensors, tf.Tensor | None]:
        """What the model takes, and whether there is anything to judge, where that may not be."""
        both = "has_speech" in given
        inputs: dict[str, tf.Tensor] = {}
        if self.bundle.hears:
            num_samples = given["num_samples"]
            if both:
                num_samples = tf.where(given["has_speech"], num_samples, 0)
            voice, heard = self.raw.of_voice(given["waveform"], num_samples)
            inputs |= voice
        if self.bundle.reads:
            read = given["has_text"] if both else tf.constant([True])
            inputs |= self.raw.of_tokens(given["token_ids"], given["token_mask"], read)
        return inputs, tf.logical_or(heard, read) if both else None

    def save(self, folder: Path) -> None:
        """Write the graph as a SavedModel, as `lite_convert` reads it."""
        archive = keras.export.ExportArchive()
        for trackable in (self.bundle.model, *self.raw.encoders.values()):
            archive.track(trackable)
        with fused_lstms(self.layers), _front_ends_for_lite(self.layers):
            archive.add_endpoint(SIGNATURE, self, list(self.specs))
            archive.write_out(str(folder), verbose=False)


@contextlib.contextmanager
def _front_ends_for_lite(layers: tuple[keras.layers.Layer, ...]) -> Iterator[None]:
    """Within, Whisper's own front end takes its spectra as LiteRT can."""
    kept = [(one, one.power_spectrum) for one in layers if isinstance(one, WhisperMel)]
    for layer, spectrum in kept:
        length = spectrum.fft_length
        layer.power_spectrum = PowerSpectrum(layer.WINDOW_LENGTH, length, "factored")
    try:
        yield
    finally:
        for layer, spectrum in kept:
            layer.power_spectrum = spectrum


@contextlib.contextmanager
def _at_run_time(
    layers: tuple[keras.layers.Layer, ...], num_samples: tf.Tensor | None
) -> Iterator[None]:
    """Within, the large constants of the front ends are sums with a zero of the input's, and mel
    filters are computed from their corners, which is less to store.

    The converter quantises a product with a constant, and not one of two values that are known
    at run time alone.
    """
    if num_samples is None:
        yield
        return
    zero = tf.cast(num_samples[0] == tf.int32.min, tf.float32)
    kept: list[tuple[Any, str, np.ndarray]] = []
    for layer in layers:
        if hasattr(layer, "power_spectrum"):
            names = [name for name in ("filters", *_FIXED_TABLES) if name in vars(layer)]
            kept += [(layer, name, vars(layer)[name]) for name in names]
            factors = layer.power_spectrum.factors
            kept += [(factors, name, vars(factors)[name]) for name in FactoredTransform.TABLES]
    for owner, name, table in kept:
        is_filters = name == "filters"
        setattr(owner, name, _mel_filters(table.shape, zero) if is_filters else table + zero)
    try:
        yield
    finally:
        for owner, name, table in kept:
            setattr(owner, name, table)


def _mel_filters(shape: tuple[int, int], zero: tf.Tensor) -> tf.Tensor:
    """`mel_filters` in a graph: (bins, num_mels)."""
    bins, num_mels = shape
    numbers = np.arange(bins, dtype=np.float32)[:, None] + zero
    lines = mel_lines(num_mels, 2 * (bins - 1)).astype(np.float32)
    below, above = (numbers * slope + offset for slope, offset in lines)
    return tf.nn.relu(tf.minimum(below, above))
