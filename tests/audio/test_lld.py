"""openSMILE descriptors: its own output, whatever the length, in a process of its own."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from mmer_tf.audio import lld
from mmer_tf.audio.lld import extract_lld, num_frames
from mmer_tf.types import MissingExtraError

needs_opensmile = pytest.mark.skipif(
    importlib.util.find_spec("opensmile") is None, reason="the extra 'opensmile' is not installed"
)

REFERENCE = """
import sys, numpy, opensmile
smile = opensmile.Smile(
    feature_set=opensmile.FeatureSet.ComParE_2016,
    feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
)
numpy.save(sys.argv[2], smile.process_file(sys.argv[1]).to_numpy("float32"))
"""


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)


@needs_opensmile
def test_equals_opensmile_on_the_file_though_tensorflow_is_loaded(real_clips, tmp_path):
    assert tf.__version__
    clip = real_clips[0]
    expected = tmp_path / "lld.npy"
    subprocess.run([sys.executable, "-c", REFERENCE, clip, expected], check=True)
    descriptors = extract_lld(soundfile.read(clip, dtype="float32")[0])
    assert descriptors.dtype == np.float32
    np.testing.assert_array_equal(descriptors, np.load(expected))


@needs_opensmile
@pytest.mark.parametrize("samples", [1, 959, 960, 1119, 1120, 1600, 16_000])
def test_frames_of_every_length(noise, samples):
    descriptors = extract_lld(noise[:samples])
    assert descriptors.shape == (num_frames(samples), lld.FEATURE_DIM)
    assert np.isfinite(descriptors).all()


@needs_opensmile
def test_full_scale_does_not_wrap_around(noise):
    clipped = np.sign(noise)
    almost = np.clip(clipped, -1, 32_767 / 32_768)
    np.testing.assert_array_equal(extract_lld(clipped), extract_lld(almost))


@needs_opensmile
def test_says_nothing(noise, capfd):
    lld._process.cache_clear()
    extract_lld(noise)
    assert capfd.readouterr() == ("", "")


@needs_opensmile
def test_ended_process_is_told_and_replaced(noise):
    extract_lld(noise)
    lld._process().kill()
    lld._process().wait()
    with pytest.raises(ChildProcessError, match="exit code -9"):
        extract_lld(noise)
    assert len(extract_lld(noise)) == num_frames(len(noise))


def test_only_one_clip_at_a_time(noise):
    with pytest.raises(ValueError, match=r"shape=\(1, 16000\)"):
        extract_lld(noise[None])


def test_names_the_missing_extra(noise, monkeypatch):
    lld._process.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "mmer-tf\[opensmile\]"'):
        extract_lld(noise)
