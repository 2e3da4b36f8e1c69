"""What the pages take for granted: a folder with the run of `make train`, and recordings."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from blocks import REPOSITORY
from reader import environment

OF_THE_CHECKOUT = ("benchmarks", "configs", "docker")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `make train` has trained: `data/` and `saved_models/` are in it."""
    folder = tmp_path_factory.mktemp("trained")
    command = ["python", "-m", "mmer_tf.train", "--model", "gmu"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True)
    return folder


@pytest.fixture
def workplace(trained: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the same content, `recordings/`, and a longer `recording.wav`.

    That one is 16 kHz, mono, 16 bits; the others have another rate.
    """
    import soundfile

    from mmer_tf.audio.decode import decode
    from mmer_tf.data.manifest import read_dataset
    from mmer_tf.types import SAMPLE_RATE

    folder = tmp_path / "work"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("synthetic-speech"))
    for name in OF_THE_CHECKOUT:
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "recordings").mkdir()
    rows = read_dataset(trained / "data" / "synthetic").rows[:4]
    clips = [shutil.copy(row.audio, folder / "recordings") for row in rows if row.audio]
    voices = [decode(clip) for clip in clips]
    pause = np.zeros(SAMPLE_RATE)
    said = np.concatenate([*voices, pause, *voices])
    soundfile.write(folder / "recording.wav", said, SAMPLE_RATE, "PCM_16")
    return folder
