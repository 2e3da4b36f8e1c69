"""Protocols: which utterances train, choose the epoch, and test."""

from mmer_tf.protocols.promises import PROMISES
from mmer_tf.protocols.splits import PROTOCOLS

__all__ = ["PROMISES", "PROTOCOLS"]
