"""What happens where the voice or the words are missing."""

import numpy as np
import pytest

from mmer_tf.models.modality import AbsentModality, HideAbsent, ModalityDropout

ROWS = 20_000


def test_dropout_hides_one_modality_of_a_share_of_rows():
    has = np.ones(ROWS, bool)
    has_speech, has_text = map(np.array, ModalityDropout(0.2, seed=1)(has, has, training=True))
    assert not (~has_speech & ~has_text).any()
    # Two standard deviations of a binomial share of 0.1 over these rows are 0.004.
    assert 1 - has_speech.mean() == pytest.approx(0.1, abs=0.008)
    assert 1 - has_text.mean() == pytest.approx(0.1, abs=0.008)


def test_dropout_leaves_rows_with_one_modality_alone():
    only_speech, none = np.ones(ROWS, bool), np.zeros(ROWS, bool)
    has_speech, has_text = ModalityDropout(0.9, seed=1)(only_speech, none, training=True)
    assert np.array(has_speech).all()
    assert not np.array(has_text).any()


def test_dropout_rests_outside_training():
    has = np.ones(ROWS, bool)
    assert all(np.array(one).all() for one in ModalityDropout(0.9)(has, has, training=False))


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_rate_out_of_range(rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate}"):
        ModalityDropout(rate)


def test_hide_absent():
    mask, present = np.array([[True, False], [True, True]]), np.array([True, False])
    np.testing.assert_array_equal(HideAbsent()(mask, present), [[True, False], [False, False]])


def test_absent_modality_gives_the_learned_vector():
    layer = AbsentModality()
    vector, present = np.ones((2, 3), "float32"), np.array([True, False])
    np.testing.assert_array_equal(layer(vector, present), [[1, 1, 1], [0, 0, 0]])
    layer.absent.assign([4.0, 5.0, 6.0])
    np.testing.assert_array_equal(layer(vector, present), [[1, 1, 1], [4, 5, 6]])
