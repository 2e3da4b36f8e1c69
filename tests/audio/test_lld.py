"""openSMILE descriptors: its own output, whatever the length, and nothing on the terminal."""

import builtins

import numpy as np
import pytest
import soundfile

from mmer_tf.audio import lld
from mmer_tf.audio.lld import extract_lld, num_frames
from mmer_tf.types import MissingExtraError


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)


def test_equals_opensmile_on_the_file(real_clips):
    opensmile = pytest.importorskip("opensmile")
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )
    clip = real_clips[0]
    waveform = soundfile.read(clip, dtype="float32")[0]
    descriptors = extract_lld(waveform)
    assert descriptors.dtype == np.float32
    np.testing.assert_array_equal(descriptors, smile.process_file(str(clip)).to_numpy(np.float32))


@pytest.mark.parametrize("samples", [1, 959, 960, 1119, 1120, 1600, 16_000])
def test_frames_of_every_length(noise, samples):
    pytest.importorskip("opensmile")
    descriptors = extract_lld(noise[:samples])
    assert descriptors.shape == (num_frames(samples), lld.FEATURE_DIM)
    assert np.isfinite(descriptors).all()


def test_full_scale_does_not_wrap_around(noise):
    pytest.importorskip("opensmile")
    clipped = np.sign(noise)
    almost = np.clip(clipped, -1, 32_767 / 32_768)
    np.testing.assert_array_equal(extract_lld(clipped), extract_lld(almost))


def test_says_nothing(noise, capfd):
    pytest.importorskip("opensmile")
    lld._smile.cache_clear()
    extract_lld(noise)
    assert capfd.readouterr() == ("", "")


def test_only_one_clip_at_a_time(noise):
    with pytest.raises(ValueError, match=r"shape=\(1, 16000\)"):
        extract_lld(noise[None])


def test_names_the_missing_extra(noise, monkeypatch):
    real_import = builtins.__import__

    def without_opensmile(name, *arguments, **options):
        if name == "opensmile":
            raise ImportError(name)
        return real_import(name, *arguments, **options)

    lld._smile.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without_opensmile)
    with pytest.raises(MissingExtraError, match=r'pip install "mmer-tf\[opensmile\]"'):
        extract_lld(noise)
