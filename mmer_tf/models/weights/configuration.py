"""Fields of a published `config.json`, read as what they must be."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmer_tf.hub import HubError


@dataclass(frozen=True)
class Kind:
    """What a field of a configuration must be.

    Args:
        words: for error messages.
        fits: whether a value of JSON is such.
    """

    words: str
    fits: Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


COUNT = Kind("a whole number >= 1", _is_count)
COUNTS = Kind(
    "a list of whole numbers >= 1",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_count, value)),
)
POSITIVE = Kind(
    "a number > 0",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Kind("fields with names", lambda value: isinstance(value, dict))
TEXT = Kind("a text", lambda value: isinstance(value, str))


def read_configuration(file: Path) -> dict[str, Any]:
    """Content of `config.json` and its like.

    Raises:
        HubError: not JSON, or not an object.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HubError(f"{file} is not JSON; download it again.") from error
    if not OBJECT.fits(config):
        raise HubError(f"{file} holds no {OBJECT.words}; download it again.")
    return config


def read_field(config: Mapping[str, Any], file: Path, field: str, kind: Kind, default=None) -> Any:
    """A field of a configuration.

    Args:
        config: which holds it.
        file: where the configuration comes from, for error messages.
        field: its name.
        kind: what it must be.
        default: what it is where it is left out; None is for one that must be there.

    Raises:
        HubError: it is not there, or of another kind.
    """
    if field not in config and default is not None:
        return default
    if field not in config:
        raise HubError(f"{file} lacks '{field}'; download it again.")
    if not kind.fits(value := config[field]):
        raise HubError(
            f"{file} has {field}={value!r} instead of {kind.words}; download it again, or give "
            "another checkpoint."
        )
    return value
