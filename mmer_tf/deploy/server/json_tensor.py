"""JSON values to arrays and back; what is refused is worded as by TensorFlow Serving.

After `tensorflow_serving/util/json_tensor.cc`, whose rules these are: a tensor is a dense nesting
of lists, types are not converted into each other, and bytes stand in `{"b64": "…"}`.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmer_tf.deploy.server.errors import RequestError, shortened

LARGEST_EXACT_INTEGER = 2**24 - 1
"""In float32."""

NAMES = {"float32": "float", "float64": "double", "float16": "half"}
"""numpy's name -> TensorFlow's, where they differ."""

PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma after an element of an object or array.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Extra data": "The document root must not be followed by other values.",
}
"""What Python says -> what the model server's parser says."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        RequestError: no JSON, or no object.
    """
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
    except json.JSONDecodeError as error:
        said = error.msg.split(": ")[0]
        reason = PARSE_ERRORS.get(said, f"{said}.")
        raise RequestError(f"JSON Parse error: {reason} at offset: {error.pos}") from error
    except RecursionError as error:
        raise RequestError("JSON Parse error: Terminate parsing due to nesting.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise RequestError("JSON Parse error: Number too big to be stored in double.") from error
    if not isinstance(value, dict):
        raise RequestError(f"JSON Value: {shown(value)} Is not object")
    return value


def to_array(value: Any, dtype: str) -> np.ndarray:
    """A dense tensor.

    Args:
        value: a number, string, bool, `{"b64": …}`, or lists of them.
        dtype: of the tensor, numpy's name; "string" for bytes.

    Returns:
        Of that dtype; strings as an array of objects that are bytes.

    Raises:
        RequestError: lists of different lengths, or values of another type.
    """
    shape = _dense_shape(value)
    leaves: list[Any] = []
    _gather(value, 0, shape, leaves)
    converted = _converted(leaves, dtype)
    if dtype != "string":
        return converted.reshape(shape)
    array = np.empty(len(leaves), object)
    array[:] = converted
    return array.reshape(shape)


def to_json(array: np.ndarray) -> Any:
    """Nested lists; float32 with the fewest digits that tell it from its neighbours."""
    if array.dtype == np.float32:
        return array.astype("U").astype("float64").tolist()
    if array.dtype == object:
        flat = [value.decode("utf-8", "replace") for value in array.ravel()]
        return np.array(flat, object).reshape(array.shape).tolist()
    return array.tolist()


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def shown(value: Any) -> str:
    """The beginning of a JSON value, for an error message."""
    try:
        return shortened(json.dumps(value))
    except RecursionError:
        return "…"


def _dense_shape(value: Any) -> tuple[int, ...]:
    """Of a tensor whose lists are all as long as the first ones."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _gather(value: Any, level: int, shape: Sequence[int], leaves: list[Any]) -> None:
    """Append all that is no list, and refuse what is not where the shape has it."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise RequestError(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        leaves.append(value)
        return
    if level >= rank:
        raise RequestError(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise RequestError(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    if level == rank - 1 and list not in set(map(type, value)):
        leaves.extend(value)
        return
    for element in value:
        _gather(element, level + 1, shape, leaves)


def _converted(leaves: list[Any], dtype: str) -> Any:
    """Numbers and bools as an array (values,), strings as a list of bytes."""
    kinds = set(map(type, leaves))
    if dtype == "string":
        return [_to_bytes(leaf) for leaf in leaves]
    if dtype == "bool":
        _refuse_others(leaves, kinds, {bool}, dtype)
        return np.array(leaves, bool)
    if dtype in ("float32", "float64"):
        _refuse_others(leaves, kinds, {int, float}, dtype)
        return _to_floats(leaves, dtype, whole=int in kinds)
    if dtype in ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64"):
        _refuse_others(leaves, kinds, {int}, dtype)
        bounds = np.iinfo(dtype)
        for leaf in leaves:
            if not bounds.min <= leaf <= bounds.max:
                raise _type_error(leaf, dtype)
        return np.array(leaves, dtype)
    first = shown(leaves[0]) if leaves else "[]"
    raise RequestError(f"Conversion of JSON Value: {first} to type: {NAMES.get(dtype, dtype)}")


def _refuse_others(leaves: list[Any], kinds: set[type], wanted: set[type], dtype: str) -> None:
    if not kinds <= wanted:
        raise _type_error(next(leaf for leaf in leaves if type(leaf) not in wanted), dtype)


def _to_floats(leaves: list[Any], dtype: str, whole: bool) -> np.ndarray:
    lossy = "Cannot convert JSON value: {} to {} without loss of precision."
    name = NAMES[dtype]
    largest = LARGEST_EXACT_INTEGER if dtype == "float32" else 2**53 - 1
    if whole:
        for leaf in leaves:
            if type(leaf) is int and abs(leaf) > largest:
                raise RequestError(lossy.format(shown(leaf), name))
    wide = np.array(leaves, "float64")
    too_large = np.isfinite(wide) & (np.abs(wide) > np.finfo(dtype).max)
    if too_large.any():
        raise RequestError(lossy.format(shown(float(wide[too_large][0])), name))
    return wide.astype(dtype)


def _to_bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                "JSON Parse error: The surrogate pair in string is invalid."
            ) from error
    if not isinstance(leaf, dict):
        raise _type_error(leaf, "string")
    if not is_base64(leaf):
        raise RequestError(f"JSON Value: {shown(leaf)} not formatted correctly for base64 data")
    # Without the padding and with line breaks too, as the model server takes it.
    packed = "".join(leaf["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("Unable to base64 decode") from error


def _type_error(leaf: Any, dtype: str) -> RequestError:
    return RequestError(
        f"JSON Value: {shown(leaf)} Type: {_json_type(leaf)} is not of expected type: "
        f"{NAMES.get(dtype, dtype)}"
    )


def _json_type(value: Any) -> str:
    """As the model server's parser calls it."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    return {str: "String", dict: "Object", list: "Array"}.get(type(value), "Number")
