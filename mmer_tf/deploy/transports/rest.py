"""A model server's REST interface."""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np

from mmer_tf.deploy.transports.deadline import deadline_client, ends_in
from mmer_tf.deploy.transports.errors import (
    DeadlineError,
    ModelNotFoundError,
    OverloadedError,
    ProtocolError,
    RefusedError,
    ServingError,
    UnavailableError,
)
from mmer_tf.types import Seconds

DECIMALS = 8
"""That numbers are sent with: below the steps of 24-bit recordings, and shorter to read."""

ERRORS = {
    HTTPStatus.NOT_FOUND: ModelNotFoundError,
    HTTPStatus.REQUEST_TIMEOUT: DeadlineError,
    HTTPStatus.TOO_MANY_REQUESTS: OverloadedError,
    HTTPStatus.BAD_GATEWAY: UnavailableError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: DeadlineError,
}


class RestTransport:
    """Speaks JSON over HTTP. May be shared by threads.

    Args:
        address: such as "http://localhost:8501".
        model: name of the served model.
        version: None asks for the newest.
        timeout: for one request and its answer, whatever the server does meanwhile.
    """

    sends_wav = True
    """WAV files in base64 are a fifth of the same samples in JSON."""

    def __init__(self, address: str, model: str, version: int | None, timeout: Seconds):
        suffix = "" if version is None else f"/versions/{version}"
        self._address = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}{suffix}"
        self._timeout = timeout
        self._client = deadline_client()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def signatures(self) -> dict[str, tuple[str, ...]]:
        """Name of each signature -> the names of its inputs."""
        metadata = self._ask("GET", "/metadata", None)
        try:
            definitions = metadata["metadata"]["signature_def"]["signature_def"]
            return {name: tuple(one["inputs"]) for name, one in definitions.items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(f"{self._address}/metadata: tells of no signatures") from error

    def is_available(self) -> bool:
        """Whether the server has loaded the model."""
        status = self._ask("GET", "", None)
        try:
            return any(one["state"] == "AVAILABLE" for one in status["model_version_status"])
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"{self._address}: tells of no versions") from error

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of one signature for a batch.

        Raises:
            ServingError: no answer; its class says why.
        """
        columns = {name: _to_json(values) for name, values in inputs.items()}
        answer = self._ask("POST", ":predict", {"signature_name": signature, "inputs": columns})
        try:
            return {name: np.array(values) for name, values in answer["outputs"].items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ProtocolError(f"{self._address}:predict: answers without `outputs`") from error

    def _ask(self, method: str, path: str, body: Any) -> Any:
        """The JSON of the answer."""
        content = None if body is None else json.dumps(body).encode()
        address = f"{self._address}{path}"
        try:
            answer = self._client.request(
                method,
                address,
                content=content,
                headers={} if content is None else {"Content-Type": "application/json"},
                extensions=ends_in(self._timeout),
            )
        except httpx2.TimeoutException as error:
            if isinstance(error, httpx2.ConnectTimeout):
                raise UnavailableError(
                    f"{address}: no connection in {self._timeout:g} s"
                ) from error
            raise DeadlineError(f"{address}: no answer in {self._timeout:g} s") from error
        except httpx2.TransportError as error:
            raise UnavailableError(f"{address}: {error or 'the connection broke'}") from error
        except httpx2.DecodingError as error:
            raise ProtocolError(f"{address}: answers what cannot be decoded ({error})") from error
        except httpx2.InvalidURL as error:
            raise ProtocolError(f"{address}: is no address ({error})") from error
        try:
            found = json.loads(answer.content)
        except ValueError:
            found = None
        if answer.status_code == HTTPStatus.OK and isinstance(found, dict):
            return found
        raise _error(address, answer.status_code, found)


def _error(address: str, status: int, found: Any) -> ServingError:
    """What a status means, in the server's words."""
    said = found.get("error") if isinstance(found, dict) else None
    if status in ERRORS:
        kind = ERRORS[HTTPStatus(status)]
    elif HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = RefusedError
    else:
        kind = ProtocolError
    return kind(f"{address}: {said or 'an answer that no model server gives'}", status)


def _to_json(values: np.ndarray) -> Any:
    if values.dtype == object:
        return [_string(value) for value in values.tolist()]
    if values.dtype.kind == "f":
        return np.round(values.astype("float64"), DECIMALS).tolist()
    return values.tolist()


def _string(value: str | bytes) -> Any:
    """Texts as they are, bytes in base64."""
    return value if isinstance(value, str) else {"b64": base64.b64encode(value).decode()}
