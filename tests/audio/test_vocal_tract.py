"""The frequency axis is stretched as numpy interpolates, and left alone at inference."""

import keras
import numpy as np
import pytest

from mmer_tf.audio.vocal_tract import VocalTractPerturbation

BINS = 32


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 4, BINS)).astype("float32")


def test_is_the_identity_at_inference(frames):
    layer = VocalTractPerturbation(0.2, seed=0)
    np.testing.assert_array_equal(layer(frames), frames)
    np.testing.assert_array_equal(layer(frames, training=False), frames)


def test_stretch_is_linear_interpolation_within_its_bounds(frames):
    ramp = np.broadcast_to(np.arange(BINS, dtype="float32"), frames.shape)
    position = np.asarray(VocalTractPerturbation(0.2, seed=3)(ramp, training=True))[:, 0]
    factor = position[:, 1]  # of a ramp, the new value is the old position
    assert 1 / 1.2 - 1e-4 <= factor.min() < 0.87 and 1.15 < factor.max() <= 1.2 + 1e-4
    found = np.asarray(VocalTractPerturbation(0.2, seed=3)(frames, training=True))
    for row in range(0, 300, 50):
        wanted = np.minimum(np.arange(BINS) * factor[row], BINS - 1)
        np.testing.assert_allclose(position[row], wanted, atol=1e-4)
        expected = [np.interp(wanted, np.arange(BINS), frame) for frame in frames[row]]
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_same_seed_same_voice_and_configuration_comes_back(frames):
    layer = VocalTractPerturbation(0.15, seed=5)
    again = VocalTractPerturbation.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(frames, training=True), again(frames, training=True))
    name = keras.saving.get_registered_name(VocalTractPerturbation)
    assert name == "mmer_tf>VocalTractPerturbation"


def test_wrong_argument_is_named():
    with pytest.raises(ValueError, match="`max_warp` must be >= 0"):
        VocalTractPerturbation(-0.1)
