"""What is blanked, how much of it, how often, and when not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.audio.augmentation import SpecAugment

ROWS, FRAMES, BINS = 200, 50, 40


@pytest.fixture
def batch():
    """Features without zeros, and a mask with rows of many lengths."""
    lengths = np.arange(ROWS) % FRAMES + 1
    return np.ones((ROWS, FRAMES, BINS), np.float32), np.arange(FRAMES) < lengths[:, None]


def runs(blanked: np.ndarray) -> int:
    return int(np.sum(np.diff(np.concatenate([[0], blanked.astype(int)])) == 1))


def test_is_the_identity_at_inference(batch):
    x, mask = batch
    layer = SpecAugment(seed=0)
    np.testing.assert_array_equal(layer(x, mask), x)
    np.testing.assert_array_equal(layer(x, mask, training=False), x)


def test_blanks_whole_frames_among_the_valid_ones(batch):
    x, mask = batch
    layer = SpecAugment(2, 0.2, 0, 0.0, seed=0)
    blank = np.asarray(layer(x, mask, training=True)) == 0
    in_time = blank.any(axis=2)
    np.testing.assert_array_equal(blank.all(axis=2), in_time)  # whole frames
    assert not in_time[~mask].any()
    widest = np.floor(0.2 * mask.sum(axis=1))
    assert (in_time.sum(axis=1) <= 2 * widest).all()
    assert max(map(runs, in_time)) == 2
    long = mask.sum(axis=1) >= 40
    assert len({row.tobytes() for row in in_time[long]}) > long.sum() / 2  # each row its own
    assert in_time[long].any(axis=0).all()  # any place, from the first frame on


def test_blanks_whole_bands(batch):
    x, mask = batch
    layer = SpecAugment(0, 0.0, 1, 0.25, seed=0)
    blank = np.asarray(layer(x, mask, training=True)) == 0
    in_frequency = blank.any(axis=1)
    np.testing.assert_array_equal(blank.all(axis=1), in_frequency)
    widths = in_frequency.sum(axis=1)
    assert all(runs(row) <= 1 for row in in_frequency)
    # Widths 0 … 10 are equally likely: mean 5, deviation of the mean of 200 about 0.22.
    assert widths.min() == 0 and widths.max() == 10
    assert abs(widths.mean() - 5) < 1
    assert in_frequency.any(axis=0).all()


def test_channels_share_their_masks(batch):
    x, mask = batch
    layer = SpecAugment(seed=0)
    result = np.asarray(layer(np.repeat(x[..., None], 3, axis=-1), mask, training=True))
    assert result.shape == (ROWS, FRAMES, BINS, 3)
    assert (result == 0).any()
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_no_masks_blank_nothing(batch):
    x, mask = batch
    np.testing.assert_array_equal(SpecAugment(0, 0.5, 0, 0.5)(x, mask, training=True), x)
    np.testing.assert_array_equal(SpecAugment(3, 0.0, 3, 0.0)(x, mask, training=True), x)


def test_a_seed_repeats_the_masks_and_calls_differ(batch):
    first, second = SpecAugment(seed=7), SpecAugment(seed=7)
    once = np.asarray(first(*batch, training=True))
    np.testing.assert_array_equal(once, second(*batch, training=True))
    assert (once != np.asarray(first(*batch, training=True))).any()


def test_in_a_graph_of_unknown_size_and_compiled(batch):
    x, mask = batch
    layer = SpecAugment(seed=0)
    unknown = [tf.TensorSpec([None, None, BINS]), tf.TensorSpec([None, None], tf.bool)]

    def augment(x, mask):
        return layer(x, mask, training=True)

    for function in (
        tf.function(augment, input_signature=unknown),
        tf.function(augment, jit_compile=True),
    ):
        result = function(tf.constant(x), tf.constant(mask)).numpy()
        assert (result == 0).any() and set(np.unique(result)) == {0.0, 1.0}


def test_stored_under_every_policy(tmp_path, batch, every_policy):
    inputs = keras.Input((None, BINS), dtype="float32"), keras.Input((None,), dtype="bool")
    output = SpecAugment(1, 0.3, 3, 0.4, seed=5)(*inputs)
    assert (output.shape, output.dtype) == ((None, None, BINS), "float32")
    keras.Model(inputs, output).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1].get_config()
    expected = {
        "time_masks": 1,
        "max_time_share": 0.3,
        "frequency_masks": 3,
        "max_frequency_share": 0.4,
        "seed": 5,
    }
    assert {name: loaded[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_masks": -1}, "`time_masks` must be >= 0. Received: time_masks=-1."),
        ({"max_frequency_share": 1.5}, "`max_frequency_share` must be between 0 and 1."),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError) as caught:
        SpecAugment(**arguments)
    assert message in str(caught.value)
