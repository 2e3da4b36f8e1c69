"""What a request must hold before its rows may stand beside those of others in one batch."""

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmer_tf.audio.decode import FULL_SCALE_MARGIN
from mmer_tf.deploy.server.errors import RequestError, shape_text
from mmer_tf.deploy.server.loaded_model import Arrays, Signature, TensorInfo
from mmer_tf.types import SAMPLE_RATE, Seconds

BYTES_PER_SAMPLE = 2

TELLS_OF = {"token_mask": "token_ids", "word_of_token": "token_ids"}
"""Input -> the one of whose steps it tells; `<feature>_mask` tells of those of `<feature>`."""


@dataclass(frozen=True)
class Limits:
    """What a client may ask for at most.

    Args:
        body_bytes: of one request.
        held_bytes: of the bodies of all requests that are being answered.
        seconds: of one recording.
        characters: of one transcript.
        timeout: from the first byte of a request to its answer, in seconds.
    """

    body_bytes: int = 16 * 2**20
    held_bytes: int = 256 * 2**20
    seconds: Seconds = 60.0
    characters: int = 10_000
    timeout: Seconds = 30.0


def validated(signature: Signature, inputs: Arrays, limits: Limits) -> dict[str, np.ndarray]:
    """The same inputs, fit for a batch.

    Raises:
        RequestError: a shape, a number, a recording or a text that the model cannot take.
    """
    rows = {len(values) if values.ndim else None for values in inputs.values()}
    if None in rows:
        raise RequestError("Batching Run() input tensors must have at least one dimension")
    if len(rows) > 1:
        raise RequestError("Batching Run() input tensors must have equal 0th-dimension size")
    if rows == {0}:
        raise RequestError("Batching Run() input tensors must have at least one row")
    for name, info in signature.inputs.items():
        _check_shape(name, inputs[name], info)
        _check_numbers(name, inputs[name])
    checked = {
        name: CHECKS[name](values, limits) if name in CHECKS else values
        for name, values in inputs.items()
    }
    if "waveform" in inputs and "num_samples" in inputs:
        _check_lengths(inputs["num_samples"], inputs["waveform"].shape[1])
    _check_steps(inputs)
    return checked


def _check_shape(name: str, values: np.ndarray, info: TensorInfo) -> None:
    fits = values.ndim == len(info.shape) and all(
        wanted in (None, size) for wanted, size in zip(info.shape, values.shape, strict=True)
    )
    if not fits:
        raise RequestError(
            f"input {name}: Expecting shape {shape_text(info.shape)} "
            f"but got: {shape_text(values.shape)}"
        )


def _check_numbers(name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RequestError(f"input {name}: holds NaN or infinite values")


def _check_lengths(num_samples: np.ndarray, samples: int) -> None:
    wrong = num_samples[(num_samples < 0) | (num_samples > samples)]
    if len(wrong):
        raise RequestError(
            f"input num_samples: {wrong[0]} is not between 0 and the {samples} samples of waveform"
        )


def _check_steps(inputs: Arrays) -> None:
    """What tells something of each step of another input has to be as long as that one."""
    for name, values in inputs.items():
        told = TELLS_OF.get(name, name.removesuffix("_mask"))
        if told == name or told not in inputs or min(values.ndim, inputs[told].ndim) < 2:
            continue
        expected = inputs[told].shape[:2]
        if values.shape[:2] != expected:
            raise RequestError(
                f"input {name}: Expecting shape {shape_text(expected)}, one value for each step "
                f"of {told}, but got: {shape_text(values.shape)}"
            )


def _check_waveform(waveform: np.ndarray, limits: Limits) -> np.ndarray:
    _check_seconds("waveform", waveform.shape[1], limits)
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > FULL_SCALE_MARGIN:
        raise RequestError(
            f"input waveform: samples beyond full scale (largest value {peak:g}); "
            "scale them to [-1, 1]"
        )
    return waveform


def _check_seconds(name: str, samples: int, limits: Limits) -> None:
    if samples > limits.seconds * SAMPLE_RATE:
        raise RequestError(
            f"input {name}: {samples / SAMPLE_RATE:.1f} s of audio, "
            f"the limit is {limits.seconds:g} s"
        )


def _check_transcript(transcripts: np.ndarray, limits: Limits) -> np.ndarray:
    for content in transcripts:
        try:
            characters = len(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RequestError("input transcript: is no UTF-8 text") from error
        if characters > limits.characters:
            raise RequestError(
                f"input transcript: {characters} characters, the limit is {limits.characters}"
            )
    return transcripts


def _check_wav(contents: np.ndarray, limits: Limits) -> np.ndarray:
    checked = np.empty_like(contents)
    checked[:] = [_plain_wav(content, limits) if content else b"" for content in contents]
    return checked


def _plain_wav(content: bytes, limits: Limits) -> bytes:
    """A WAV file without what TensorFlow's decoder stumbles over: chunks around the samples."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            parameters = file.getparams()
            samples = file.readframes(parameters.nframes)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last one without a word
        reason = str(error) or "it ends too early"
        raise RequestError(f"input wav: is no WAV file ({reason})") from error
    found = (parameters.framerate, parameters.nchannels, 8 * parameters.sampwidth)
    if found != (SAMPLE_RATE, 1, 8 * BYTES_PER_SAMPLE):
        raise RequestError(
            "input wav: must be a WAV file of 16000 Hz, 1 channel and 16 bits; this one has "
            f"{found[0]} Hz, {found[1]} channels and {found[2]} bits"
        )
    if not samples:
        raise RequestError("input wav: holds no samples; send no bytes where there is no recording")
    if len(samples) != parameters.nframes * BYTES_PER_SAMPLE:
        raise RequestError(
            f"input wav: {len(samples)} of {parameters.nframes * BYTES_PER_SAMPLE} bytes of "
            "samples are there"
        )
    _check_seconds("wav", parameters.nframes, limits)
    plain = io.BytesIO()
    with wave.open(plain, "wb") as file:
        file.setparams(parameters)
        file.writeframes(samples)
    return plain.getvalue()


CHECKS: dict[str, Callable[[np.ndarray, Limits], np.ndarray]] = {
    "waveform": _check_waveform,
    "transcript": _check_transcript,
    "wav": _check_wav,
}
"""Name of an input of the data contract -> what it must be besides its type and shape."""
