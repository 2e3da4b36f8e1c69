"""Conversion: what is refused, and a process that does not come back."""

import sys
from pathlib import Path

import pytest
import tensorflow as tf

from mmer_tf.deploy.lite_convert import ConversionError, convert, convert_apart, run_child

SHAPES = {"x": (1, 8)}


def save(folder: Path, function) -> Path:
    """A SavedModel of one function of (1, 8) float32."""
    module = tf.Module()
    module.run = tf.function(function, input_signature=[tf.TensorSpec((1, 8), name="x")])
    tf.saved_model.save(module, str(folder), {"serving_default": module.run})
    return folder


def test_operation_that_is_not_built_in_is_named(tmp_path: Path):
    model = save(tmp_path / "model", lambda x: {"y": tf.linalg.inv(tf.reshape(x[:, :4], (2, 2)))})
    with pytest.raises(ConversionError, match=r"no built-in operation for: .*MatrixInverse"):
        convert(model, "none", SHAPES)


@pytest.mark.slow
def test_process_of_its_own_gives_the_same_model(tmp_path: Path):
    model = save(tmp_path / "model", lambda x: {"y": tf.nn.relu(x) @ tf.ones((8, 2))})
    assert convert_apart(model, "none", SHAPES) == convert(model, "none", SHAPES)
    bad = save(tmp_path / "bad", lambda x: {"y": tf.linalg.inv(tf.reshape(x[:, :4], (2, 2)))})
    with pytest.raises(ConversionError, match=r"no built-in operation for: .*MatrixInverse"):
        convert_apart(bad, "none", SHAPES)


def test_signal_that_ends_the_process_is_named():
    program = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    with pytest.raises(ConversionError, match=r"ended by SIGSEGV .*another --quantize"):
        run_child([sys.executable, "-c", program])


def test_failure_of_the_process_is_told_by_its_last_line():
    program = "import sys; print('noise', file=sys.stderr); sys.exit('no space left')"
    with pytest.raises(ConversionError, match=r"process failed: no space left"):
        run_child([sys.executable, "-c", program])


def test_int8_wants_examples(tmp_path: Path):
    model = save(tmp_path / "model", lambda x: {"y": x + 1.0})
    with pytest.raises(ConversionError, match="needs examples"):
        convert(model, "int8", SHAPES)
