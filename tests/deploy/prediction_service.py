"""A gRPC server of TensorFlow Serving's own protocol, in front of a loaded SavedModel."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mmer_tf.deploy.server.errors import RequestError
from mmer_tf.deploy.server.loaded_model import LoadedModel


class PredictionService(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Answers, or fails with the codes in `failures`, one a request.

    Args:
        model: what it answers with.
    """

    def __init__(self, model: LoadedModel):
        self.model = model
        self.failures: list[tuple[grpc.StatusCode, str]] = []
        self.requests: list[predict_pb2.PredictRequest] = []

    def Predict(self, request, context):  # noqa: N802
        self.requests.append(request)
        if self.failures:
            context.abort(*self.failures.pop(0))
        self._find(request.model_spec, context)
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        try:
            outputs = self.model.run(request.model_spec.signature_name, inputs)
        except RequestError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        answer = predict_pb2.PredictResponse()
        for name, values in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return answer

    def GetModelMetadata(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        definitions = get_model_metadata_pb2.SignatureDefMap(signature_def=self.model._definitions)
        packed = any_pb2.Any()
        packed.Pack(definitions)
        return get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=request.model_spec, metadata={"signature_def": packed}
        )

    def GetModelStatus(self, request, context):  # noqa: N802
        self._find(request.model_spec, context)
        entry = get_model_status_pb2.ModelVersionStatus(
            version=self.model.version, state=get_model_status_pb2.ModelVersionStatus.AVAILABLE
        )
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[entry])

    def _find(self, spec, context) -> None:
        version = spec.version.value if spec.HasField("version") else self.model.version
        if (spec.name, version) != (self.model.name, self.model.version):
            wanted = f"Specific({spec.name}, {version})"
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")


@contextmanager
def prediction_service(model: LoadedModel) -> Iterator[tuple[str, PredictionService]]:
    """Yields its address and the service."""
    service = PredictionService(model)
    server = grpc.server(ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", service
    finally:
        server.stop(None).wait()
