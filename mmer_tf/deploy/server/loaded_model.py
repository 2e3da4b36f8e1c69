"""A SavedModel in memory, loaded with tensorflow and tensorflow_text alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_log_pb2

from mmer_tf.deploy.description import (
    EXTRA,
    WARM_UP,
    ServedModelError,
    read_description,
    version_folder,
)
from mmer_tf.deploy.loading import DAMAGED, damaged, load_saved_model
from mmer_tf.deploy.server.errors import RequestError, shortened

Arrays = Mapping[str, np.ndarray]

DEFAULT_SIGNATURE = "serving_default"

STATUS_OF = {
    tf.errors.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    tf.errors.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    tf.errors.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    tf.errors.UNIMPLEMENTED: HTTPStatus.BAD_REQUEST,
    tf.errors.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
}
"""TensorFlow's error code -> HTTP status, as the model server translates them."""


@dataclass(frozen=True)
class TensorInfo:
    """One input of a signature.

    Args:
        dtype: TensorFlow's name of it.
        shape: None where a dimension is free.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """A function of the model that can be asked for.

    Args:
        name: as the client says it in `signature_name`.
        method: what kind it is of; `tensorflow/serving/predict` for those of `export`.
        inputs: name -> what it takes.
    """

    name: str
    method: str
    inputs: Mapping[str, TensorInfo]


class LoadedModel:
    """One version of a model.

    Args:
        folder: of its versions, of which the newest is taken, or of one version.
        name: under which it is served; None takes that of the folder of versions.

    Raises:
        ServedModelError: no model there, or one that this version cannot read.
    """

    def __init__(self, folder: Path, name: str | None = None):
        self.folder = version_folder(folder.resolve())
        self.description = read_description(self.folder)
        numbered = self.folder.name.isdecimal()
        self.version = int(self.folder.name) if numbered else 1
        self.name = name or (self.folder.parent if numbered else self.folder).name
        try:
            self._definitions = _read_signatures(self.folder)
        except DAMAGED as error:
            raise damaged(self.folder, error) from error
        self._loaded = load_saved_model(self.folder)

    @cached_property
    def signatures(self) -> dict[str, Signature]:
        """All that the file names, by name."""
        return {
            name: Signature(
                name,
                definition.method_name,
                {key: _tensor_info(info) for key, info in sorted(definition.inputs.items())},
            )
            for name, definition in self._definitions.items()
        }

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What `GET /v1/models/NAME/metadata` answers."""
        definitions = get_model_metadata_pb2.SignatureDefMap(signature_def=self._definitions)
        written = json_format.MessageToDict(
            definitions, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
        )
        spec = {"name": self.name, "signature_name": "", "version": str(self.version)}
        return {"model_spec": spec, "metadata": {"signature_def": written}}

    def run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Compute one batch.

        Args:
            signature: its name.
            inputs: all that it takes, of the right shapes and types.

        Raises:
            RequestError: TensorFlow refused the values.
        """
        infos = self.signatures[signature].inputs
        tensors = {
            name: tf.constant(values, tf.as_dtype(infos[name].dtype))
            for name, values in inputs.items()
        }
        try:
            outputs = self._loaded.signatures[signature](**tensors)
            return {name: value.numpy() for name, value in outputs.items()}
        except tf.errors.OpError as error:
            status = STATUS_OF.get(error.error_code, HTTPStatus.INTERNAL_SERVER_ERROR)
            raise RequestError(shortened(_cause(error)), status) from error

    def warm_up(self) -> int:
        """Run the requests that `export` wrote for this, so that no client waits for the first.

        Returns:
            How many there were.

        Raises:
            ServedModelError: the file is damaged.
        """
        file = self.folder / EXTRA / WARM_UP
        if not file.is_file():
            return 0
        try:
            records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
            logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
        except (tf.errors.OpError, DecodeError) as error:
            raise ServedModelError(f"{file}: damaged; export the run again") from error
        for log in logs:
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            self.run(request.model_spec.signature_name or DEFAULT_SIGNATURE, inputs)
        return len(logs)


def _cause(error: tf.errors.OpError) -> str:
    """The operation's own sentence, which stands between the trace and the name of its node."""
    lines = error.message.partition("\n\t [[")[0].splitlines()
    return lines[-1] if lines else type(error).__name__


def _read_signatures(folder: Path) -> dict[str, Any]:
    """The signatures as the file has them, in the order of their names."""
    content = (folder / "saved_model.pb").read_bytes()
    try:
        saved = saved_model_pb2.SavedModel.FromString(content)
    except Exception as error:  # protobuf's DecodeError is no stable name
        raise ValueError("saved_model.pb is damaged") from error
    served = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not served:
        raise ValueError("saved_model.pb holds no graph with the tag `serve`")
    return dict(sorted(served[0].signature_def.items()))


def _tensor_info(info: Any) -> TensorInfo:
    sizes = [dimension.size for dimension in info.tensor_shape.dim]
    shape = tuple(None if size < 0 else size for size in sizes)
    return TensorInfo(tf.as_dtype(info.dtype).name, shape)
