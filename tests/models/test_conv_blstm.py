"""What is particular to the encoder of convolution, maximum and LSTM."""

import numpy as np
import pytest

from mmer_tf.models.encoders.conv_blstm import ConvBLSTM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "`filters` must be >= 1. Received: filters=0."),
        ({"kernel_size": 0}, "`kernel_size` must be >= 1. Received: kernel_size=0."),
        ({"pool_size": 0}, "`pool_size` must be >= 1. Received: pool_size=0."),
        ({"units": 0}, "`units` must be >= 1. Received: units=0."),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0."),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvBLSTM(**arguments)


@pytest.mark.parametrize("kernel_size", [1, 2, 5, 8])
@pytest.mark.parametrize("pool_size", [1, 3, 9])
def test_rows_do_not_see_their_padding(kernel_size, pool_size):
    """Whatever sizes do not divide each other, and kernels longer than the row."""
    encoder = ConvBLSTM(4, kernel_size, pool_size, units=2)
    lengths = np.array([8, 7, 1])
    mask = np.arange(8) < lengths[:, None]
    sequence = np.random.default_rng(0).normal(size=(3, 8, 2)).astype("float32")
    states, step_mask = encoder(np.where(mask[:, :, None], sequence, np.nan), mask)
    for row, length in enumerate(lengths):
        alone, alone_mask = encoder(sequence[row : row + 1, :length], mask[row : row + 1, :length])
        steps = -(-length // pool_size)
        assert alone.shape[1] == steps == int(step_mask[row].numpy().sum())
        assert alone_mask.numpy().all()
        np.testing.assert_allclose(states[row, :steps], alone[0], atol=1e-6)
        np.testing.assert_array_equal(states[row, steps:], 0)


def test_dropout_acts_in_training_only():
    encoder = ConvBLSTM(units=8, dropout=0.5)
    sequence, mask = np.ones((1, 4, 3), "float32"), np.ones((1, 4), bool)
    resting, _ = encoder(sequence, mask, training=False)
    training, _ = encoder(sequence, mask, training=True)
    assert not (np.array(resting) == 0).any()
    assert (np.array(training) == 0).any()
