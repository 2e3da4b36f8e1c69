"""Requests and answers as TensorFlow Serving's REST interface writes them.

Row format: `{"instances": [{"waveform": […], …}, …]}` gets `{"predictions": [{…}, …]}`. Columnar
format: `{"inputs": {"waveform": [[…], …], …}}` gets `{"outputs": {…}}`. Both may name a
`signature_name`. Rules and wording are those of `tensorflow_serving/util/json_tensor.cc`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np

from mmer_tf.deploy.server.errors import RequestError, shape_text, shortened
from mmer_tf.deploy.server.json_tensor import is_base64, parse_object, shown, to_array, to_json
from mmer_tf.deploy.server.loaded_model import (
    DEFAULT_SIGNATURE,
    Arrays,
    LoadedModel,
    Signature,
    TensorInfo,
)


@dataclass(frozen=True)
class PredictRequest:
    """What a client asks for.

    Args:
        signature: the function.
        inputs: its arguments, dense and of the right types; their shapes are not checked yet.
        row_format: whether the answer is to be `predictions` rather than `outputs`.
    """

    signature: Signature
    inputs: Arrays
    row_format: bool


def read_request(body: bytes, model: LoadedModel) -> PredictRequest:
    """Parse the body of `:predict`.

    Raises:
        RequestError: it is not what the model server would take.
    """
    document = parse_object(body)
    signature = find_signature(document.get("signature_name", ""), model)
    if "instances" in document and "inputs" in document:
        raise RequestError(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise RequestError(
                f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array"
            )
        if not rows:
            raise RequestError(f"JSON Value: {shown(document)} No values in 'instances' array")
        return PredictRequest(signature, _from_rows(rows, signature.inputs), row_format=True)
    if "inputs" in document:
        columns = _from_columns(document["inputs"], signature.inputs)
        return PredictRequest(signature, columns, row_format=False)
    raise RequestError("Missing 'inputs' or 'instances' key")


def find_signature(name: Any, model: LoadedModel) -> Signature:
    """The function that a client names; the empty name is the default one.

    Raises:
        RequestError: no text, or nothing of that name that can be asked for.
    """
    if not isinstance(name, str):
        raise RequestError(
            f"JSON Value: {shown(name)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    signature = model.signatures.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise RequestError(
            f'Serving signature name: "{shortened(name or DEFAULT_SIGNATURE)}" '
            "not found in signature def"
        )
    if not signature.inputs:
        raise RequestError(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    return signature


def write_answer(outputs: Arrays, row_format: bool) -> bytes:
    """The body of the answer.

    Raises:
        RequestError: an output is not finite, which JSON cannot say.
    """
    for name, values in outputs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RequestError(
                f"the output `{name}` is not finite: an input is far outside of its usual range"
            )
    columns = {name: to_json(values) for name, values in outputs.items()}
    if not row_format:
        answer = columns if len(columns) > 1 else next(iter(columns.values()))
        return _encoded({"outputs": answer})
    if len(columns) == 1:
        return _encoded({"predictions": next(iter(columns.values()))})
    rows = zip(*columns.values(), strict=True)
    return _encoded({"predictions": [dict(zip(columns, row, strict=True)) for row in rows]})


def write_error(message: str) -> bytes:
    """The body of any other response."""
    return _encoded({"error": message})


def status_of(model: LoadedModel) -> dict[str, Any]:
    """What `GET /v1/models/NAME` answers."""
    status = {"error_code": "OK", "error_message": ""}
    entry = {"version": str(model.version), "state": "AVAILABLE", "status": status}
    return {"model_version_status": [entry]}


def servable_not_found(name: str, version: int | None) -> RequestError:
    """The refusal to predict with a model that is not here."""
    wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return RequestError(f"Servable not found for request: {wanted}", HTTPStatus.NOT_FOUND)


def status_not_found(name: str, version: int | None) -> RequestError:
    """The refusal to tell of a model that is not here."""
    which = "any versions" if version is None else f"version {version}"
    return RequestError(f"Could not find {which} of model {name}", HTTPStatus.NOT_FOUND)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _from_rows(rows: list[Any], infos: Mapping[str, TensorInfo]) -> Arrays:
    """The list below `instances`: one entry an utterance."""
    named = isinstance(rows[0], dict) and not is_base64(rows[0])
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise RequestError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    tensors: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for number, row in enumerate(rows):
        if named != (isinstance(row, dict) and not is_base64(row)):
            expected = "object but got list" if named else "value/list but got object"
            raise RequestError(f"Expecting {expected} at item {number} of input list")
        if named:
            _add_named(row, number, infos, tensors)
        else:
            (name,) = infos
            where = f"Failed to process element: {number} of 'instances' list."
            _add(row, name, where, infos, tensors)
    if missing := [name for name, values in tensors.items() if len(values) < len(rows)]:
        raise RequestError(f"Missing named input: {missing[0]} in 'instances' object.")
    return {name: np.stack(values) for name, values in tensors.items()}


def _add_named(
    row: Mapping[str, Any],
    number: int,
    infos: Mapping[str, TensorInfo],
    tensors: Mapping[str, list[np.ndarray]],
) -> None:
    for name, value in row.items():
        where = f"Failed to process element: {number} key: {name} of 'instances' list."
        _add(value, name, where, infos, tensors)
    if row.keys() != infos.keys():
        raise RequestError(
            f"Failed to process element: {number} of 'instances' list. JSON object: "
            f"{shown(row)} must only have keys: {','.join(sorted(infos))}"
        )


def _add(
    value: Any,
    name: str,
    where: str,
    infos: Mapping[str, TensorInfo],
    tensors: Mapping[str, list[np.ndarray]],
) -> None:
    """One row's tensor, which must be as long as those before it."""
    where = f"{where} Error: INVALID_ARGUMENT: "
    if name not in infos:
        raise RequestError(f"{where}JSON object: does not have named input: {shortened(name)}")
    try:
        tensor = to_array(value, infos[name].dtype)
    except RequestError as error:
        raise RequestError(f"{where}{error.message}") from error
    rows = tensors[name]
    if rows and rows[0].size != tensor.size:
        raise RequestError(f"{where}Expecting tensor size: {rows[0].size} but got: {tensor.size}")
    if rows and rows[0].shape != tensor.shape:
        raise RequestError(
            f"{where}Expecting shape {shape_text(rows[0].shape)} "
            f"but got: {shape_text(tensor.shape)}"
        )
    rows.append(tensor)


def _from_columns(value: Any, infos: Mapping[str, TensorInfo]) -> Arrays:
    """The object below `inputs`: one entry a tensor."""
    if not isinstance(value, dict) or is_base64(value):
        if len(infos) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(infos)): value}
    for name in infos:
        if name not in value:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_array(value[name], info.dtype) for name, info in infos.items()}
