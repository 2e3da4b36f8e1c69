"""Takes out of a `.tflite` model what computes shapes that are known but for one size.

Where a size is open, the converter computes every shape anew, with some ten small operations for
each, and puts two changes of shape around each dense layer. A change of shape may leave one size
open, and a dense layer takes any number of axes, so that hardly anything of it is needed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmer_tf.deploy.lite_model import LiteModel

Shape = list[int]
"""-1 is a size that is open."""


def settle_shapes(model: LiteModel) -> None:
    """Simplify a model; it computes the same."""
    for graph in model.graphs:
        one = _Graph(model, graph)
        one.fix_reshapes()
        one.join_dense_layers()
        one.drop_reshapes_to_the_same()
        one.drop_unused()


class _Graph:
    def __init__(self, model: LiteModel, graph: Any):
        self.model = model
        self.graph = graph

    def of(self, kind: str) -> list[Any]:
        """Operations of one name, in their order."""
        return [one for one in self.graph.operators if self.model.name_of(one) == kind]

    def shape(self, number: int) -> Shape | None:
        tensor = self.graph.tensors[number]
        sizes = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        return None if sizes is None else [int(size) for size in sizes]

    def set_shape(self, number: int, shape: Sequence[int]) -> None:
        tensor = self.graph.tensors[number]
        tensor.shapeSignature = np.array(shape, np.int32)
        tensor.shape = np.maximum(tensor.shapeSignature, 1)

    def readers(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        for one in self.graph.operators:
            for number in one.inputs:
                found.setdefault(int(number), []).append(one)
        return found

    def fix_reshapes(self) -> None:
        """Give changes of shape a constant in place of a computed shape."""
        readers = self.readers()
        for one in self.of("RESHAPE"):
            output = int(one.outputs[0])
            shape = self.shape(output)
            if shape is None:
                continue
            for reader in readers.get(output, ()):
                # A product knows the size that its operand lost.
                kind, rows = self.model.name_of(reader), int(reader.inputs[0]) == output
                if rows and shape[-1] == -1 and kind in ("FULLY_CONNECTED", "BATCH_MATMUL"):
                    other = self.shape(int(reader.inputs[1]))
                    shape[-1] = other[-1] if kind == "FULLY_CONNECTED" else other[-2]
            if shape.count(-1) > 1:
                continue
            self.set_shape(output, shape)
            one.inputs = [
                one.inputs[0],
                self.model.add_constant(self.graph, np.array(shape, "int32")),
            ]

    def join_dense_layers(self) -> None:
        """RESHAPE, FULLY_CONNECTED, RESHAPE become a FULLY_CONNECTED over all axes."""
        makers = {int(one.outputs[0]): one for one in self.of("RESHAPE")}
        readers = self.readers()
        for dense in self.of("FULLY_CONNECTED"):
            before = makers.get(int(dense.inputs[0]))
            after = readers.get(int(dense.outputs[0]), ())
            if before is None or len(after) != 1 or self.model.name_of(after[0]) != "RESHAPE":
                continue
            source, units = int(before.inputs[0]), self.shape(int(dense.inputs[1]))[0]
            given, wanted = self.shape(source), self.shape(int(after[0].outputs[0]))
            if given is None or wanted != [*given[:-1], units] or dense.builtinOptions.keepNumDims:
                continue
            if given.count(-1) > 1:  # equal signs, but perhaps not equal sizes
                continue
            if given[-1] != self.shape(int(dense.inputs[1]))[1]:
                continue
            dense.inputs = [source, *dense.inputs[1:]]
            dense.builtinOptions.keepNumDims = True
            self.set_shape(int(dense.outputs[0]), wanted)

    def drop_reshapes_to_the_same(self) -> None:
        """What changes nothing goes."""
        same: dict[int, int] = {}
        for one in self.of("RESHAPE"):
            source, output = int(one.inputs[0]), int(one.outputs[0])
            shape = self.shape(output)
            settled = shape is not None and shape.count(-1) <= 1
            if settled and shape == self.shape(source) and output not in self.graph.outputs:
                same[output] = same.get(source, source)
        for one in self.graph.operators:
            one.inputs = [same.get(int(number), int(number)) for number in one.inputs]

    def drop_unused(self) -> None:
        """Operations whose results nobody reads."""
        wanted, kept = {int(number) for number in self.graph.outputs}, []
        for one in reversed(self.graph.operators):
            if wanted & {int(number) for number in one.outputs}:
                wanted |= {int(number) for number in one.inputs}
                kept.append(one)
        self.graph.operators = kept[::-1]
