"""SavedModels from disk, or one sentence about what is wrong with them."""

from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the operations of the tokenizer

from mmer_tf.deploy.description import ServedModelError

DAMAGED = (OSError, ValueError, IndexError, tf.errors.OpError)
"""What TensorFlow raises about cut or changed files."""


def load_saved_model(version: Path) -> Any:
    """A version of an exported model.

    Raises:
        ServedModelError: it cannot be loaded.
    """
    try:
        return tf.saved_model.load(str(version))
    except DAMAGED as error:
        raise damaged(version, error) from error


def damaged(version: Path, error: Exception) -> ServedModelError:
    """The sentence about a folder that cannot be loaded."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return ServedModelError(f"{version}: cannot be loaded ({said[:200]}); export the run again")
