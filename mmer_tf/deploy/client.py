"""Asks a model server, TensorFlow Serving or `mmer_tf.serve`, for the emotion of recordings.

Over REST nothing here needs TensorFlow; gRPC's messages are built on it, so it is imported when a
client is made for an address that begins with `grpc://`.
"""

import importlib
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from mmer_tf.audio.decode import decode
from mmer_tf.deploy.transports.errors import (
    DeadlineError,
    ModelNotFoundError,
    NothingToClassifyError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    ServingError,
    UnavailableError,
)
from mmer_tf.deploy.transports.rest import RestTransport
from mmer_tf.deploy.transports.retry import Retry
from mmer_tf.types import SAMPLE_RATE, Answer, Seconds

__all__ = [
    "DeadlineError",
    "EmotionClient",
    "ModelNotFoundError",
    "NothingToClassifyError",
    "OverloadedError",
    "ProtocolError",
    "RefusedError",
    "Retry",
    "ServingError",
    "UnavailableError",
]

RAW_SIGNATURE = "serving_default"
WAV_SIGNATURE = "wav"

MAX_SAMPLES = 1_000_000
"""Of one request, about a minute: 11 MB in JSON. A longer recording goes alone."""

FULL_SCALE = 2**15
"""Of 16-bit samples."""

Utterance = tuple[np.ndarray | None, str]


class Transport(Protocol):
    """How the server is reached."""

    sends_wav: bool

    def signatures(self) -> dict[str, tuple[str, ...]]: ...

    def is_available(self) -> bool: ...

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]: ...

    def close(self) -> None: ...


class EmotionClient:
    """Classifies recordings and transcripts with a model that is served elsewhere.

    May be shared by threads; is a context manager.

    Args:
        address: "http://host:8501" or "https://…" for REST, "grpc://host:8500" for gRPC.
        model: name of the served model.
        version: None asks for the newest.
        timeout: for one request and its answer.
        batch_size: utterances that are sent at once.
        retry: what is done about a server that has no room, or is not there; None asks three
            times more.

    Raises:
        ValueError: an address of another kind, or a number that is too small.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        version: int | None = None,
        timeout: Seconds = 30.0,
        batch_size: int = 16,
        retry: Retry | None = None,
    ):
        if timeout <= 0:
            raise ValueError(f"`timeout` must be > 0. Received: timeout={timeout}.")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be >= 1. Received: batch_size={batch_size}.")
        self.batch_size = batch_size
        self.retry = retry or Retry()
        self._transport = _transport(address, model, version, timeout)

    def __enter__(self) -> "EmotionClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def is_available(self) -> bool:
        """Whether the server has loaded the model.

        Raises:
            ServingError: no server there, or it does not know the model.
        """
        return self.retry.run(self._transport.is_available)

    def predict_files(
        self, files: Sequence[Path | str | None], transcripts: Sequence[str] | None = None
    ) -> list[Answer]:
        """Classify sound files of any format and sample rate.

        Args:
            files: None where there is no recording.
            transcripts: as spoken; empty where there is none.

        Raises:
            AudioError: a file that cannot be used.
            ServingError: as `predict`.
        """
        return self.predict([None if file is None else decode(file) for file in files], transcripts)

    def predict(
        self,
        waveforms: Sequence[np.ndarray | None] | None = None,
        transcripts: Sequence[str] | None = None,
    ) -> list[Answer]:
        """Classify utterances from the raw voice and words, as `Bundle.predict` does.

        Args:
            waveforms: float32 in [-1, 1], 16 kHz mono; None where there is no recording.
            transcripts: as spoken; empty where there is none.

        Raises:
            ServingError: no answer; its class says why. Answers of other requests are then lost.
            NothingToClassifyError: an utterance lacks what the model hears or reads.
        """
        utterances = _utterances(waveforms, transcripts)
        for number, utterance in enumerate(utterances):
            self._check(number, *utterance)
        answers: list[Answer | None] = [None] * len(utterances)
        for numbers in self._requests(utterances):
            batch = self._ask([utterances[number] for number in numbers])
            for number, answer in zip(numbers, batch, strict=True):
                if not answer.label:
                    raise NothingToClassifyError(
                        f"utterance {number}: neither a recording nor a word that the model reads"
                    )
                answers[number] = answer
        return [answer for answer in answers if answer is not None]

    @cached_property
    def _signatures(self) -> dict[str, tuple[str, ...]]:
        signatures = self.retry.run(self._transport.signatures)
        inputs = set(signatures.get(RAW_SIGNATURE, ()))
        if not inputs or not inputs <= {"waveform", "num_samples", "transcript"}:
            raise RefusedError(
                f"the model takes {', '.join(sorted(inputs)) or 'nothing'}, which this client does "
                "not compute; export one that hears waveforms or reads transcripts"
            )
        return signatures

    def _check(self, number: int, waveform: np.ndarray | None, transcript: str) -> None:
        inputs = self._signatures[RAW_SIGNATURE]
        if waveform is not None and (waveform.ndim != 1 or not len(waveform)):
            raise ValueError(
                "a waveform must be (samples,) with a sample at least. "
                f"Received: {waveform.shape} for utterance {number}."
            )
        if "transcript" not in inputs and waveform is None:
            raise NothingToClassifyError(
                f"utterance {number}: this model hears only the voice; give it a recording"
            )
        if "waveform" not in inputs and not transcript.strip():
            raise NothingToClassifyError(
                f"utterance {number}: this model reads only the words; give it a transcript"
            )
        if waveform is None and not transcript.strip():
            raise NothingToClassifyError(
                f"utterance {number}: neither a recording nor a transcript to classify"
            )

    def _requests(self, utterances: Sequence[Utterance]) -> Iterator[list[int]]:
        """Numbers of the utterances that go together: of similar length, few enough."""
        lengths = [0 if waveform is None else len(waveform) for waveform, _ in utterances]
        together: list[int] = []
        for number in sorted(range(len(utterances)), key=lengths.__getitem__):
            # Each row is as long as the longest, which is the last.
            samples = lengths[number] * (len(together) + 1)
            if together and (len(together) == self.batch_size or samples > MAX_SAMPLES):
                yield together
                together = []
            together.append(number)
        if together:
            yield together

    def _ask(self, utterances: Sequence[Utterance]) -> list[Answer]:
        signature, inputs = self._inputs(utterances)
        outputs = self.retry.run(lambda: self._transport.predict(signature, inputs))
        try:
            return [_answer(outputs, row) for row in range(len(utterances))]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ProtocolError(f"the answer holds no emotions: {', '.join(outputs)}") from error

    def _inputs(self, utterances: Sequence[Utterance]) -> tuple[str, dict[str, np.ndarray]]:
        """The signature to be asked, and its arguments."""
        waveforms = [waveform for waveform, _ in utterances]
        signature, voice = RAW_SIGNATURE, {}
        if "waveform" in self._signatures[RAW_SIGNATURE]:
            files = _wav_files(waveforms) if self._transport.sends_wav else None
            if files is not None and WAV_SIGNATURE in self._signatures:
                signature, voice = WAV_SIGNATURE, {"wav": _objects(files)}
            else:
                voice = _padded(waveforms)
        texts = {"transcript": _objects([transcript for _, transcript in utterances])}
        return signature, {
            name: values
            for name, values in (voice | texts).items()
            if name in self._signatures[signature]
        }


def _transport(address: str, model: str, version: int | None, timeout: Seconds) -> Transport:
    kind, _, rest = address.partition("://")
    if kind in ("http", "https") and rest:
        return RestTransport(address, model, version, timeout)
    if kind == "grpc" and rest:
        module = importlib.import_module("mmer_tf.deploy.transports.grpc")
        return module.GrpcTransport(rest.rstrip("/"), model, version, timeout)
    raise ValueError(
        "`address` must begin with http://, https:// or grpc:// and name a host. "
        f"Received: address={address!r}."
    )


def _utterances(
    waveforms: Sequence[np.ndarray | None] | None, transcripts: Sequence[str] | None
) -> list[Utterance]:
    if waveforms is None and transcripts is None:
        raise NothingToClassifyError("nothing to classify: give waveforms, transcripts or both")
    if waveforms is None:
        return [(None, transcript) for transcript in transcripts or ()]
    transcripts = [""] * len(waveforms) if transcripts is None else transcripts
    return list(zip(waveforms, transcripts, strict=True))


def _wav_files(waveforms: Sequence[np.ndarray | None]) -> list[bytes] | None:
    """Each as a WAV file; None where 16 bits could not hold one of them exactly."""
    files = []
    for waveform in waveforms:
        if waveform is None:
            files.append(b"")
            continue
        scaled = waveform * np.float32(FULL_SCALE)
        samples = np.rint(scaled)
        fits = samples.min() >= -FULL_SCALE and samples.max() < FULL_SCALE
        if not fits or not np.array_equal(samples, scaled):
            return None
        file = io.BytesIO()
        soundfile.write(file, samples.astype("int16"), SAMPLE_RATE, "PCM_16", format="WAV")
        files.append(file.getvalue())
    return files


def _padded(waveforms: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """One array of them all, and their lengths; none is empty, which TensorFlow Serving's
    batching could not pad."""
    lengths = [0 if waveform is None else len(waveform) for waveform in waveforms]
    batch = np.zeros((len(waveforms), max(1, *lengths)), "float32")
    for row, waveform in zip(batch, waveforms, strict=True):
        if waveform is not None:
            row[: len(waveform)] = waveform
    return {"waveform": batch, "num_samples": np.array(lengths, "int32")}


def _objects(values: Sequence[str | bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _answer(outputs: Mapping[str, np.ndarray], row: int) -> Answer:
    labels = [str(label) for label in outputs["labels"][row]]
    probabilities = map(float, outputs["probabilities"][row])
    weights = ("speech_attention", "text_attention", "word_attention")
    explanations = {name: _weights(outputs[name][row]) for name in weights if name in outputs}
    if "gate" in outputs:
        explanations["gate"] = np.asarray(outputs["gate"][row], "float32")
    return Answer(
        label=str(outputs["label"][row]),
        probabilities=dict(zip(labels, probabilities, strict=True)),
        **explanations,
    )


def _weights(values: np.ndarray) -> np.ndarray:
    """Without what was padded for the sake of longer utterances: its weight is exactly 0."""
    (real,) = np.nonzero(values)
    return np.asarray(values[: max(1, real[-1] + 1 if len(real) else 1)], "float32")
