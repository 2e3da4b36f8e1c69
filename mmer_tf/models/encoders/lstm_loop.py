"""Both directions of a bidirectional LSTM in one loop, with a gradient of its own.

Written in TensorFlow for speed: what does not depend on the step before is computed for all steps
at once, and the gradient reads what the forward loop has stored, where TensorFlow's own would keep
the answer of every operation of every step.
"""

from typing import Any

import tensorflow as tf


def run_both_ways(sequence: tf.Tensor, mask: tf.Tensor, cells: tuple[Any, Any]) -> tf.Tensor:
    """A bidirectional LSTM (Hochreiter and Schmidhuber 1997) over the real steps alone.

    Args:
        sequence: (batch, steps, dim), finite where the mask is False.
        mask: (batch, steps) bool with the real steps first.
        cells: Keras' LSTM cell of the forward and of the backward direction.

    Returns:
        (batch, steps, 2 * units), the forward direction first; not defined where the mask is False.
    """
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    dtype = sequence.dtype
    kernel, recurrent, bias = (
        [_by_function(tf.cast(getattr(cell, name), dtype)) for cell in cells]
        for name in ("kernel", "recurrent_kernel", "bias")
    )
    rows, steps, dim = sequence.shape[0], sequence.shape[1], sequence.shape[2]
    rows = tf.shape(sequence)[0] if rows is None else rows
    steps = tf.shape(sequence)[1] if steps is None else steps
    # (steps, batch, dim) -> (steps, batch, 8 * units)
    by_step = tf.reshape(tf.transpose(sequence, (1, 0, 2)), (-1, dim))
    driven = tf.nn.bias_add(tf.matmul(by_step, tf.concat(kernel, axis=1)), tf.concat(bias, axis=0))
    ahead, back = tf.split(tf.reshape(driven, (steps, rows, driven.shape[-1])), 2, axis=-1)
    back = tf.reverse_sequence(back, lengths, seq_axis=0, batch_axis=1)
    states = _run(tf.stack([ahead, back], axis=1), tf.stack(recurrent))
    ahead, back = tf.unstack(states, num=2, axis=1)  # (steps, batch, units)
    back = tf.reverse_sequence(back, lengths, seq_axis=0, batch_axis=1)
    return tf.transpose(tf.concat([ahead, back], axis=-1), (1, 0, 2))


def _by_function(weights: tf.Tensor) -> tf.Tensor:
    """Gates in the order input, forget, output, candidate: those of one function side by side."""
    enter, forget, candidate, leave = tf.split(weights, 4, axis=-1)
    return tf.concat([enter, forget, leave, candidate], axis=-1)


@tf.custom_gradient
def _run(driven: tf.Tensor, recurrent: tf.Tensor):
    """The hidden states of every step, from states of zero.

    Args:
        driven: (steps, 2, batch, 4 * units), what the inputs and biases give to the gates.
        recurrent: (2, units, 4 * units).

    Returns:
        (steps, 2, batch, units).
    """
    units = recurrent.shape[1]
    steps = tf.shape(driven)[0]
    zero = tf.zeros((2, tf.shape(driven)[2], units), driven.dtype)
    ways = tf.unstack(recurrent)
    given = _array(driven)
    stored = tf.TensorArray(driven.dtype, steps, element_shape=(2, driven.shape[2], 6 * units))

    def forward(step, hidden, cell, stored):
        gates = given.read(step) + _each_way(hidden, ways)
        gates, candidate = tf.split(gates, [3 * units, units], axis=-1)
        gates, candidate = tf.sigmoid(gates), tf.tanh(candidate)
        enter, forget, leave = tf.split(gates, 3, axis=-1)
        cell = forget * cell + enter * candidate
        hidden = leave * tf.tanh(cell)
        stored = stored.write(step, tf.concat([gates, candidate, cell, hidden], axis=-1))
        return step + 1, hidden, cell, stored

    stored = tf.while_loop(
        lambda step, *_: step < steps, forward, (0, zero, zero, stored), parallel_iterations=1
    )[-1]
    enter, forget, leave, candidate, cell, hidden = tf.split(stored.stack(), 6, axis=-1)

    def gradient(upstream):
        squashed = tf.tanh(cell)
        to_gates = tf.concat(
            [
                candidate * enter * (1 - enter),
                _delayed(cell) * forget * (1 - forget),
                squashed * leave * (1 - leave),
                enter * (1 - candidate * candidate),
            ],
            axis=-1,
        )
        to_cell = leave * (1 - squashed * squashed)
        given = _array(tf.concat([to_gates, to_cell, forget, upstream], axis=-1))
        stored = tf.TensorArray(driven.dtype, steps, element_shape=driven.shape[1:])

        def backward(step, of_hidden, of_cell, stored):
            to_gates, to_cell, forget, upstream = tf.split(
                given.read(step), [4 * units, units, units, units], axis=-1
            )
            of_hidden = of_hidden + upstream
            of_cell = of_cell + of_hidden * to_cell
            of_gates = to_gates * tf.concat([of_cell, of_cell, of_hidden, of_cell], axis=-1)
            of_hidden = _each_way(of_gates, ways, transpose_b=True)
            return step - 1, of_hidden, of_cell * forget, stored.write(step, of_gates)

        last = (steps - 1, zero, zero, stored)
        of_gates = tf.while_loop(lambda step, *_: step >= 0, backward, last, parallel_iterations=1)[
            -1
        ].stack()
        before, after = (
            tf.reshape(tf.transpose(one, (1, 0, 2, 3)), (2, -1, one.shape[-1]))
            for one in (_delayed(hidden), of_gates)
        )
        return of_gates, tf.matmul(before, after, transpose_a=True)

    return hidden, gradient


def _each_way(values: tf.Tensor, ways: list[tf.Tensor], **options: bool) -> tf.Tensor:
    """One product for each direction; as a batch of two, threads would share such small ones."""
    pairs = zip(tf.unstack(values), ways, strict=True)
    return tf.stack([tf.matmul(one, way, **options) for one, way in pairs])


def _array(values: tf.Tensor) -> tf.TensorArray:
    """Read step by step."""
    array = tf.TensorArray(values.dtype, tf.shape(values)[0], element_shape=values.shape[1:])
    return array.unstack(values)


def _delayed(values: tf.Tensor) -> tf.Tensor:
    """What stood there a step before; zero at the first."""
    return tf.pad(values[:-1], [[1, 0], [0, 0], [0, 0], [0, 0]])
