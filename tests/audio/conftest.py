"""Signals and checks shared by the tests of the audio layers."""

from pathlib import Path

import keras
import numpy as np
import pytest

from mmer_tf.audio.decode import decode


@pytest.fixture(scope="session")
def real_waveforms(real_clips: list[Path], ravdess_root: Path) -> list[np.ndarray]:
    """Real speech at 16 kHz, some of it resampled and mixed down."""
    return [decode(path) for path in [*real_clips, *sorted(ravdess_root.rglob("*.wav"))[:3]]]


@pytest.fixture
def uneven_waveforms() -> list[np.ndarray]:
    """Noise of several lengths, shorter than any window among them."""
    draw = np.random.default_rng(0)
    return [
        draw.uniform(-0.5, 0.5, samples).astype(np.float32)
        for samples in (1, 399, 400, 1000, 5000, 16_000)
    ]


@pytest.fixture
def padded_batch(uneven_waveforms):
    """The uneven waveforms as a batch, with NaN instead of padding, and their lengths."""
    longest = max(map(len, uneven_waveforms))
    waveform = np.full((len(uneven_waveforms), longest), np.nan, np.float32)
    for row, samples in zip(waveform, uneven_waveforms, strict=True):
        row[: len(samples)] = samples
    return waveform, np.array([len(samples) for samples in uneven_waveforms], np.int32)


@pytest.fixture(params=["float32", "mixed_float16", "mixed_bfloat16"])
def every_policy(request):
    """Run under each global policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)
