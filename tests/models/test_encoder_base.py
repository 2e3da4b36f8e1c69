"""What `frozen` means, in whatever an encoder is built into."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.encoders.bert import BERT
from mmer_tf.models.encoders.blstm import BLSTM
from mmer_tf.models.encoders.encoder import Encoder, checked_layers

FRAMES, MASK = np.ones((2, 4, 3), "float32"), np.ones((2, 4), bool)


def encoder_of(frozen: bool) -> BLSTM:
    return BLSTM(units=8, dropout=0.5, frozen=frozen, name="encoder")


def model_of(encoder: Encoder) -> keras.Model:
    """The encoder with a trained layer behind it."""
    frames = keras.Input((None, 3), name="frames")
    mask = keras.Input((None,), dtype="bool", name="mask")
    states, _ = encoder(frames, mask)
    outputs = {"states": states, "logits": keras.layers.Dense(2, name="head")(states)}
    return keras.Model([frames, mask], outputs)


def drops(model: keras.Model) -> bool:
    """Whether the encoder drops anything in training."""
    return bool((np.array(model([FRAMES, MASK], training=True)["states"]) == 0).any())


def trained(model: keras.Model) -> set[str]:
    """First names of the paths of what the optimizer would change."""
    return {weight.path.partition("/")[0] for weight in model.trainable_variables}


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_decides_dropout_and_training(frozen):
    encoder = encoder_of(frozen)
    model = model_of(encoder)
    assert drops(model) is not frozen
    assert trained(model) == ({"head"} if frozen else {"head", "encoder"})
    assert bool(encoder.trainable_weights) is not frozen
    assert len(encoder.weights) == 6


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_can_be_changed_later(frozen):
    encoder = encoder_of(frozen)
    model = model_of(encoder)
    for value in (not frozen, frozen):
        encoder.frozen = value
        assert drops(model) is not value
        assert trained(model) == ({"head"} if value else {"head", "encoder"})


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_survives_the_disk_and_can_be_changed_there(frozen, tmp_path):
    model_of(encoder_of(frozen)).save(tmp_path / "model.keras")
    model = keras.saving.load_model(tmp_path / "model.keras")
    encoder = model.get_layer("encoder")
    assert encoder.frozen is frozen
    assert drops(model) is not frozen
    assert trained(model) == ({"head"} if frozen else {"head", "encoder"})
    encoder.frozen = not frozen
    assert drops(model) is frozen
    assert trained(model) == ({"head", "encoder"} if frozen else {"head"})


def test_frozen_holds_in_a_graph():
    model = model_of(encoder_of(frozen=True))
    graph = tf.function(lambda x: model(x, training=True)["states"])
    states = model([FRAMES, MASK], training=False)["states"]
    np.testing.assert_allclose(graph([FRAMES, MASK]), states, atol=1e-6)


def test_fit_changes_what_is_not_frozen():
    encoder = encoder_of(frozen=True)
    model = model_of(encoder)
    classifier = keras.Model(model.input, model.output["logits"])
    for frozen in (True, False):
        encoder.frozen = frozen
        before = [weight.copy() for weight in encoder.get_weights()]
        classifier.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
        classifier.fit([FRAMES, MASK], np.zeros((2, 4, 2)), verbose=0)
        same = [np.array_equal(*pair) for pair in zip(before, encoder.get_weights(), strict=True)]
        assert all(same) if frozen else not any(same)


def test_a_model_that_is_thawed_leaves_it_frozen():
    encoder = encoder_of(frozen=True)
    model = model_of(encoder)
    model.trainable = False
    model.trainable = True
    assert trained(model) == {"head"}
    assert not encoder.trainable


def test_untrained_but_not_frozen():
    """Keras' own switch stays what it is: no training, but dropout."""
    encoder = BLSTM(units=8, dropout=0.5, trainable=False, name="encoder")
    model = model_of(encoder)
    assert not encoder.frozen
    assert trained(model) == {"head"}
    assert drops(model)


def test_frozen_transformer_drops_nothing():
    encoder = BERT(9, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8, frozen=True)
    token_ids = np.ones((2, 4), "int32")
    resting, _ = encoder(token_ids, MASK, training=False)
    training, _ = encoder(token_ids, MASK, training=True)
    np.testing.assert_array_equal(training, resting)
    assert not encoder.trainable_weights


def test_layers_that_are_there():
    assert checked_layers(None, 2) is None
    assert checked_layers([2, 0], 2) == (2, 0)


@pytest.mark.parametrize("layers", [[], [1, 1], [3], [-1]])
def test_layers_that_are_not_there(layers):
    with pytest.raises(ValueError, match="`layers` must be different numbers from 0 to 2"):
        checked_layers(layers, 2)
