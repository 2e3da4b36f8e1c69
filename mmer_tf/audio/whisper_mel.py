"""Whisper's own front end: log-mel frames of a window of fixed length."""

import math

import keras
from keras import ops

from mmer_tf.audio.layer import Float32Layer, before
from mmer_tf.audio.spectrum import DFT, PowerSpectrum, frame, mel_filters, silence_after
from mmer_tf.types import SAMPLE_RATE, Seconds


@keras.saving.register_keras_serializable("mmer_tf")
class WhisperMel(Float32Layer):
    """Log power in mel bands every 10 ms, scaled by the clip's own maximum.

    Radford et al. 2023, "Robust speech recognition via large-scale weak supervision", section
    2.2; equals `transformers.WhisperFeatureExtractor`. The clip is followed by zeros up to the
    window, and cut where it is longer. 25 ms periodic Hann window, centred on its frame, the ends
    reflected; Slaney's mel scale and area norm; `log10(max(mel, 1e-10))`, raised to at least the
    window's maximum − 8, then `(x + 4) / 4`. The last frame, whose centre is the window's end, is
    dropped.

    Args:
        num_mels: bands, 80 for most published models, 128 for the newest.
        window_seconds: length of the window, a multiple of 0.02, at least 0.02.
        dft: "fft" or "factored" (see `PowerSpectrum`).

    Call: waveform (batch, samples) float32 in [-1, 1], num_samples (batch,) int ->
        log_mel (batch, 100 * window_seconds, num_mels) float32, mask (batch, frames) bool, True
        where a frame's centre lies in the clip; what follows is not zero, but what silence gives

    Raises:
        ValueError: an argument out of range.
    """

    WINDOW_LENGTH = 400
    HOP = 160
    SAMPLES_PER_STEP = 320
    FLOOR = 1e-10
    DECADES = 8.0

    def __init__(
        self, num_mels: int = 80, window_seconds: Seconds = 30.0, dft: DFT = "fft", **kwargs
    ):
        super().__init__(**kwargs)
        if num_mels < 1:
            raise ValueError(f"`num_mels` must be >= 1. Received: num_mels={num_mels}.")
        steps = window_seconds * SAMPLE_RATE / self.SAMPLES_PER_STEP
        if steps < 1 or not math.isclose(steps, round(steps)):
            raise ValueError(
                "`window_seconds` must be a positive multiple of 0.02. "
                f"Received: window_seconds={window_seconds}."
            )
        self.num_mels = num_mels
        self.window_seconds = window_seconds
        self.window_samples = round(steps) * self.SAMPLES_PER_STEP
        self.dft = dft
        self.power_spectrum = PowerSpectrum(self.WINDOW_LENGTH, self.WINDOW_LENGTH, dft)
        self.filters = mel_filters(num_mels, self.WINDOW_LENGTH)

    def num_frames(self, num_samples):
        """Count the frames of clips: integer tensor -> integer tensor of the same shape."""
        return (ops.minimum(num_samples, self.window_samples) + self.HOP - 1) // self.HOP

    def call(self, waveform, num_samples):
        """Compute feature and mask; see the class."""
        num_samples = ops.cast(num_samples, "int32")
        waveform = silence_after(waveform, num_samples)[:, : self.window_samples]
        waveform = ops.pad(waveform, ((0, 0), (0, self.window_samples)))
        waveform = waveform[:, : self.window_samples]
        reflected = self.WINDOW_LENGTH // 2
        waveform = ops.pad(waveform, ((0, 0), (reflected, reflected)), mode="reflect")
        frames = frame(waveform, self.WINDOW_LENGTH, self.HOP)[:, :-1]
        # The number of frames is known, though that of samples was not.
        frames = ops.reshape(frames, (-1, self.window_samples // self.HOP, self.WINDOW_LENGTH))
        mel = ops.matmul(self.power_spectrum(frames), self.filters)  # (batch, frames, num_mels)
        log_mel = ops.log10(ops.maximum(mel, self.FLOOR))
        loudest = ops.max(log_mel, axis=(1, 2), keepdims=True)
        log_mel = (ops.maximum(log_mel, loudest - self.DECADES) + 4.0) / 4.0
        return log_mel, before(self.num_frames(num_samples), ops.shape(log_mel)[1])

    def get_config(self):
        """Arguments that rebuild the layer."""
        return {
            **super().get_config(),
            "num_mels": self.num_mels,
            "window_seconds": self.window_seconds,
            "dft": self.dft,
        }
