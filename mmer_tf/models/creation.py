"""A part of a model by its name in a table, after its options were checked."""

import inspect
import random
from collections.abc import Mapping, Sequence
from typing import Any

from mmer_tf.registry import Registry


def create_layer(table: Registry, entry: str, options: Mapping[str, Any], name: str):
    """The layer `entry` of `table`, after its options were checked."""
    check_options(table, entry, options)
    return table[entry](**options, name=name)


def check_options(table: Registry, entry: str, options: Mapping[str, Any]) -> None:
    """Refuse options that the entry does not take.

    Raises:
        ValueError: names the option and the known ones.
    """
    known = [
        parameter.name
        for parameter in inspect.signature(table[entry]).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    for option in options:
        if option not in known:
            raise ValueError(
                f"unknown option '{option}' of {table.kind} '{entry}'. "
                f"Known: {', '.join(sorted(known)) or 'none'}."
            )


def create_encoder(
    table: Registry,
    entry: str,
    options: Mapping[str, Any],
    name: str,
    *,
    weights: str | Mapping[str, str] | None = None,
    layers: Sequence[int] | None = None,
    frozen: bool = False,
):
    """An encoder of its own size, or of the size of its published weights.

    Of the options only those that are no sizes then count (`dropout`).

    Args:
        table: of encoders.
        entry: a name in it.
        options: arguments of the encoder.
        name: of the layer.
        weights: published ones; None starts from nothing.
        layers: hidden states to answer; None is the encoder's own answer.
        frozen: not trained.

    Raises:
        ValueError: an option that it does not take, or weights that it does not have.
        HubError: weights that cannot be had or do not fit.
    """
    if layers is not None:
        options = {**options, "layers": tuple(layers)}
    check_options(table, entry, options)
    encoder_class = table[entry]
    if weights is None:
        return encoder_class(**options, frozen=frozen, name=name)
    if not hasattr(encoder_class, "from_pretrained"):
        raise ValueError(f"{table.kind} '{entry}' has no published weights; leave `weights` out.")
    free = inspect.signature(encoder_class.from_pretrained).parameters
    options = {option: value for option, value in options.items() if option in free}
    state = random.getstate()
    encoder = encoder_class.from_pretrained(weights, **options, frozen=frozen, name=name)
    if frozen:  # it uses no draws, and what follows starts the same as on stored states
        random.setstate(state)
    return encoder
