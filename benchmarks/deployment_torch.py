"""The recipe `gmu` in PyTorch, eager, and in ONNX Runtime: the opponents of deployment.py.

Started by contest.py in an environment of its own (benchmarks/requirements-torch.txt); reads what
the driver left in WORK: the weights of the trained model, its vocabulary, the mel filters, and the
utterances. From the waveform and the words to probabilities, as the other side.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from contender import Work, contend
from deployment_questions import Question, one_by_one, read_questions, together
from tokenizers import BertWordPieceTokenizer
from torch_layers import STACK, Weights, blstm, dense, norm

WINDOW, HOP, FFT_LENGTH, FLOOR = 400, 160, 512, 1e-6


class GMUModel(torch.nn.Module):
    """BLSTM with attention on log-mel, a small BERT with attention, gated multimodal unit."""

    def __init__(self, weights: dict[str, np.ndarray], filters: np.ndarray, temperature: float):
        super().__init__()
        self.temperature = temperature
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        self.register_buffer("filters", torch.tensor(filters))
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("mean", tensors["standardise_log_mel/mean"])
        self.register_buffer("deviation", tensors["standardise_log_mel/deviation"])
        self.lstm = blstm(tensors, "speech_encoder/recurrent/bidirectional_0")
        self.tokens = _embedding(tensors["text_encoder/token_embedding/embeddings"])
        self.positions = _embedding(tensors["text_encoder/position_embedding/embeddings"])
        self.segments = _embedding(tensors["text_encoder/segment_embedding/embeddings"])
        self.norm = norm(tensors, "text_encoder/embeddings_layer_norm")
        self.layers = torch.nn.ModuleList(
            _TransformerLayer(tensors, f"text_encoder/transformer_layer_{number}")
            for number in range(
                sum("self_attention_layer/query/kernel" in name for name in weights)
            )
        )
        self.speech_pooling = _Attention(tensors, "speech_pooling")
        self.text_pooling = _Attention(tensors, "text_pooling")
        self.speech, self.text, self.gate = (
            dense(tensors, f"fusion/{name}") for name in ("speech", "text", "gate")
        )
        self.logits = dense(tensors, "logits")

    def forward(self, waveform: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Classify utterances of one length: (batch, samples), (batch, tokens) -> (batch,
        classes)."""
        steps, _ = self.lstm(self.features(waveform))
        voice = self.speech_pooling(steps)
        sequence = self.tokens(token_ids) + self.segments(torch.zeros_like(token_ids))
        sequence = self.norm(sequence + self.positions.weight[: token_ids.shape[1]])
        for layer in self.layers:
            sequence = layer(sequence)
        words = self.text_pooling(sequence)
        gate = torch.sigmoid(self.gate(torch.cat([voice, words], dim=-1)))
        fused = gate * torch.tanh(self.speech(voice)) + (1 - gate) * torch.tanh(self.text(words))
        return torch.softmax(self.logits(fused) / self.temperature, dim=-1)

    def features(self, waveform: torch.Tensor) -> torch.Tensor:
        """Standardised log-mel frames, four to a step: (batch, samples) -> (batch, steps, 256)."""
        frames = waveform.unfold(1, WINDOW, HOP) * self.window
        spectrum = torch.fft.rfft(frames, FFT_LENGTH)
        power = spectrum.real**2 + spectrum.imag**2
        log_mel = torch.log(power @ self.filters + FLOOR)
        standardised = (log_mel - self.mean) / self.deviation
        # Not -(-n // STACK): in ONNX a division of integers rounds towards zero.
        steps = (standardised.shape[1] + STACK - 1) // STACK
        missing = steps * STACK - standardised.shape[1]
        padded = torch.nn.functional.pad(standardised, (0, 0, 0, missing))
        return padded.reshape(waveform.shape[0], steps, STACK * padded.shape[2])


class _TransformerLayer(torch.nn.Module):
    def __init__(self, tensors: Weights, name: str):
        super().__init__()
        attention = f"{name}/self_attention_layer"
        self.heads = tensors[f"{attention}/query/kernel"].shape[1]
        self.query, self.key, self.value = (
            dense(tensors, f"{attention}/{one}") for one in ("query", "key", "value")
        )
        self.output = dense(tensors, f"{attention}/attention_output")
        self.attention_norm = norm(tensors, f"{attention}_norm")
        self.intermediate = dense(tensors, f"{name}/feedforward_intermediate_dense")
        self.back = dense(tensors, f"{name}/feedforward_output_dense")
        self.norm = norm(tensors, f"{name}/feedforward_layer_norm")

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            one(sequence).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for one in (self.query, self.key, self.value)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        attended = self.output(attended.transpose(1, 2).flatten(2))
        sequence = self.attention_norm(sequence + attended)
        inner = torch.nn.functional.gelu(self.intermediate(sequence))
        return self.norm(sequence + self.back(inner))


class _Attention(torch.nn.Module):
    def __init__(self, tensors: Weights, name: str):
        super().__init__()
        self.hidden = dense(tensors, f"{name}/hidden")
        self.score = dense(tensors, f"{name}/score")

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.score(torch.tanh(self.hidden(sequence))), dim=1)
        return (weights * sequence).sum(dim=1)


def _embedding(table: torch.Tensor) -> torch.nn.Embedding:
    return torch.nn.Embedding.from_pretrained(table)


def make_eager(work: Path) -> Work:
    """PyTorch, one by one."""
    answer, size = eager(work)
    return one_by_one(lambda one: answer([one])[0], read_questions(work, "single"), size)


def make_eager_batch(work: Path) -> Work:
    """PyTorch, several at once."""
    return together(eager(work)[0], read_questions(work, "batch"))


def make_onnx(work: Path) -> Work:
    """ONNX Runtime, one by one."""
    answer, size = onnx(work)
    return one_by_one(lambda one: answer([one])[0], read_questions(work, "single"), size)


def make_onnx_batch(work: Path) -> Work:
    """ONNX Runtime, several at once."""
    return together(onnx(work)[0], read_questions(work, "batch"))


Answering = Callable[[Sequence[Question]], np.ndarray]
"""From utterances of one length to probabilities (utterances, classes)."""


def eager(work: Path) -> tuple[Answering, int]:
    """What answers in PyTorch, and the bytes of its file."""
    model, inputs = load_model(work), make_inputs(work)
    file = work / "model.pt"
    torch.save(model.state_dict(), file)

    def answer(questions: Sequence[Question]) -> np.ndarray:
        with torch.inference_mode():
            return model(*map(torch.from_numpy, inputs(questions))).numpy()

    return answer, file.stat().st_size


def onnx(work: Path) -> tuple[Answering, int]:
    """The same in ONNX Runtime, of the model that PyTorch exported."""
    inputs, file = make_inputs(work), work / "model.onnx"
    if not file.is_file():  # the contest before has left it; the driver removes older ones
        export_onnx(load_model(work), file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options)
    names = [one.name for one in session.get_inputs()]

    def answer(questions: Sequence[Question]) -> np.ndarray:
        return session.run(None, dict(zip(names, inputs(questions), strict=True)))[0]

    return answer, file.stat().st_size


def export_onnx(model: GMUModel, file: Path) -> None:
    """Write the network for batches of one length, whatever that is."""
    batch = torch.export.Dim("batch", min=1, max=64)
    samples = torch.export.Dim("samples", min=1_000, max=480_000)
    tokens = torch.export.Dim("tokens", min=2, max=128)
    torch.onnx.export(
        model,
        (torch.zeros(2, 48_000), torch.zeros(2, 9, dtype=torch.int64)),
        file,
        dynamo=True,
        external_data=False,
        dynamic_shapes=({0: batch, 1: samples}, {0: batch, 1: tokens}),
    )


def make_inputs(work: Path) -> Callable[[Sequence[Question]], tuple[np.ndarray, np.ndarray]]:
    """From utterances of one length to the waveforms and the tokens of BERT's tokenizer."""
    tokenizer = BertWordPieceTokenizer(str(work / "vocab.txt"), lowercase=True)

    def inputs(questions: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
        tokens = [tokenizer.encode(question.words).ids for question in questions]
        return np.stack([one.waveform for one in questions]), np.array(tokens, "int64")

    return inputs


def load_model(work: Path) -> GMUModel:
    """The network with the weights that the driver left."""
    with np.load(work / "weights.npz") as stored:
        arrays = dict(stored)
    filters, temperature = arrays.pop("mel_filters"), float(arrays.pop("temperature"))
    return GMUModel(arrays, filters, temperature).eval()


MAKERS = {
    "pytorch": make_eager,
    "onnx": make_onnx,
    "pytorch_batch": make_eager_batch,
    "onnx_batch": make_onnx_batch,
}


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    contend(MAKERS)
