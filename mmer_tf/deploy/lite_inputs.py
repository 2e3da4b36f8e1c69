"""One utterance as a `.tflite` file takes it: samples and token ids."""

from dataclasses import dataclass

import numpy as np

from mmer_tf.deploy.device_text import DeviceText
from mmer_tf.deploy.lite_file import LiteFile
from mmer_tf.modalities import middle, recording, require_readable


@dataclass(frozen=True)
class LiteInputs:
    """Fills the inputs of a file.

    Args:
        window: samples that `waveform` has at most; None for a model without ears.
        text: makes `token_ids`; None for a model without words.
    """

    window: int | None
    text: DeviceText | None

    @classmethod
    def of(cls, file: LiteFile) -> "LiteInputs":
        """What a file's description asks for."""
        described = file.description
        text = None
        if "text" in described["modalities"]:
            text = DeviceText(file.vocabulary, file.expansions or {}, **described["tokenizer"])
        return cls(int(described["window"]) if "speech" in described["modalities"] else None, text)

    def __call__(self, waveform: np.ndarray | None, transcript: str) -> dict[str, np.ndarray]:
        """One utterance, by the names of the inputs.

        Args:
            waveform: float32 (samples,) in [-1, 1], 16 kHz mono; None, or without a sample, where
                there is no recording. Of a clip longer than the window the middle is taken.
            transcript: as spoken; empty where there is none.

        Raises:
            NothingToReadError: the utterance lacks what the model hears or reads.
            ValueError: a waveform of another shape, or with values that are no numbers.
        """
        hears, reads = self.window is not None, self.text is not None
        given: dict[str, np.ndarray] = {}
        waveform, read = recording(waveform), False
        heard = waveform is not None
        if self.text is not None:
            token_ids, read = self.text(transcript)
            given |= {"token_ids": token_ids, "token_mask": np.ones(token_ids.shape, bool)}
        require_readable(hears, reads, heard, read)
        if self.window is not None:
            samples = np.zeros(1) if waveform is None else middle(waveform, self.window)
            given |= {
                "waveform": np.asarray(samples, np.float32)[None],
                "num_samples": np.array([len(samples) if heard else 0], np.int32),
            }
        if hears and reads:
            given |= {"has_speech": np.array([heard]), "has_text": np.array([read])}
        return given
