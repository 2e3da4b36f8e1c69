"""openSMILE descriptors: its own output, whatever the length, and nothing on the terminal."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile

from mmer_tf.audio import lld
from mmer_tf.audio.lld import extract_lld, num_frames
from mmer_tf.types import MissingExtraError

pytestmark = pytest.mark.skipif(
    find_spec("opensmile") is None, reason="needs the extra 'opensmile'"
)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)


def test_equals_opensmile_on_the_file(real_clips):
    clip = real_clips[0]
    waveform = soundfile.read(clip, dtype="float32")[0]
    descriptors = extract_lld(waveform)
    import opensmile  # only now: see `lld._bind_to_itself`

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )
    assert descriptors.dtype == np.float32
    np.testing.assert_array_equal(descriptors, smile.process_file(str(clip)).to_numpy(np.float32))


@pytest.mark.parametrize("samples", [1, 959, 960, 1119, 1120, 1600, 16_000])
def test_frames_of_every_length(noise, samples):
    descriptors = extract_lld(noise[:samples])
    assert descriptors.shape == (num_frames(samples), lld.FEATURE_DIM)
    assert np.isfinite(descriptors).all()


def test_full_scale_does_not_wrap_around(noise):
    clipped = np.sign(noise)
    almost = np.clip(clipped, -1, 32_767 / 32_768)
    np.testing.assert_array_equal(extract_lld(clipped), extract_lld(almost))


def test_says_nothing(noise, capfd):
    lld._smile.cache_clear()
    extract_lld(noise)
    assert capfd.readouterr() == ("", "")


def test_only_one_clip_at_a_time(noise):
    with pytest.raises(ValueError, match=r"shape=\(1, 16000\)"):
        extract_lld(noise[None])


@pytest.mark.slow
def test_runs_where_tensorflow_was_loaded_before():
    check = (
        "import tensorflow, numpy; from mmer_tf.audio.lld import extract_lld;"
        "print(extract_lld(numpy.ones(960)).shape)"
    )
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "(2, 65)\n"), run.stderr


def test_names_the_missing_extra(noise, monkeypatch):
    monkeypatch.setattr(lld, "find_spec", lambda name: None)
    lld._smile.cache_clear()
    with pytest.raises(MissingExtraError, match=r'pip install "mmer-tf\[opensmile\]"'):
        extract_lld(noise)
