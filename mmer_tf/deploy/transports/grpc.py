"""A model server's gRPC interface. Imports TensorFlow, on which its messages are built."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mmer_tf.deploy.transports.errors import (
    DeadlineError,
    ModelNotFoundError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    UnavailableError,
)
from mmer_tf.types import Seconds

Message = TypeVar("Message")

LARGEST_MESSAGE = 256 * 2**20

ERRORS = {
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.NOT_FOUND: ModelNotFoundError,
    grpc.StatusCode.INVALID_ARGUMENT: RefusedError,
    grpc.StatusCode.FAILED_PRECONDITION: RefusedError,
    grpc.StatusCode.OUT_OF_RANGE: RefusedError,
    grpc.StatusCode.UNIMPLEMENTED: RefusedError,
    grpc.StatusCode.PERMISSION_DENIED: RefusedError,
    grpc.StatusCode.UNAUTHENTICATED: RefusedError,
}


class GrpcTransport:
    """Speaks protocol buffers over HTTP/2. May be shared by threads.

    Args:
        target: such as "localhost:8500".
        model: name of the served model.
        version: None asks for the newest.
        timeout: for one request and its answer.
    """

    sends_wav = False
    """Samples travel as they are."""

    def __init__(self, target: str, model: str, version: int | None, timeout: Seconds):
        self._target = target
        self._timeout = timeout
        self._spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            self._spec.version.value = version
        self._channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.max_send_message_length", LARGEST_MESSAGE),
                ("grpc.max_receive_message_length", LARGEST_MESSAGE),
                ("grpc.enable_retries", 0),
            ],
        )
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def signatures(self) -> dict[str, tuple[str, ...]]:
        """Name of each signature -> the names of its inputs."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        answer = self._ask(self._predictions.GetModelMetadata, request)
        definitions = get_model_metadata_pb2.SignatureDefMap()
        if not answer.metadata["signature_def"].Unpack(definitions):
            raise ProtocolError(f"{self._target}: tells of no signatures")
        return {name: tuple(one.inputs) for name, one in definitions.signature_def.items()}

    def is_available(self) -> bool:
        """Whether the server has loaded the model."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        answer = self._ask(self._models.GetModelStatus, request)
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return any(one.state == available for one in answer.model_version_status)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of one signature for a batch.

        Raises:
            ServingError: no answer; its class says why.
        """
        request = predict_pb2.PredictRequest(model_spec=self._spec)
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        answer = self._ask(self._predictions.Predict, request)
        arrays = {name: tf.make_ndarray(values) for name, values in answer.outputs.items()}
        return {name: _texts(values) for name, values in arrays.items()}

    def _ask(self, method: Callable[..., Message], request: Any) -> Message:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            kind = ERRORS.get(error.code(), ProtocolError)
            name = error.code().name
            raise kind(f"{self._target}: {error.details() or name}", name) from error


def _texts(values: np.ndarray) -> np.ndarray:
    """The server's strings are UTF-8."""
    if values.dtype != object:
        return values
    texts = [value.decode("utf-8") for value in values.ravel()]
    return np.array(texts, object).reshape(values.shape)
