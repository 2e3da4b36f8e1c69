"""The same features by librosa, scipy and openSMILE: the opponents of features.py.

Runs in the environment of requirements-audio.txt. Names say how a library goes over the clips:
`_batch` in one call for the padded batch, otherwise clip by clip.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import opensmile
import scipy.signal
from contender import Maker, Work, contend
from features_clips import SAMPLE_RATE, read_clips, repeated

Compute = Callable[[np.ndarray], np.ndarray]
"""Of one clip or several of one length: (…, samples) -> (…, frames, …)."""


def log_spectrogram(x: np.ndarray) -> np.ndarray:
    """Three channels; of scipy the first."""
    _, _, power = scipy.signal.spectrogram(
        x, SAMPLE_RATE, "hann", nperseg=640, noverlap=320, detrend=False
    )
    base = np.log(np.swapaxes(power, -1, -2) + np.float32(1e-10))
    delta = _difference(base)
    return np.stack([base, delta, _difference(delta)], axis=-1)


def _difference(x: np.ndarray) -> np.ndarray:
    difference = np.diff(x, axis=-1)
    return np.concatenate([difference[..., :1], difference], axis=-1)


def _mel(x: np.ndarray) -> np.ndarray:
    centred = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(56, 56)])  # the window stands amid the FFT
    return librosa.feature.melspectrogram(
        y=centred,
        sr=SAMPLE_RATE,
        n_fft=512,
        win_length=400,
        hop_length=160,
        center=False,
        n_mels=64,
    )


def log_mel(x: np.ndarray) -> np.ndarray:
    """Of librosa."""
    return np.swapaxes(np.log(_mel(x) + np.float32(1e-6)), -1, -2)


def mfcc(x: np.ndarray) -> np.ndarray:
    """Of librosa."""
    decibels = librosa.power_to_db(_mel(x), top_db=None)
    return np.swapaxes(librosa.feature.mfcc(S=decibels, n_mfcc=40), -1, -2)


def make_opensmile() -> Compute:
    """MFCC alone, by a configuration of the same sizes."""
    smile = opensmile.Smile(str(Path(__file__).with_name("mfcc.conf")), feature_level="lld")
    return lambda x: smile(x, SAMPLE_RATE)[0].T


def make_each(feature: str, make_compute: Callable[[], Compute], work: Path) -> Work:
    """Clip by clip."""
    clips, compute = read_clips(work), make_compute()

    def run() -> list[np.ndarray]:
        return [compute(clip) for clip in clips]

    return Work(run=repeated(run, clips), answers={feature: np.concatenate(run())}, facts={})


def make_batch(feature: str, make_compute: Callable[[], Compute], work: Path) -> Work:
    """All clips at once, padded with silence."""
    clips, compute = read_clips(work), make_compute()
    padded = np.zeros((len(clips), max(map(len, clips))), np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    window, hop = (640, 320) if feature == "log_spectrogram" else (400, 160)
    rows = [
        row[: 1 + (len(clip) - window) // hop]
        for row, clip in zip(compute(padded), clips, strict=True)
    ]
    return Work(
        run=repeated(lambda: compute(padded), clips),
        answers={feature: np.concatenate(rows)},
        facts={},
    )


COMPUTERS: dict[str, tuple[str, Callable[[], Compute]]] = {
    "scipy_log_spectrogram": ("log_spectrogram", lambda: log_spectrogram),
    "librosa_log_mel": ("log_mel", lambda: log_mel),
    "librosa_mfcc": ("mfcc", lambda: mfcc),
    "opensmile_mfcc": ("mfcc", make_opensmile),
}

MAKERS: dict[str, Maker] = {}
for _name, _of in COMPUTERS.items():
    MAKERS[_name] = partial(make_each, *_of)
    MAKERS[f"{_name}_batch"] = partial(make_batch, *_of)


if __name__ == "__main__":
    contend(MAKERS)
