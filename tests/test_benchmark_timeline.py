"""The benchmark of long recordings: what it joins, and how it counts what was found."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import timeline  # noqa: E402


def test_help():
    typed = [sys.executable, BENCHMARKS / "timeline.py", "--help"]
    done = subprocess.run(typed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python benchmarks/timeline.py" in done.stdout


def test_clips_lie_where_it_says(tmp_path: Path):
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "a.wav", np.full(16_000, 0.5), 16_000)
    recording = timeline.join_clips(tmp_path, 20, tmp_path / "joined.wav")
    samples, _ = soundfile.read(recording.file)
    assert len(samples) / 16_000 == recording.seconds >= 20
    spoken = np.zeros(len(samples), bool)
    for start, end in recording.clips:
        assert end - start == pytest.approx(1.0)
        spoken[round(start * 16_000) : round(end * 16_000)] = True
    assert samples[spoken].min() > 0.4 and samples[~spoken].max() < 0.1


def test_what_is_found_is_counted():
    recording = timeline.Recording(Path("x.wav"), 10.0, [(2.0, 4.0), (6.0, 8.0)])
    segments = [{"start": 2.0, "end": 4.0}, {"start": 6.0, "end": 7.0}, {"start": 9.0, "end": 9.6}]
    told = timeline.told_of_speech(recording, timeline.Measured(1.0, 1.0, 100.0, segments))
    assert "2 clips" in told and "75.0%" in told and "10.0%" in told


def test_a_folder_without_clips_is_told(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"no wav/\*\.wav of EmoDB"):
        timeline.join_clips(tmp_path, 1, tmp_path / "joined.wav")
