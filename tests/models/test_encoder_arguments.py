"""What is particular to single encoders."""

import numpy as np
import pytest

from mmer_tf.models.encoders.bert import BERT
from mmer_tf.models.encoders.blstm import BLSTM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be >= 1. Received: units=0."),
        ({"num_layers": 0}, "`num_layers` must be >= 1. Received: num_layers=0."),
        ({"frame_stack": 0}, "`frame_stack` must be >= 1. Received: frame_stack=0."),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0."),
    ],
)
def test_blstm_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BLSTM(**arguments)


def test_bert_arguments():
    with pytest.raises(ValueError, match="hidden_dim=8, num_heads=3"):
        BERT(vocabulary_size=9, hidden_dim=8, num_heads=3)


@pytest.mark.parametrize(("frames", "frame_stack", "steps"), [(8, 4, 2), (9, 4, 3), (1, 4, 1)])
def test_joined_frames(frames, frame_stack, steps):
    """Joining frames is reshaping them, the last step filled with zeros."""
    encoder = BLSTM(units=2, frame_stack=frame_stack)
    plain = BLSTM(units=2)
    sequence = np.random.default_rng(1).normal(size=(2, frames, 3)).astype("float32")
    joined = np.zeros((2, steps * frame_stack, 3), "float32")
    joined[:, :frames] = sequence
    joined = joined.reshape(2, steps, frame_stack * 3)
    states, mask = encoder(sequence, np.ones((2, frames), bool))
    plain(joined, np.ones((2, steps), bool))
    plain.set_weights(encoder.get_weights())
    wanted, _ = plain(joined, np.ones((2, steps), bool))
    assert mask.shape == (2, steps)
    np.testing.assert_allclose(states, wanted, atol=1e-6)


def test_dropout_acts_in_training_only():
    encoder = BLSTM(units=8, dropout=0.5)
    sequence, mask = np.ones((1, 4, 3), "float32"), np.ones((1, 4), bool)
    resting, _ = encoder(sequence, mask, training=False)
    training, _ = encoder(sequence, mask, training=True)
    assert not (np.array(resting) == 0).any()
    assert (np.array(training) == 0).any()
