"""The picture against librosa, matplotlib and Pillow on real clips."""

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image

from mmer_tf.audio.decode import decode
from mmer_tf.audio.mel_image import MelImage

LEVELS = 2
"""Largest difference to the reference, of 255."""


def draw(layer: MelImage, samples: np.ndarray) -> np.ndarray:
    image = np.asarray(layer(samples[None], np.array([len(samples)]))[0])
    assert image.dtype == np.uint8
    return image.astype(int)


def reference(samples: np.ndarray, size: int = 224) -> np.ndarray:
    """librosa's spectrogram in matplotlib's colours, resized by Pillow in float."""
    mel = librosa.feature.melspectrogram(y=samples.astype(np.float64), sr=16_000)
    decibels = librosa.power_to_db(mel, ref=np.max, top_db=80)
    colours = colormaps["viridis"]((decibels + 80) / 80, bytes=True)[::-1, :, :3]
    resized = [
        Image.fromarray(np.ascontiguousarray(channel, np.float32)).resize(
            (size, size), Image.Resampling.BILINEAR
        )
        for channel in np.moveaxis(colours, -1, 0)
    ]
    return np.rint(np.stack(resized, axis=-1)).astype(int)


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_equals_librosa(real_waveforms, dft):
    layer = MelImage(dft=dft)
    for samples in real_waveforms:
        difference = np.abs(draw(layer, samples) - reference(samples))
        assert difference.max() <= LEVELS
        assert difference.mean() < 0.5


@pytest.mark.slow
def test_every_real_clip(emodb_root, ravdess_root):
    clips = [*emodb_root.rglob("*.wav"), *ravdess_root.rglob("*.wav")]
    test_equals_librosa([decode(clip) for clip in clips], "fft")


def test_equals_librosa_where_the_picture_shrinks(real_waveforms):
    samples = np.concatenate(real_waveforms)  # more frames than columns
    assert np.abs(draw(MelImage(), samples) - reference(samples)).max() <= LEVELS
    small = np.abs(draw(MelImage(size=64), samples) - reference(samples, 64))
    assert small.max() <= LEVELS


def test_low_notes_are_below_and_time_runs_to_the_right():
    times = np.arange(16_000) / 16_000
    samples = np.sin(2 * np.pi * 100 * times) * (times > 0.5)
    green = draw(MelImage(), samples.astype(np.float32))[..., 1]  # grows with the level
    row, column = np.unravel_index(green.argmax(), green.shape)
    assert row > 200 and column > 112


def test_silence_is_drawn_as_librosa_does():
    samples = np.zeros(4000, np.float32)
    np.testing.assert_array_equal(draw(MelImage(), samples), reference(samples))


@pytest.mark.filterwarnings("ignore:n_fft")  # librosa on clips shorter than its window
def test_a_row_alone_equals_the_row_in_a_padded_batch(uneven_waveforms, padded_batch):
    layer = MelImage()
    images = np.asarray(layer(*padded_batch)).astype(int)
    assert images.shape == (len(uneven_waveforms), 224, 224, 3)
    for samples, image in zip(uneven_waveforms, images, strict=True):
        assert np.abs(image - draw(layer, samples)).max() <= 1  # a rounding
        assert np.abs(image - reference(samples)).max() <= LEVELS


def test_graph_and_xla_equal_eager(padded_batch):
    layer = MelImage()
    expected = np.asarray(layer(*padded_batch)).astype(int)
    unknown = [tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)]
    for function in (
        tf.function(layer, input_signature=unknown),
        tf.function(layer, jit_compile=True),
    ):
        image = function(*map(tf.convert_to_tensor, padded_batch)).numpy().astype(int)
        assert np.abs(image - expected).max() <= 1


def test_saved_model_under_every_policy(tmp_path, padded_batch, every_policy):
    waveform = keras.Input((None,), dtype="float32")
    num_samples = keras.Input((), dtype="int32")
    layer = MelImage(size=32)
    image = layer(waveform, num_samples)
    assert (image.shape, image.dtype) == ((None, 32, 32, 3), "uint8")
    keras.Model([waveform, num_samples], image).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    difference = np.asarray(loaded(list(padded_batch)), int) - np.asarray(layer(*padded_batch), int)
    assert np.abs(difference).max() <= 1


def test_wrong_size_is_named():
    with pytest.raises(ValueError, match=r"`size` must be >= 1\. Received: size=0\."):
        MelImage(size=0)
