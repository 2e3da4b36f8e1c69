"""Decoding: what is read, what is refused, and that nothing but AudioError ever comes out."""

import pickle
import struct
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmer_tf.audio.decode import FIXES, AudioError, AudioInfo, conversions, decode, probe

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    times = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def refuse(path: Path, reason: str, detail: str = "") -> None:
    """`decode` must refuse the file for this reason, in one sentence that helps."""
    with pytest.raises(AudioError) as caught:
        decode(path)
    error = caught.value
    assert (error.path, error.reason) == (path, reason)
    assert detail in error.detail
    assert str(path) in str(error) and reason in str(error) and FIXES[reason] in str(error)
    assert str(error).count("\n") == 0


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write(tmp_path / "tone.wav", tone())


# What is read


def test_a_plain_file_is_its_samples(wav):
    decoded = decode(wav)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, soundfile.read(wav, dtype="float32")[0])
    assert probe(wav) == AudioInfo(0.5, RATE, 1, "WAV", "PCM_16")
    assert conversions(probe(wav)) == ()


@pytest.mark.parametrize(
    ("options", "rate", "channels", "tolerance", "phrases"),
    [
        ({"format": "AIFF", "subtype": "PCM_16"}, RATE, 1, 1e-4, ("container AIFF",)),
        # libsndfile writes float AIFF as AIFF-C
        (
            {"format": "AIFF", "subtype": "FLOAT"},
            RATE,
            1,
            1e-6,
            ("container AIFF", "samples stored as FLOAT"),
        ),
        ({}, 96_000, 1, 2e-3, ("resampled from 96000 Hz",)),
        ({"subtype": "FLOAT"}, RATE, 1, 1e-6, ("samples stored as FLOAT",)),
        ({}, 48_000, 2, 2e-3, ("resampled from 48000 Hz", "mixed down from 2 channels")),
        ({"subtype": "PCM_U8"}, RATE, 1, 1e-2, ("samples stored as PCM_U8",)),
        ({"format": "WAVEX"}, RATE, 2, 1e-4, ("mixed down from 2 channels",)),
        ({"format": "RF64"}, RATE, 1, 1e-4, ("container RF64",)),
        ({"format": "FLAC"}, RATE, 1, 1e-4, ("container FLAC",)),
        ({"endian": "BIG"}, RATE, 1, 1e-4, ()),
    ],
)
def test_what_is_not_16_khz_mono_is_converted_and_said(
    tmp_path, options, rate, channels, tolerance, phrases
):
    samples = np.repeat(tone(rate=rate)[:, None], channels, axis=1)
    path = write(tmp_path / "named.wav", samples, rate, **options)
    decoded = decode(path)
    assert len(decoded) == RATE // 2
    edge = 200  # samples in which the resampler's filter hangs over
    np.testing.assert_allclose(decoded[edge:-edge], tone()[edge:-edge], atol=tolerance)
    assert conversions(probe(path)) == phrases
    assert probe(path).duration == pytest.approx(0.5)


def test_channels_are_averaged(tmp_path):
    path = write(tmp_path / "stereo.wav", np.stack([tone(), 0 * tone()], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(decode(path), tone() / 2, atol=1e-7)


def test_extra_header_chunks_are_skipped(tmp_path, wav):
    content = wav.read_bytes()
    filler = b"FLLR" + struct.pack("<I", 4_045) + bytes(4_046)  # odd sizes are padded
    trailer = b"_PMX" + struct.pack("<I", 10) + b"<xpacket/>"
    path = tmp_path / "chunks.wav"
    body = content[12:36] + filler + content[36:] + trailer
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    np.testing.assert_array_equal(decode(path), decode(wav))


@pytest.mark.parametrize("rate", [8_000, RATE, 96_000])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_clip_of_a_few_samples_is_kept(tmp_path, count, rate):
    path = write(tmp_path / "click.wav", np.full(count, 0.5), rate)
    decoded = decode(path)
    assert len(decoded) >= 1
    assert decoded.any()


def test_ten_minutes_are_kept_whole(tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 600 * RATE).astype(np.float32)
    path = write(tmp_path / "long.wav", samples, subtype="FLOAT")
    np.testing.assert_array_equal(decode(path), samples)


def test_overshoot_is_clipped(tmp_path):
    path = write(tmp_path / "loud.wav", 3 * tone(), subtype="FLOAT")
    np.testing.assert_allclose(decode(path), np.clip(3 * tone(), -1, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("form_size", "data_size"),
    [(0, 0), (36, 0), (0xFFFF_FFFF, 0), (0xFFFF_FFFF, 0xFFFF_FFFF), (0x7FFF_F024, 0x7FFF_F000)],
)
def test_a_wav_written_to_a_pipe_is_read_to_its_end(tmp_path, wav, form_size, data_size):
    content = bytearray(wav.read_bytes())
    struct.pack_into("<I", content, 4, form_size)
    struct.pack_into("<I", content, 40, data_size)
    path = tmp_path / "streamed.wav"
    path.write_bytes(content)
    np.testing.assert_array_equal(decode(path), decode(wav))
    assert probe(path).duration == 0.5


def test_another_rate_can_be_asked_for(wav):
    assert len(decode(wav, sample_rate=8_000)) == 4_000


def test_real_recordings(emodb_root, ravdess_root):
    for path in [*sorted(emodb_root.rglob("*.wav"))[::20], *sorted(ravdess_root.rglob("*.wav"))]:
        info = probe(path)
        assert len(decode(path)) == pytest.approx(info.duration * RATE, abs=2)


# What is refused


def test_missing_file(tmp_path):
    refuse(tmp_path / "nowhere.wav", "missing file")


def test_a_folder_is_no_file(tmp_path):
    refuse(tmp_path, "unreadable file")


def test_empty_file(tmp_path):
    path = tmp_path / "empty.wav"
    path.touch()
    refuse(path, "empty file")


@pytest.mark.parametrize("name", ["text.wav", "text.raw", "text.gsm", "text"])
def test_text_named_as_audio(tmp_path, name):
    path = tmp_path / name
    path.write_text("This is no recording.\n" * 100)
    refuse(path, "not audio", "Format not recognised")


@pytest.mark.parametrize(
    "options",
    [
        {"format": "WAV"},
        {"format": "WAVEX"},
        {"format": "RF64"},
        {"format": "AIFF"},
        {"format": "WAV", "endian": "BIG"},
    ],
)
@pytest.mark.parametrize("kept", [0.05, 0.5, -1])
def test_truncated_file(tmp_path, options, kept):
    path = write(tmp_path / "cut.wav", tone(), **options)
    content = path.read_bytes()
    path.write_bytes(content[: kept if kept < 0 else int(kept * len(content))])
    refuse(path, "truncated file", "bytes of samples are there")
    with pytest.raises(AudioError, match="truncated file"):
        probe(path)


@pytest.mark.parametrize("length", [12, 20, 36, 43, 44])
def test_truncated_header(tmp_path, wav, length):
    path = tmp_path / "cut.wav"
    path.write_bytes(wav.read_bytes()[:length])
    refuse(path, "truncated file")


def test_truncated_flac(tmp_path):
    path = write(tmp_path / "cut.flac", tone())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(AudioError):
        decode(path)


def test_zero_samples(tmp_path):
    path = tmp_path / "none.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
    refuse(path, "no samples")
    with pytest.raises(AudioError, match="no samples"):
        probe(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path, value):
    samples = tone()
    samples[100] = value
    refuse(write(tmp_path / "nan.wav", samples, subtype="FLOAT"), "NaN or infinite samples")


def test_another_unit(tmp_path):
    path = write(tmp_path / "unit.wav", 32_767 * tone(), subtype="FLOAT")
    refuse(path, "samples beyond full scale", "16383")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "FLOAT"])
def test_pure_silence(tmp_path, subtype):
    refuse(write(tmp_path / "silence.wav", 0 * tone(), subtype=subtype), "pure silence")


@pytest.mark.parametrize("rate", [1, 3_999, 2_000_000_000])
def test_implausible_sample_rate(tmp_path, wav, rate):
    content = bytearray(wav.read_bytes())
    struct.pack_into("<I", content, 24, rate)
    path = tmp_path / "rate.wav"
    path.write_bytes(content)
    refuse(path, "implausible sample rate", str(rate))


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(AudioError(Path("a.wav"), "not audio", "why")))
    assert (error.path, error.reason, error.detail) == (Path("a.wav"), "not audio", "why")


# Mutilated bytes


ORIGINALS = {
    "WAV": {},
    "FLOAT": {"subtype": "FLOAT"},
    "ADPCM": {"subtype": "IMA_ADPCM"},
    "AIFF": {"format": "AIFF"},
    "RF64": {"format": "RF64"},
    "FLAC": {"format": "FLAC"},
    "OGG": {"format": "OGG"},
    "CAF": {"format": "CAF"},
}


@pytest.mark.parametrize("original", ORIGINALS)
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mutilated_files_are_decoded_or_refused(tmp_path, original, data):
    source = tmp_path / f"original.{original}"
    if not source.exists():
        write(source, tone(0.05), **{"format": "WAV", **ORIGINALS[original]})
    content = bytearray(source.read_bytes())
    header = st.integers(0, min(120, len(content) - 1))
    anywhere = st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(header | anywhere, st.integers(0, 255)), max_size=6)
    for at, value in data.draw(changes, label="changes"):
        content[at] = value
    content = content[: data.draw(anywhere | st.just(len(content)), label="length")]
    path = tmp_path / "mutilated.wav"
    path.write_bytes(content)
    try:
        decoded = decode(path)
    except AudioError as error:
        assert str(path) in str(error)
        return
    assert decoded.ndim == 1 and decoded.dtype == np.float32 and len(decoded) > 0
    assert np.isfinite(decoded).all() and np.abs(decoded).max() <= 1


def test_decoding_needs_no_tensorflow():
    check = (
        "import sys, mmer_tf.audio.decode;"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
