"""From a SavedModel to a `.tflite` model of built-in operations.

The converter may end its process by a signal, so that `convert_apart` runs it in a process of its
own: `python -m mmer_tf.deploy.lite_convert SAVED_MODEL OUT QUANTISATION SHAPES [CALIBRATION]`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError, mlir_quantize

from mmer_tf.deploy.lite_model import LiteModel
from mmer_tf.deploy.lite_shapes import settle_shapes

Quantisation = Literal["none", "float16", "dynamic", "int8"]

Shapes = Mapping[str, Sequence[int]]
"""Of inputs, by name."""

IN_8_BITS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""What `int8` computes in 8 bits: the products with weights, where the time goes. The rest stays
float, above all the comparison of scores behind a mask, whose range 8 bits do not hold."""

_REFUSED = 3  # the exit code of a process that says why on its standard output


class ConversionError(ValueError):
    """A graph that the converter does not take, or on which it ended."""


def convert_apart(
    saved_model: Path,
    quantisation: Quantisation,
    shapes: Shapes,
    calibration: Path | None = None,
) -> bytes:
    """`convert` in a process of its own.

    Args:
        saved_model: as for `convert`.
        quantisation: as for `convert`.
        shapes: as for `convert`.
        calibration: as for `convert`.

    Raises:
        ConversionError: as `convert`; or the process ended by a signal, which is named.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.tflite"
        arguments = [saved_model, out, quantisation, json.dumps(dict(shapes))]
        arguments += [calibration] if calibration else []
        run_child([sys.executable, "-m", __spec__.name, *map(str, arguments)])
        return out.read_bytes()


def run_child(command: Sequence[str]) -> None:
    """Run a process to its end.

    Raises:
        ConversionError: it ended by a signal, or with another exit code than 0.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == _REFUSED:
        raise ConversionError(done.stdout.strip())
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ConversionError(
            f"the converter's process ended by {name} ({signal.strsignal(-done.returncode)}); "
            "export with another --quantize"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConversionError(f"the converter's process failed: {last}")


def convert(
    saved_model: Path,
    quantisation: Quantisation,
    shapes: Shapes,
    calibration: Path | None = None,
) -> bytes:
    """Convert in this process.

    Args:
        saved_model: folder with one signature.
        quantisation: of the weights: "none", "float16" (computed in float32), "dynamic" (8 bits;
            products take 8-bit activations whose range is found at run time) or "int8" (the same
            with ranges found beforehand).
        shapes: of the inputs, unless a caller changes the sizes that are open.
        calibration: `.npz` of example inputs, by name (examples, 1, …); for "int8".

    Raises:
        ConversionError: an operation that is not built in, or what else the converter says.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantisation in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantisation == "int8":
        if calibration is None:
            raise ConversionError("int8 needs examples to find the ranges of the activations")
        converter.representative_dataset = lambda: _examples(calibration)
        # Ranges first, so that what is to stay float can be told from the operations found.
        converter._experimental_calibrate_only = True
    try:
        model = converter.convert()
        if quantisation == "int8":
            found = LiteModel(model)
            kept = [name for name, is_product in found.large_products(IN_8_BITS) if not is_product]
            others = sorted(found.operations - IN_8_BITS)
            model = mlir_quantize(model, denylisted_ops=others, denylisted_nodes=kept)
    except ConverterError as error:
        raise ConversionError(_reason(str(error))) from error
    lite = LiteModel(model)
    if lite.not_built_in:
        raise ConversionError(_not_built_in(lite.not_built_in))
    lite.drop_round_trips()
    if quantisation != "none":
        lite.halve_weights()
    lite.free_cells()
    settle_shapes(lite)
    lite.set_input_shapes(shapes)
    lite.compact()
    return lite.pack()


def _not_built_in(names: Sequence[str]) -> str:
    return f"LiteRT has no built-in operation for: {', '.join(names)}"


def _reason(message: str) -> str:
    """One sentence of what the converter says in a page."""
    found = re.findall(r"(?:TF Select|Custom) ops: (.*)", message)
    if found:
        return _not_built_in(sorted({name.strip() for one in found for name in one.split(",")}))
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return f"the converter refuses the graph: {(errors or lines or ['no reason given'])[0][:300]}"


def _examples(calibration: Path) -> Iterator[dict[str, np.ndarray]]:
    with np.load(calibration) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for row in zip(*arrays.values(), strict=True):
        yield dict(zip(arrays, row, strict=True))


def main(arguments: Sequence[str]) -> int:
    """The process of `convert_apart`."""
    saved_model, out, quantisation, shapes, *calibration = arguments
    try:
        model = convert(
            Path(saved_model), quantisation, json.loads(shapes), *map(Path, calibration)
        )
    except ConversionError as error:
        print(error)
        return _REFUSED
    Path(out).write_bytes(model)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
