"""Prepares a folder of recordings as many a script does: librosa in two processes, one file a clip.

    python benchmarks/preparing_librosa.py WAVES OUT  # with requirements-audio.txt

An opponent of `python -m mmer_tf.prepare`, see preparing.py.
"""

import multiprocessing
import sys
from pathlib import Path

import librosa
import numpy as np

PROCESSES = 2


def main() -> None:
    """Write the log-mel of every recording."""
    waves, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    jobs = [(file, out / f"{file.stem}.npy") for file in sorted(waves.glob("*.wav"))]
    with multiprocessing.Pool(PROCESSES) as pool:
        pool.starmap(prepare, jobs, chunksize=16)


def prepare(file: Path, target: Path) -> None:
    """Decode one recording, compute, write."""
    waveform, _ = librosa.load(file, sr=16_000)
    mel = librosa.feature.melspectrogram(
        y=np.pad(waveform, 56),  # librosa centres the window in the FFT
        sr=16_000,
        n_fft=512,
        win_length=400,
        hop_length=160,
        center=False,
        n_mels=64,
    )
    np.save(target, np.log(mel + 1e-6).T.astype(np.float16))


if __name__ == "__main__":
    main()
