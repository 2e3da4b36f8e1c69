"""The bidirectional LSTM answers and learns what Keras' own layer does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.encoders.lstm import run_both_ways

UNITS, DIM, LENGTHS = 5, 3, (7, 1, 4)


@pytest.fixture(scope="module")
def layer():
    layer = keras.layers.Bidirectional(keras.layers.LSTM(UNITS, return_sequences=True))
    layer.build((None, None, DIM))
    draw = np.random.default_rng(0)
    layer.set_weights([draw.normal(size=w.shape, scale=0.5) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("compiled", [False, True])
def test_answers_and_gradients_are_those_of_keras(layer, compiled):
    draw = np.random.default_rng(1)
    sequence = tf.constant(draw.normal(size=(len(LENGTHS), max(LENGTHS), DIM)), "float32")
    mask = tf.sequence_mask(LENGTHS)
    upstream = draw.normal(size=(*mask.shape, 2 * UNITS)) * mask.numpy()[:, :, None]
    cells = (layer.forward_layer.cell, layer.backward_layer.cell)

    def learn(run):
        with tf.GradientTape() as tape:
            tape.watch(sequence)
            states = run()
            loss = tf.reduce_sum(states * tf.constant(upstream, "float32"))
        weights = [weight.value for weight in layer.trainable_weights]
        return states, *tape.gradient(loss, [sequence, *weights])

    wanted, *slopes = learn(lambda: layer(sequence, mask=mask))
    learned = tf.function(
        lambda: learn(lambda: run_both_ways(sequence, mask, cells)), jit_compile=compiled
    )
    states, *own_slopes = learned()
    np.testing.assert_allclose(states[mask], wanted[mask], atol=1e-6)
    assert len(own_slopes) == len(slopes) == 7
    for got, expected in zip(own_slopes, slopes, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
