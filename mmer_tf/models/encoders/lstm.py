"""A bidirectional LSTM over padded rows, with a gradient of its own.

Written in TensorFlow for speed on a processor: one operation runs forward over all steps, and the
gradient reads what it has kept, where TensorFlow's own would keep the answer of every small
operation of every step. The gradient that TensorFlow registers for `BlockLSTMV2` cannot be used: it
takes the gates in the order of the operation's first version, so that its answers are wrong. The
right one, `BlockLSTMGradV2`, takes twice as long as the loop here.
"""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops import control_flow_util


class _Kept(NamedTuple):
    """Gates and states of every step, each (steps, batch, units)."""

    enter: tf.Tensor
    forget: tf.Tensor
    candidate: tf.Tensor
    leave: tf.Tensor
    cell: tf.Tensor
    squashed: tf.Tensor
    hidden: tf.Tensor


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
    ahead = tf.transpose(sequence, (1, 0, 2))
    back = tf.reverse_sequence(ahead, lengths, seq_axis=0, batch_axis=1)
    ahead, back = (
        _run(
            steps,
            tf.cast(cell.kernel, steps.dtype),
            tf.cast(cell.recurrent_kernel, steps.dtype),
            tf.cast(cell.bias, steps.dtype),
        )
        for steps, cell in zip((ahead, back), cells, strict=True)
    )
    back = tf.reverse_sequence(back, lengths, seq_axis=0, batch_axis=1)
    return tf.transpose(tf.concat([ahead, back], axis=-1), (1, 0, 2))


@tf.custom_gradient
def _run(sequence: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor):
    """The hidden states of every step, from states of zero.

    Args:
        sequence: (steps, batch, dim).
        kernel: (dim, 4 * units), of the gates input, forget, candidate, output, as Keras has them.
        recurrent: (units, 4 * units).
        bias: (4 * units,).

    Returns:
        (steps, batch, units).
    """
    forward = _by_operation if _has_operation(sequence) else _by_loop
    kept = forward(sequence, kernel, recurrent, bias)

    def gradient(upstream):
        of_gates = _of_gates(kept, recurrent, upstream)
        by_row = tf.reshape(of_gates, (-1, of_gates.shape[-1]))
        steps, before = (
            tf.reshape(one, (-1, one.shape[-1])) for one in (sequence, _delayed(kept.hidden))
        )
        of_steps = tf.matmul(by_row, kernel, transpose_b=True)
        return (
            tf.reshape(of_steps, tf.shape(sequence)),
            tf.matmul(steps, by_row, transpose_a=True),
            tf.matmul(before, by_row, transpose_a=True),
            tf.reduce_sum(by_row, axis=0),
        )

    return kept.hidden, gradient


def _has_operation(sequence: tf.Tensor) -> bool:
    """Whether `BlockLSTMV2` can run here: in float32, where XLA does not compile."""
    compiled = control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    return sequence.dtype == tf.float32 and not compiled


def _by_operation(sequence, kernel, recurrent, bias) -> _Kept:
    zero = _zero_state(sequence, recurrent)
    without = tf.zeros_like(bias[: recurrent.shape[0]])
    kept = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.shape(sequence, tf.int64)[0],
        x=sequence,
        cs_prev=zero,
        h_prev=zero,
        w=tf.concat([kernel, recurrent], axis=0),
        wci=without,
        wcf=without,
        wco=without,
        b=bias,
    )
    return _Kept(kept.i, kept.f, kept.ci, kept.o, kept.cs, kept.co, kept.h)


def _by_loop(sequence, kernel, recurrent, bias) -> _Kept:
    units = recurrent.shape[0]
    rows = tf.reshape(sequence, (-1, sequence.shape[-1]))
    driven = tf.nn.bias_add(tf.matmul(rows, kernel), bias)
    shape = tf.concat([tf.shape(sequence)[:2], [4 * units]], axis=0)
    given = _array(tf.reshape(driven, shape))
    zero = _zero_state(sequence, recurrent)
    width = len(_Kept._fields) * units
    stored = tf.TensorArray(zero.dtype, given.size(), element_shape=(*zero.shape[:1], width))

    def step(number, hidden, cell, stored):
        gates = tf.split(given.read(number) + tf.matmul(hidden, recurrent), 4, axis=-1)
        enter, forget, leave = (tf.sigmoid(gates[index]) for index in (0, 1, 3))
        candidate = tf.tanh(gates[2])
        cell = forget * cell + enter * candidate
        squashed = tf.tanh(cell)
        hidden = leave * squashed
        kept = _Kept(enter, forget, candidate, leave, cell, squashed, hidden)
        return number + 1, hidden, cell, stored.write(number, tf.concat(kept, axis=-1))

    stored = tf.while_loop(
        lambda number, *_: number < given.size(),
        step,
        (0, zero, zero, stored),
        parallel_iterations=1,
    )[-1]
    return _Kept(*tf.split(stored.stack(), len(_Kept._fields), axis=-1))


def _of_gates(kept: _Kept, recurrent: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Gradient of what goes into the gates: (steps, batch, 4 * units)."""
    units = recurrent.shape[0]
    to_gates = tf.concat(
        [
            kept.candidate * kept.enter * (1 - kept.enter),
            _delayed(kept.cell) * kept.forget * (1 - kept.forget),
            kept.enter * (1 - kept.candidate * kept.candidate),
            kept.squashed * kept.leave * (1 - kept.leave),
        ],
        axis=-1,
    )
    to_cell = kept.leave * (1 - kept.squashed * kept.squashed)
    given = _array(tf.concat([to_gates, to_cell, kept.forget, upstream], axis=-1))
    zero = tf.zeros_like(kept.hidden[0])
    stored = tf.TensorArray(zero.dtype, given.size(), element_shape=to_gates.shape[1:])
    # Outside the loop: a product with a matrix to be transposed takes three times as long.
    transposed = tf.transpose(recurrent)

    def step(number, of_hidden, of_cell, stored):
        to_gates, to_cell, forget, upstream = tf.split(
            given.read(number), [4 * units, units, units, units], axis=-1
        )
        of_hidden = of_hidden + upstream
        of_cell = of_cell + of_hidden * to_cell
        of_gates = to_gates * tf.concat([of_cell, of_cell, of_cell, of_hidden], axis=-1)
        stored = stored.write(number, of_gates)
        return number - 1, tf.matmul(of_gates, transposed), of_cell * forget, stored

    last = (given.size() - 1, zero, zero, stored)
    return tf.while_loop(lambda number, *_: number >= 0, step, last, parallel_iterations=1)[
        -1
    ].stack()


def _zero_state(sequence: tf.Tensor, recurrent: tf.Tensor) -> tf.Tensor:
    """(batch, units), with as much of the shape known as there is."""
    rows, units = sequence.shape[1], recurrent.shape[0]
    return tf.zeros((tf.shape(sequence)[1] if rows is None else rows, units), sequence.dtype)


def _array(values: tf.Tensor) -> tf.TensorArray:
    """Read step by step."""
    array = tf.TensorArray(values.dtype, tf.shape(values)[0], element_shape=values.shape[1:])
    return array.unstack(values)


def _delayed(values: tf.Tensor) -> tf.Tensor:
    """What stood there a step before; zero at the first."""
    return tf.pad(values[:-1], [[1, 0], [0, 0], [0, 0]])
