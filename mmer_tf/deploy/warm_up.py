"""Requests that a model server runs before it answers others, as TensorFlow Serving reads them."""

import io
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from mmer_tf.types import SAMPLE_RATE, Seconds

CLIP: Seconds = 3.0

REQUESTS = {"serving_default": (1, 8), "wav": (1,)}
"""Signature -> rows of each of its requests: one utterance, and a batch."""


def write_warm_up(
    file: Path, model: str, signatures: Mapping[str, Sequence[tf.TensorSpec]]
) -> None:
    """Write requests of silence and a few words.

    Args:
        file: `assets.extra/tf_serving_warmup_requests` of a SavedModel.
        model: its name.
        signatures: name -> arguments; those of `REQUESTS` are warmed up.
    """
    samples = int(CLIP * SAMPLE_RATE)
    values = {
        "waveform": np.zeros((1, samples), np.float32),
        "num_samples": np.array([samples], np.int32),
        "lld": np.zeros((1, 100, 65), np.float32),
        "num_frames": np.array([100], np.int32),
        "wav": np.array([_silent_wav(samples)], object),
        "transcript": np.array([b"what was said"], object),
    }
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, sizes in REQUESTS.items():
            for rows in sizes if signature in signatures else ():
                spec = model_pb2.ModelSpec(name=model, signature_name=signature)
                request = predict_pb2.PredictRequest(model_spec=spec)
                for argument in signatures[signature]:
                    value = np.repeat(values[argument.name], rows, axis=0)
                    request.inputs[argument.name].CopyFrom(tf.make_tensor_proto(value))
                log = prediction_log_pb2.PredictLog(request=request)
                whole = prediction_log_pb2.PredictionLog(predict_log=log)
                writer.write(whole.SerializeToString())


def _silent_wav(samples: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as recording:
        recording.setparams((1, 2, SAMPLE_RATE, samples, "NONE", ""))
        recording.writeframes(bytes(2 * samples))
    return stream.getvalue()
