"""What a classifier did inside for the utterances of a split."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Analysis:
    """A look into a classifier.

    Args:
        gate: class -> `mean` and `deviation` over its `n` utterances of the share of the voice in
            the gated multimodal unit; empty without one.
    """

    gate: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
