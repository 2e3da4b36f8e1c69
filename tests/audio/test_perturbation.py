"""The frequency axis is stretched as numpy interpolates, the level moves, nothing at inference."""

import keras
import numpy as np
import pytest

from mmer_tf.audio.perturbation import VoicePerturbation

BINS = 32


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, 4, BINS)).astype("float32")


def test_is_the_identity_at_inference(frames):
    layer = VoicePerturbation(0.2, 1.0, seed=0)
    np.testing.assert_array_equal(layer(frames), frames)
    np.testing.assert_array_equal(layer(frames, training=False), frames)


def test_level_changes_by_row_with_the_given_deviation(frames):
    change = np.asarray(VoicePerturbation(0.0, 0.5, seed=0)(frames, training=True)) - frames
    level = change.mean(axis=(1, 2))
    np.testing.assert_allclose(
        change, np.broadcast_to(level[:, None, None], change.shape), atol=1e-5
    )
    assert level.std() == pytest.approx(0.5, rel=0.15)


def test_stretch_is_linear_interpolation_within_its_bounds(frames):
    ramp = np.broadcast_to(np.arange(BINS, dtype="float32"), frames.shape)
    position = np.asarray(VoicePerturbation(0.2, 0.0, seed=3)(ramp, training=True))[:, 0]
    factor = position[:, 1]  # of a ramp, the new value is the old position
    assert 1 / 1.2 - 1e-4 <= factor.min() < 0.87 and 1.15 < factor.max() <= 1.2 + 1e-4
    found = np.asarray(VoicePerturbation(0.2, 0.0, seed=3)(frames, training=True))
    for row in range(0, 300, 50):
        wanted = np.minimum(np.arange(BINS) * factor[row], BINS - 1)
        np.testing.assert_allclose(position[row], wanted, atol=1e-4)
        expected = [np.interp(wanted, np.arange(BINS), frame) for frame in frames[row]]
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_same_seed_same_voice_and_configuration_comes_back(frames):
    layer = VoicePerturbation(0.15, 0.3, seed=5)
    again = VoicePerturbation.from_config(layer.get_config())
    np.testing.assert_array_equal(layer(frames, training=True), again(frames, training=True))
    assert keras.saving.get_registered_name(VoicePerturbation) == "mmer_tf>VoicePerturbation"


@pytest.mark.parametrize("arguments", [{"max_warp": -0.1}, {"gain": -1.0}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be >= 0"):
        VoicePerturbation(**arguments)
