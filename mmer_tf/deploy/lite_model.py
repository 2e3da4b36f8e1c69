"""Looks into a `.tflite` model, and takes out what the converter should not have put in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

LEAST_WEIGHTS = 1024
"""Below, 8 bits save nothing; the limit is that of the converter."""

LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"

_WEIGHTS = {
    "CONV_2D": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "FULLY_CONNECTED": (1,),
    "BATCH_MATMUL": (1,),
    "GATHER": (0,),
    "SLICE": (0,),
    LSTM: range(1, 9),
}
"""Operation -> places of the weights among its inputs."""

_BUILTIN = {
    number: name
    for name, number in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}


class _Builder(flatbuffers.Builder):
    """Lets weights begin where the schema wants them, which its Python classes forget, and writes
    equal vectors, of which there are hundreds, once."""

    def __init__(self):
        super().__init__(0)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x):  # noqa: N802
        content = (x.dtype.str, x.tobytes())
        if content not in self._written:
            self._written[content] = super().CreateNumpyVector(x)
        return self._written[content]

    def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803
        large = elemSize * numElems >= 64
        return super().StartVector(elemSize, numElems, 16 if large else alignment)


class LiteModel:
    """A model as a tree of objects.

    Args:
        content: the flatbuffer.
    """

    def __init__(self, content: bytes):
        self._tree = schema.ModelT.InitFromPackedBuf(content, 0)
        self._names = [
            code.customCode.decode()
            if code.customCode
            else _BUILTIN[max(code.builtinCode, code.deprecatedBuiltinCode)]
            for code in self._tree.operatorCodes
        ]

    @property
    def graphs(self) -> Sequence[Any]:
        """The main graph, and those that it calls, as the schema has them."""
        return self._tree.subgraphs

    def name_of(self, operator: Any) -> str:
        """Of an operation of a graph."""
        return self._names[operator.opcodeIndex]

    def set_input_shapes(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Give inputs with open sizes the shapes that they have unless a caller changes them."""
        (signature,) = self._tree.signatureDefs
        for one in signature.inputs:
            tensor = self._tree.subgraphs[signature.subgraphIndex].tensors[one.tensorIndex]
            tensor.shape = np.array(shapes[one.name.decode()], np.int32)

    def add_constant(self, graph: Any, values: np.ndarray) -> int:
        """Number of a new tensor of a graph, int32."""
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.ascontiguousarray(values, np.int32).view(np.uint8)
        tensor.shape, tensor.type = np.array(values.shape, np.int32), schema.TensorType.INT32
        tensor.buffer = len(self._tree.buffers)
        self._tree.buffers.append(buffer)
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    @property
    def operations(self) -> frozenset[str]:
        """Names of the operations in use; custom ones by their own name."""
        return frozenset(
            self.name_of(one) for graph in self._tree.subgraphs for one in graph.operators
        )

    @property
    def not_built_in(self) -> tuple[str, ...]:
        """Names of the operations that the stock runtime does not have."""
        return tuple(sorted(self.operations - set(_BUILTIN.values())))

    def large_products(self, kinds: frozenset[str]) -> Iterator[tuple[str, bool]]:
        """For each operation the name of its first output, and whether it is a product with many
        weights, which stand in the file.

        Args:
            kinds: names of operations that are products, whose second input are the weights.
        """
        for graph in self._tree.subgraphs:
            for one in graph.operators:
                output = graph.tensors[one.outputs[0]].name.decode()
                found = self.name_of(one) in kinds
                yield output, found and self._is_large(graph.tensors[one.inputs[1]])

    def free_cells(self) -> None:
        """Take away the limit of 10 that the converter sets to the cells of an LSTM."""
        for graph in self._tree.subgraphs:
            for one in graph.operators:
                if self.name_of(one) == LSTM:
                    one.builtinOptions.cellClip = 0.0

    def drop_round_trips(self) -> None:
        """Take out values that are rounded to 8 bits and at once made float again.

        The quantiser leaves such pairs before operations that it was told to leave alone.
        """
        for graph in self._tree.subgraphs:
            rounded = {
                one.outputs[0]: one.inputs[0]
                for one in graph.operators
                if self.name_of(one) == "QUANTIZE"
                and graph.tensors[one.inputs[0]].type == schema.TensorType.FLOAT32
            }
            back = {
                one.outputs[0]: rounded[one.inputs[0]]
                for one in graph.operators
                if self.name_of(one) == "DEQUANTIZE"
                and one.inputs[0] in rounded
                and one.outputs[0] not in graph.outputs
            }
            graph.operators = [one for one in graph.operators if one.outputs[0] not in back]
            for one in graph.operators:
                one.inputs = [back.get(tensor, tensor) for tensor in one.inputs]
            used = {tensor for one in graph.operators for tensor in one.inputs} | set(graph.outputs)
            graph.operators = [
                one for one in graph.operators if one.outputs[0] not in set(rounded) - used
            ]

    def halve_weights(self) -> None:
        """Store large weights in half precision, to be made float when the model is loaded.

        The converter would halve every constant, and of the floor of a logarithm leave 0.
        """
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
        code.version = 3  # the first that takes half precision
        self._tree.operatorCodes.append(code)
        self._names.append("DEQUANTIZE")
        for graph in self._tree.subgraphs:
            restored: dict[int, int] = {}
            for one in graph.operators:
                for place in _WEIGHTS.get(self.name_of(one), ()):
                    number = one.inputs[place]
                    if number not in restored and self._is_many_floats(graph.tensors[number]):
                        restored[number] = self._halve(graph, number)
                    one.inputs[place] = restored.get(number, number)
            graph.operators = [
                *(self._dequantize(*pair) for pair in restored.items()),
                *graph.operators,
            ]

    def _halve(self, graph, number: int) -> int:
        """Halve a tensor; the number of a new one, which holds it in single precision."""
        tensor = graph.tensors[number]
        copy = schema.TensorT()
        copy.shape, copy.type, copy.name = tensor.shape, tensor.type, tensor.name
        copy.buffer = 0  # by the schema the empty one
        graph.tensors.append(copy)
        values = np.ascontiguousarray(self._tree.buffers[tensor.buffer].data).view(np.float32)
        tensors = (one for every in self._tree.subgraphs for one in every.tensors)
        if sum(one.buffer == tensor.buffer for one in tensors) > 1:  # shared
            tensor.buffer = len(self._tree.buffers)
            self._tree.buffers.append(schema.BufferT())
        self._tree.buffers[tensor.buffer].data = values.astype(np.float16).view(np.uint8)
        tensor.type = schema.TensorType.FLOAT16
        return len(graph.tensors) - 1

    def _dequantize(self, stored: int, restored: int):
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._names) - 1
        operator.inputs, operator.outputs = [stored], [restored]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        return operator

    def _is_many_floats(self, tensor) -> bool:
        data = self._tree.buffers[tensor.buffer].data
        many = data is not None and len(data) >= 4 * LEAST_WEIGHTS
        return many and tensor.type == schema.TensorType.FLOAT32

    def compact(self) -> None:
        """Drop tensors that no operation names and the names of those that no signature does, and
        store equal constants once."""
        for number, graph in enumerate(self._tree.subgraphs):
            self._drop_unused_tensors(graph, number)
        buffers: dict[bytes, int] = {b"": 0}
        data = [b"" if one.data is None else bytes(one.data) for one in self._tree.buffers]
        tensors = [tensor for graph in self._tree.subgraphs for tensor in graph.tensors]
        for one in (*tensors, *(self._tree.metadata or ())):
            one.buffer = buffers.setdefault(data[one.buffer], len(buffers))
        self._tree.buffers = [schema.BufferT() for _ in buffers]
        for content, number in buffers.items():
            if content:
                self._tree.buffers[number].data = np.frombuffer(content, np.uint8)
        for tensor in tensors:
            tensor.name = None
            if tensor.quantization is not None and tensor.quantization.scale is None:
                tensor.quantization = None
        for signature in self._tree.signatureDefs:
            graph = self._tree.subgraphs[signature.subgraphIndex]
            for entry in (*signature.inputs, *signature.outputs):
                graph.tensors[entry.tensorIndex].name = entry.name

    def _drop_unused_tensors(self, graph: Any, number: int) -> None:
        signatures = [one for one in self._tree.signatureDefs if one.subgraphIndex == number]
        named = [entry for one in signatures for entry in (*one.inputs, *one.outputs)]
        places = [(graph, "inputs"), (graph, "outputs")]
        places += [
            (one, kind)
            for one in graph.operators
            for kind in ("inputs", "outputs", "intermediates")
            if getattr(one, kind) is not None
        ]
        used = sorted({int(at) for owner, kind in places for at in getattr(owner, kind)} - {-1})
        renumbered = {-1: -1} | {old: new for new, old in enumerate(used)}
        graph.tensors = [graph.tensors[old] for old in used]
        for owner, kind in places:
            found = [renumbered[int(at)] for at in getattr(owner, kind)]
            setattr(owner, kind, np.array(found, np.int32))
        for entry in named:
            entry.tensorIndex = renumbered[entry.tensorIndex]

    def pack(self) -> bytes:
        """The model as a flatbuffer."""
        builder = _Builder()
        builder.Finish(self._tree.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _is_large(self, weights) -> bool:
        # A single output is a score, and those that are compared must be finer than 8 bits.
        sizes = [int(size) for size in weights.shape]
        stored = self._tree.buffers[weights.buffer].data is not None
        return stored and math.prod(sizes) >= LEAST_WEIGHTS and sizes[0] > 1
