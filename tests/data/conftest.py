"""A small corpus of tones, and a dataset made of it once for all tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmer_tf.data.manifest import Dataset, read_dataset
from mmer_tf.data.prepare import prepare_dataset

LABELS = ("angry", "sad")
FEATURES = ("log_mel", "log_spectrogram", "mel_image", "waveform")
PER_SHARD = 8


def tone(seconds: float, seed: int = 0) -> np.ndarray:
    """A noisy tone, 16 kHz."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * random.uniform(100, 900) * time)
    return (wave + random.normal(0, 0.01, len(time))).astype(np.float32)


def write_corpus(folder: Path, count: int) -> Path:
    """A `table` corpus: clips of 0.3 to 1.5 s, one of 2.5 s, and one row without a recording."""
    folder.mkdir(parents=True)
    rows = []
    for i in range(count):
        seconds = 2.5 if i == 3 else 0.3 + 1.2 * (i * 7 % count) / count
        soundfile.write(folder / f"clip{i:03d}.wav", tone(seconds, i), 16_000, subtype="PCM_16")
        rows.append(
            {
                "id": f"u{i:03d}",
                "file": f"clip{i:03d}.wav",
                "text": "" if i == 1 else f"It's word{i} here",
                "label": LABELS[i % 2],
                "speaker": f"s{i % 4}",
            }
        )
    rows.append({"id": "text", "text": "Only words", "label": "sad", "speaker": "s0"})
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "table", 40)


@pytest.fixture(scope="session")
def dataset(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("data") / "table"
    prepare_dataset("table", corpus, out, FEATURES, workers=0, utterances_per_shard=PER_SHARD)
    return read_dataset(out)


@pytest.fixture(scope="session")
def ids(dataset: Dataset) -> list[str]:
    return sorted(dataset.records)


@pytest.fixture
def own_dataset(corpus: Path, tmp_path: Path) -> Dataset:
    """One that a test may spoil."""
    out = tmp_path / "own"
    return prepare_dataset(
        "table", corpus, out, ["log_mel"], workers=0, utterances_per_shard=PER_SHARD
    )
