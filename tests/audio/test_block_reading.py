"""Block by block: the same samples as `decode`, the same refusals, and browsers' files."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from mmer_tf.audio.blocks import BlockResampler, duration, read_blocks
from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.types import MissingExtraError


def sweep(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A tone that rises, louder on the first channel: (samples, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.4 * np.cos(2 * np.pi * (200 + 300 * time / max(seconds, 1)) * time)
    return np.stack([wave / (1 + channel) for channel in range(channels)], axis=1)


def joined(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path)))


def write_webm(path: Path, wave: np.ndarray, container: str = "webm") -> Path:
    """As a browser does: Opus at 48 kHz, mono float (samples,)."""
    import av

    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler(stream.format, "mono", 48_000, frame_size=960)
        frame = av.AudioFrame.from_ndarray(wave.astype("float32")[None], "fltp", "mono")
        frame.rate = 48_000
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            out.mux(stream.encode(part))
    return path


@pytest.mark.parametrize(
    ("name", "rate", "channels", "seconds", "options"),
    [
        ("a.wav", 16_000, 1, 3.0, {}),
        ("a.wav", 48_000, 2, 50.0, {}),  # several blocks
        ("a.flac", 44_100, 1, 70.123, {}),
        ("a.wav", 8_000, 2, 3.0, {"subtype": "FLOAT"}),
        ("a.ogg", 22_050, 1, 5.0, {}),
        ("a.wav", 48_000, 1, 1 / 48_000, {}),
        ("a.aiff", 96_000, 2, 2.0, {}),
    ],
)
def test_joined_blocks_are_what_decode_gives(tmp_path, name, rate, channels, seconds, options):
    path = tmp_path / name
    soundfile.write(path, sweep(seconds, rate, channels), rate, **options)
    np.testing.assert_array_equal(joined(path), decode(path))
    assert joined(path).dtype == np.float32
    assert duration(path) == pytest.approx(seconds, abs=0.1)


def test_real_clips(real_clips, ravdess_root):
    for path in (*real_clips, *sorted(ravdess_root.rglob("*.wav"))[::6]):
        np.testing.assert_array_equal(joined(path), decode(path))


def test_a_long_recording_comes_in_many_blocks(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(sweep(10, 48_000, 2), (30, 1)), 48_000)
    sizes = [len(block) for block in read_blocks(path)]
    assert sum(sizes) == 300 * 16_000 and max(sizes) <= 1 << 20


def test_a_wav_from_a_pipe_is_not_read_whole(tmp_path):
    """Two minutes at 192 kHz are 46 MB; what is held is a block."""
    path = tmp_path / "streamed.wav"
    soundfile.write(path, np.tile(sweep(10, 192_000), (12, 1)), 192_000)
    expected = decode(path)
    with path.open("r+b") as file:
        for position in (4, 40):
            file.seek(position)
            file.write(struct.pack("<I", 0xFFFF_FFFF))
    np.testing.assert_array_equal(decode(path), expected)
    import tracemalloc

    tracemalloc.start()
    count = sum(len(block) for block in read_blocks(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(expected) and peak < 20e6


def test_silence_is_no_reason_to_refuse(tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    assert not joined(path).any()
    with pytest.raises(AudioError, match="pure silence"):
        decode(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing file"),
        (b"", "empty file"),
        (b"not a recording", "not audio"),
        (b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n", "not audio"),
        (b"ffconcat version 1.0\nfile other.wav\n", "not audio"),
        (b"\x1aE\xdf\xa3" + bytes(range(256)) * 20, "not audio"),
    ],
)
@pytest.mark.parametrize("name", ["a.wav", "a.webm", "a.m3u8", "a.txt"])
def test_refusals_are_those_of_decode(tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for read in (joined, duration, decode):
        with pytest.raises(AudioError) as caught:
            read(path)
        assert (caught.value.reason, caught.value.path) == (reason, path)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [(np.full(20_000, np.nan), "NaN or infinite samples"), (np.full(9, 99.0), "beyond full scale")],
)
def test_samples_that_are_no_sound(tmp_path, samples, reason):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=reason):
        joined(path)


@pytest.mark.parametrize("container", ["webm", "matroska", "mp4"])
def test_what_browsers_record_is_read(tmp_path, container):
    wave = sweep(12, 48_000)[:, 0]
    path = write_webm(tmp_path / "a.webm", wave, container)
    blocks = list(read_blocks(path))
    heard = np.concatenate(blocks)
    expected = soxr.resample(wave.astype("float32"), 48_000, 16_000)
    assert len(heard) == pytest.approx(12 * 16_000, abs=1_000) and len(blocks) > 100
    length = min(len(heard), len(expected))
    assert np.corrcoef(heard[:length], expected[:length])[0, 1] > 0.99
    assert duration(path) == pytest.approx(12, abs=0.1)


def test_a_browsers_file_that_ends_early_is_read_to_its_end(tmp_path):
    """As after a connection that broke."""
    path = write_webm(tmp_path / "a.webm", sweep(12, 48_000)[:, 0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 3 * 16_000 < len(joined(path)) < 10 * 16_000


def test_without_the_extra_it_is_told(tmp_path, monkeypatch):
    path = write_webm(tmp_path / "a.webm", sweep(1, 48_000)[:, 0])
    other = tmp_path / "a.wav"
    other.write_text("not a recording")
    monkeypatch.setitem(sys.modules, "av", None)
    for read in (joined, duration):
        with pytest.raises(MissingExtraError, match=r"a\.webm.*mmer-tf\[demo\]"):
            read(path)
        with pytest.raises(AudioError, match="not audio"):
            read(other)


@pytest.mark.parametrize("source", [8_000, 16_000, 44_100, 48_000])
def test_a_resampler_does_not_mind_how_sound_is_cut(source):
    wave = sweep(2, source)[:, 0].astype("float32") * 3
    outputs = []
    for size in (160, 1_000, len(wave)):
        resampler = BlockResampler(source)
        parts = [resampler.push(wave[i : i + size]) for i in range(0, len(wave), size)]
        outputs.append(np.concatenate([*parts, resampler.finish()]))
        np.testing.assert_allclose(outputs[-1], outputs[0], atol=1e-6)
    assert len(outputs[0]) == 32_000 and np.abs(outputs[0]).max() == 1.0


def test_needs_no_tensorflow():
    code = (
        "import sys, mmer_tf.audio.blocks, mmer_tf.deploy.stream.files\n"
        "assert not {'tensorflow', 'keras', 'av', 'pocketsphinx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
