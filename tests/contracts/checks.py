"""What every encoder, pooling, fusion and whole model must hold.

The checks take a functional model with named inputs, so that one set serves them all. `padded`
names, for each input with padding, the input that tells what is real: a mask (batch, steps) bool,
or how many steps count (batch,) int.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]

MORE_STEPS, MORE_SAMPLES = 5, 1000
"""How much longer the padding gets; the samples are those of several steps."""


def call(layer: keras.layers.Layer, inputs: Mapping[str, Any], **arguments):
    """What the layer answers; it takes its inputs one by one, but streams as a dict."""
    if getattr(layer, "inputs", None) == "streams":
        return layer(dict(inputs), **arguments)
    return layer(*inputs.values(), **arguments)


def model_of(layer: keras.layers.Layer, inputs: Arrays) -> keras.Model:
    """A functional model of one layer; the steps' axis is left open."""
    symbolic = {
        name: keras.Input(_open_shape(name, array), dtype=array.dtype.name, name=name)
        for name, array in inputs.items()
    }
    return keras.Model(symbolic, keras.tree.flatten(call(layer, symbolic)))


def _open_shape(name: str, array: np.ndarray) -> tuple[int | None, ...]:
    """Shape without the batch: vectors, images and one value a row have no steps."""
    is_vector = array.ndim == 2 and array.dtype.kind == "f" and name != "waveform"
    if array.ndim == 1 or is_vector or array.dtype == np.uint8:
        return array.shape[1:]
    return (None, *array.shape[2:])


def run(model: keras.Model, inputs: Arrays) -> list[np.ndarray]:
    """All outputs in inference, half precision widened."""
    return _arrays(model(dict(inputs), training=False))


def _arrays(outputs) -> list[np.ndarray]:
    arrays = [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(outputs)]
    return [a if a.dtype.kind == "b" else a.astype("float32") for a in arrays]


def assert_close(got: list[np.ndarray], wanted: list[np.ndarray], tolerance: float = 1e-5):
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def check_declared(model: keras.Model, inputs: Arrays):
    """Shape and dtype are those of the symbolic outputs."""
    declared = keras.tree.flatten(model.output)
    for symbolic, actual in zip(declared, keras.tree.flatten(model(dict(inputs))), strict=True):
        assert keras.backend.standardize_dtype(actual.dtype) == symbolic.dtype
        assert len(actual.shape) == len(symbolic.shape)
        for wanted, size in zip(symbolic.shape, actual.shape, strict=True):
            assert wanted in (None, size)


def check_round_trip(model: keras.Model, inputs: Arrays, folder: Path):
    """The same outputs from the configuration with the weights, and from a `.keras` file."""
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    assert_close(run(again, inputs), run(model, inputs), tolerance=0)
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    assert_close(run(loaded, inputs), run(model, inputs), tolerance=0)


def check_padding(model: keras.Model, inputs: Arrays, padded: Mapping[str, str]):
    """NaN, wild token ids and further padded steps where nothing is real change nothing."""
    longer = {}
    for name, array in inputs.items():
        if name in padded or (name in padded.values() and array.ndim == 2):
            more = MORE_SAMPLES if name == "waveform" else MORE_STEPS
            array = np.pad(array, [(0, 0), (0, more)] + [(0, 0)] * (array.ndim - 2))
        longer[name] = array.copy()
    for name, teller in padded.items():
        garbage = np.nan if longer[name].dtype.kind == "f" else 10**6
        longer[name][~_real(longer[name], longer[teller])] = garbage
    for got, wanted in zip(run(model, longer), run(model, inputs), strict=True):
        _assert_padded(got, wanted)


def check_row_alone(model: keras.Model, inputs: Arrays, padded: Mapping[str, str]):
    """A row without its padding and its neighbours gives what it gives in the batch."""
    batch = run(model, inputs)
    for row in range(len(next(iter(inputs.values())))):
        alone = {name: array[row : row + 1] for name, array in inputs.items()}
        for name, teller in padded.items():
            length = max(_real(inputs[name], inputs[teller])[row].sum(), 1)
            alone[name] = alone[name][:, :length]
            if inputs[teller].ndim == 2:
                alone[teller] = inputs[teller][row : row + 1, :length]
        for together, single in zip(batch, run(model, alone), strict=True):
            _assert_padded(together[row : row + 1], single)


def _real(array: np.ndarray, teller: np.ndarray) -> np.ndarray:
    """Which steps of `array` are real, bool (batch, steps)."""
    return teller if teller.ndim == 2 else np.arange(array.shape[1]) < teller[:, None]


def _assert_padded(long: np.ndarray, short: np.ndarray):
    """`long` is `short` followed by zeros along the steps."""
    padding = [(0, more - fewer) for more, fewer in zip(long.shape, short.shape, strict=True)]
    np.testing.assert_allclose(long, np.pad(short, padding), rtol=1e-5, atol=1e-5)


def check_gradients(model: keras.Model, inputs: Arrays, without: Collection[str] = ()):
    """Every trainable weight but those whose path ends as listed learns something."""
    draw = np.random.default_rng(0)
    with tf.GradientTape() as tape:
        outputs = [
            tf.cast(output, "float32")
            for output in keras.tree.flatten(model(dict(inputs), training=False))
            if output.dtype != "bool"
        ]
        loss = sum(tf.reduce_sum(draw.normal(size=o.shape).astype("float32") * o) for o in outputs)
    weights = model.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    for weight, gradient in zip(weights, gradients, strict=True):
        assert gradient is not None, f"{weight.path} is not used"
        largest = np.abs(tf.convert_to_tensor(gradient).numpy()).max()
        assert np.isfinite(largest), weight.path
        if not weight.path.endswith(tuple(without)):
            assert largest > 1e-8, f"{weight.path} learns nothing"


def check_compiled(model: keras.Model, inputs: Arrays):
    """Eager, graph and XLA agree."""
    eager = run(model, inputs)
    for jit_compile in (False, True):
        function = tf.function(lambda x: model(x, training=False), jit_compile=jit_compile)
        assert_close(_arrays(function(dict(inputs))), eager, tolerance=2e-5)


def check_policy(half: keras.Model, full: keras.Model, inputs: Arrays, tolerance: float):
    """A model in half precision keeps float32 weights and answers about the same."""
    half.set_weights(full.get_weights())
    assert {weight.dtype for weight in half.trainable_weights} <= {"float32"}
    outputs = run(half, inputs)
    assert all(np.isfinite(output).all() for output in outputs)
    assert_close(outputs, run(full, inputs), tolerance)


def without_steps(inputs: Arrays, padded: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The same inputs, nothing of the first row real."""
    inputs = {name: array.copy() for name, array in inputs.items()}
    for teller in padded.values():
        inputs[teller][0] = 0
    return inputs


def padded_inputs(inputs: Collection[str]) -> dict[str, str]:
    """Which input tells what of which is real, by the names of the interfaces."""
    tellers = {
        "sequence": "mask",
        "token_ids": "token_mask",
        "word_of_token": "token_mask",
        "waveform": "num_samples",
    }
    pairs = {name: tellers.get(name, f"{name}_mask") for name in inputs}
    return {name: teller for name, teller in pairs.items() if teller in inputs}


POLICIES = {"mixed_float16": 0.01, "mixed_bfloat16": 0.08}
"""Half-precision policies, with the tolerance that their rounding asks for."""
