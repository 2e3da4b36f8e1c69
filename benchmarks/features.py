"""Features of speech against scipy, librosa and openSMILE, for one clip and for a batch.

One thread on each side, since the libraries do not spread clips over cores; a batch also with two
on each. Two processes of a library are in the section `preparing`.

The clips are of EmoDB where there is one, 32 of neighbouring length, as batches are made of; else
noise of the same lengths.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from contest import Contender, Line, largest_difference, line, take_turns
from features_clips import SAMPLE_RATE, times, write_clips

from mmer_tf.audio.decode import decode

if TYPE_CHECKING:
    from run import Setting

BATCH = 32
SECONDS = 3
"""Of the one clip."""

OWN, OTHERS = "features_own.py", "features_others.py"
OPPONENTS = {
    "log_spectrogram": ("scipy_log_spectrogram",),
    "log_mel": ("librosa_log_mel",),
    "mfcc": ("librosa_mfcc", "opensmile_mfcc"),
}
NAMES = {
    "scipy_log_spectrogram": "scipy and numpy",
    "librosa_log_mel": "librosa",
    "librosa_mfcc": "librosa",
    "opensmile_mfcc": "openSMILE",
}
GOALS = {
    "scipy_log_spectrogram": 1.0,
    "librosa_log_mel": 3.0,
    "opensmile_mfcc": 20.0,
}
TOLERANCES = {"log_spectrogram": 0.05, "log_mel": 2e-3, "mfcc": 2e-2}
"""In natural log units, of the MFCC in dB. Float32 on both sides, whose logarithm of a power next
to nothing is inexact; a second difference adds up four such."""

LEAST_CORRELATION = 0.95
"""Of the zeroth coefficient over all frames with openSMILE's, which has another mel scale."""

OPENSMILE = (
    "MFCC alone, by a configuration of the same window, hop, FFT, bands and coefficients "
    "(benchmarks/mfcc.conf). openSMILE's mel scale and scaling are others by definition: the same "
    "number of frames, and the zeroth coefficient must correlate by 0.95 or more. Called as its "
    "Python package is, clip by clip, without reading files"
)


def measure(setting: "Setting") -> Iterator[Line]:
    """Yield the lines of this section."""
    sizes = {"one": f"a clip of {SECONDS} s", "batch": f"{BATCH} clips"}
    clips = read_speech(setting)
    for size, told in sizes.items():
        chosen = clips if size == "batch" else [_cut(clips)]
        work = setting.folder("features") / size
        work.mkdir(exist_ok=True)
        write_clips(work, chosen)
        for threads in (1, 2) if size == "batch" and setting.cores > 1 else (1,):
            for feature, opponents in OPPONENTS.items():
                yield from _contest(setting, work, chosen, feature, opponents, told, threads)


def _contest(
    setting: "Setting", work: Path, clips: list[np.ndarray], feature: str,
    opponents: tuple[str, ...], told: str, threads: int,
) -> Iterator[Line]:  # fmt: skip
    """One feature of one size, against all that compute it with as many threads."""
    ways = {name: NAMES[name] for name in opponents}
    if len(clips) > 1:
        ways = {name: f"{said}, clip by clip" for name, said in ways.items()}
        at_once = [name for name in opponents if name != "opensmile_mfcc"]
        ways |= {f"{name}_batch": f"{NAMES[name]}, all at once" for name in at_once}
    differences: dict[str, str] = {}

    def compare(answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        for name in ways:
            differences[name] = _difference(answers, feature, name)

    contenders = [Contender(feature, OWN)]
    contenders += [Contender(name, OTHERS, setting.audio) for name in ways]
    timed = take_turns(contenders, work, threads=threads, rounds=setting.rounds, compare=compare)
    seconds = times(clips) * sum(map(len, clips)) / SAMPLE_RATE
    for name, said in ways.items():
        opponent = name.removesuffix("_batch")
        yield line(
            (timed[feature], timed[name]),
            count=seconds,
            what=f"{feature} of {told}, {'one thread' if threads == 1 else 'two threads'}",
            opponent=said,
            unit="× real time",
            goal=GOALS.get(opponent),
            difference=differences[name],
            note=OPENSMILE if opponent == "opensmile_mfcc" and threads == 1 else "",
        )


def _difference(
    answers: Mapping[str, Mapping[str, np.ndarray]], feature: str, opponent: str
) -> str:
    """What a line tells of the sameness of two sides.

    Raises:
        SystemExit: they do not do the same work.
    """
    if opponent != "opensmile_mfcc":
        largest = largest_difference(answers, feature, opponent, TOLERANCES[feature])
        return f"{largest:.1e}"
    ours, theirs = answers[feature][feature], answers[opponent][feature]
    if ours.shape != theirs.shape:
        raise SystemExit(f"{opponent}: {theirs.shape} values against {ours.shape}")
    correlation = np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1]
    if not correlation >= LEAST_CORRELATION:
        raise SystemExit(f"{opponent}: the zeroth coefficient correlates by {correlation:.2f} only")
    return f"other by definition; correlation {correlation:.3f}"


def read_speech(setting: "Setting") -> list[np.ndarray]:
    """Clips of a batch, in the order of their length."""
    if setting.corpora and (setting.corpora / "EmoDB" / "wav").is_dir():
        files = sorted((setting.corpora / "EmoDB" / "wav").glob("*.wav"))
        clips = sorted(map(decode, files), key=len)
        middle = len(clips) // 2
        return clips[middle - BATCH // 2 : middle + BATCH // 2]
    random = np.random.default_rng(0)
    lengths = np.linspace(2.45, 2.67, BATCH) * SAMPLE_RATE
    return [random.normal(0, 0.1, int(length)).clip(-1, 1).astype("float32") for length in lengths]


def _cut(clips: list[np.ndarray]) -> np.ndarray:
    """Speech of the one clip's length."""
    return np.concatenate(clips)[: SECONDS * SAMPLE_RATE]
