"""Clips that come with the page: synthetic, spoken by espeak-ng.

`python -m mmer_tf.deploy.web.examples` speaks them anew (extra `synthetic`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mmer_tf.corpora.espeak import Espeak
from mmer_tf.corpora.synthetic import MANNERS
from mmer_tf.types import SAMPLE_RATE

FOLDER = Path(__file__).parent / "examples"
LIST = "examples.json"


@dataclass(frozen=True)
class Example:
    """A clip.

    Args:
        file: its name in `FOLDER`.
        manner: as which emotion of the synthetic corpus it is spoken.
        voice: of espeak-ng.
        transcript: what is said.
    """

    file: str
    manner: str
    voice: str
    transcript: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / self.file


SPOKEN = (
    Example("angry.ogg", "angry", "en-us+m7", "How dare you touch my bicycle!"),
    Example("happy.ogg", "happy", "en-us+f2", "We won, let's celebrate tonight!"),
    Example("neutral.ogg", "neutral", "en-us+f4", "The list says one ticket each."),
    Example("sad.ogg", "sad", "en-us+m3", "He is gone, and nobody said goodbye."),
)


def read_examples(folder: Path = FOLDER) -> tuple[Example, ...]:
    """The clips of the package."""
    rows = json.loads((folder / LIST).read_text(encoding="utf-8"))
    return tuple(Example(**row) for row in rows)


def speak_examples(folder: Path = FOLDER) -> None:
    """Speak the clips as Ogg Vorbis, 16 kHz, and write the list of them.

    Raises:
        MissingExtraError: espeak-ng is not installed.
    """
    for one in SPOKEN:
        espeak = Espeak()
        samples, _ = espeak.say(one.transcript, one.voice, MANNERS[one.manner])
        waveform = np.frombuffer(samples, "<i2").astype("float32") / 32_768
        waveform = soxr.resample(waveform, espeak.sample_rate, SAMPLE_RATE)
        soundfile.write(folder / one.file, waveform, SAMPLE_RATE)
    rows = json.dumps([asdict(one) for one in SPOKEN], indent=2, ensure_ascii=False)
    (folder / LIST).write_text(rows + "\n", encoding="utf-8")


if __name__ == "__main__":
    speak_examples()
