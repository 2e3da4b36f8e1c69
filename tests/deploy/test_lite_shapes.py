"""Shape arithmetic goes, and what is computed stays."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from mmer_tf.deploy.lite_model import LiteModel
from mmer_tf.deploy.lite_shapes import settle_shapes

WIDTH, UNITS = 8, 6


def layers(draw: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "first": draw.normal(size=(WIDTH, UNITS)).astype("float32"),
        "bias": draw.normal(size=UNITS).astype("float32"),
        "second": draw.normal(size=(UNITS, 4)).astype("float32"),
    }


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return layers(np.random.default_rng(0))


@pytest.fixture(scope="module")
def converted(weights, tmp_path_factory) -> bytes:
    """Two dense layers over (1, steps, 8), then pairs of neighbouring steps."""

    def dense(x):
        hidden = keras.ops.tanh(keras.ops.matmul(x, weights["first"]) + weights["bias"])
        steps = keras.ops.matmul(hidden, weights["second"])
        pairs = keras.ops.reshape(steps, (keras.ops.shape(x)[0], keras.ops.shape(x)[1] // 2, 8))
        return {"y": pairs}

    module, folder = tf.Module(), tmp_path_factory.mktemp("dense") / "model"
    spec = tf.TensorSpec((1, None, WIDTH), name="x")
    module.run = tf.function(dense, input_signature=[spec])
    tf.saved_model.save(module, str(folder), {"serving_default": module.run})
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def expected(x: np.ndarray, weights) -> np.ndarray:
    hidden = np.tanh(x @ weights["first"] + weights["bias"])
    return (hidden @ weights["second"]).reshape(1, -1, 8)


def settled(converted: bytes) -> LiteModel:
    model = LiteModel(converted)
    settle_shapes(model)
    return model


def test_results_are_the_same_for_every_length(converted, weights):
    model = settled(converted)
    model.set_input_shapes({"x": (1, 10, WIDTH)})
    model.compact()
    run = Interpreter(model_content=model.pack()).get_signature_runner()
    for steps in (2, 10, 4, 64):
        x = np.random.default_rng(steps).normal(size=(1, steps, WIDTH)).astype("float32")
        np.testing.assert_allclose(run(x=x)["y"], expected(x, weights), atol=1e-5)


def test_shapes_are_no_longer_computed(converted):
    assert {"SHAPE", "PACK"} & LiteModel(converted).operations
    model = settled(converted)
    assert not {"SHAPE", "PACK", "GATHER", "REDUCE_PROD"} & model.operations
    names = [model.name_of(one) for one in model.graphs[0].operators]
    # Around the second layer both stay: what follows it is the one into pairs.
    assert names.count("FULLY_CONNECTED") == 2 and names.count("RESHAPE") == 2


def test_compact_model_is_smaller_and_says_its_shape(converted, tmp_path: Path):
    model = settled(converted)
    before = len(model.pack())
    model.set_input_shapes({"x": (1, 10, WIDTH)})
    model.compact()
    content = model.pack()
    assert len(content) < before < len(converted)
    (given,) = Interpreter(model_content=content).get_input_details()
    assert given["shape"].tolist() == [1, 10, WIDTH]
    assert given["shape_signature"].tolist() == [1, -1, WIDTH]
