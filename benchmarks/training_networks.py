"""The networks of the section Training step in PyTorch, with transformers' BERT.

Each starts from the weights of this package's, by their paths there, and reads what it reads:
batches padded to their longest utterance, with masks.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch_layers import EPSILON, STACK, Weights, blstm, dense, norm
from transformers import BertConfig, BertModel

Batch = dict[str, torch.Tensor]


class GMUNetwork(nn.Module):
    """BLSTM with attention on log-mel, a small BERT with attention, gated multimodal unit."""

    def __init__(self, weights: Weights, drop: bool):
        super().__init__()
        self.lstm = BLSTM(weights, "speech_encoder/recurrent", 0.4 * drop)
        self.bert = make_bert(weights, 0.2 * drop, heads=2)
        self.speech_pooling = Attention(weights, "speech_pooling")
        self.text_pooling = Attention(weights, "text_pooling")
        self.speech, self.text, self.gate = (
            dense(weights, f"fusion/{name}") for name in ("speech", "text", "gate")
        )
        self.drop = nn.Dropout(0.5 * drop)
        self.logits = dense(weights, "logits")

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (batch, classes)."""
        frames, mask = batch["log_mel"], batch["log_mel_mask"]
        missing = -frames.shape[1] % STACK
        frames = nn.functional.pad(frames * mask[:, :, None], (0, 0, 0, missing))
        frames = frames.reshape(frames.shape[0], -1, STACK * frames.shape[2])
        mask = mask[:, ::STACK]
        voice = self.speech_pooling(self.lstm(frames, mask), mask)
        mask = batch["token_mask"]
        words = self.text_pooling(self.bert(batch["token_ids"], mask).last_hidden_state, mask)
        gate = torch.sigmoid(self.gate(torch.cat([voice, words], dim=-1)))
        fused = gate * torch.tanh(self.speech(voice)) + (1 - gate) * torch.tanh(self.text(words))
        return self.logits(self.drop(fused))


class AlexNetBERT(nn.Module):
    """The sum over AlexNet's positions beside BERT's pooled output."""

    def __init__(self, weights: Weights, drop: bool):
        super().__init__()
        layout = ((4, 2, True), (1, 2, True), (1, 1, False), (1, 1, False), (1, 1, True))
        self.convolutions = nn.ModuleList()
        for number, (stride, padding, _) in enumerate(layout):
            kernel = weights[f"speech_encoder/convolution_{number}/kernel"]
            size, _, channels, filters = kernel.shape
            layer = nn.Conv2d(channels, filters, size, stride, padding)
            layer.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            layer.bias.data = weights[f"speech_encoder/convolution_{number}/bias"]
            self.convolutions.append(layer)
        self.pools = [pools for *_, pools in layout]
        self.bert = make_bert(weights, 0.1 * drop, heads=12, pooler=True)
        self.drop = nn.Dropout(0.5 * drop)
        self.logits = dense(weights, "logits")

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (batch, classes)."""
        picture, mask = batch["log_spectrogram"], batch["log_spectrogram_mask"]
        picture = (picture * mask[:, :, None, None]).permute(0, 3, 1, 2)
        picture = nn.functional.pad(picture, (0, 0, 0, max(0, 63 - picture.shape[2])))
        steps = mask.sum(dim=1).clamp(min=63)
        for convolution, pools in zip(self.convolutions, self.pools, strict=True):
            picture = torch.relu(convolution(picture))
            if convolution.stride[0] > 1:
                steps = (steps + 4 - 11) // 4 + 1
            if pools:
                picture = nn.functional.max_pool2d(picture, 3, 2)
                steps = (steps - 3) // 2 + 1
            real = torch.arange(picture.shape[2]) < steps[:, None]
            picture = picture * real[:, None, :, None]
        voice = picture.sum(dim=(2, 3))
        words = self.bert(batch["token_ids"], batch["token_mask"]).pooler_output
        return self.logits(self.drop(torch.cat([voice, words], dim=-1)))


class HuBERTHead(nn.Module):
    """Learned sum of layers, convolution, maximum, BLSTM and mean."""

    def __init__(self, weights: Weights, drop: bool):
        super().__init__()
        self.scores = nn.Parameter(weights["speech_layer_sum/scores"])
        kernel = weights["speech_encoder/convolution/kernel"]
        self.convolution = nn.Conv1d(kernel.shape[1], kernel.shape[2], kernel.shape[0], padding=1)
        self.convolution.weight.data = kernel.permute(2, 1, 0).contiguous()
        self.convolution.bias.data = weights["speech_encoder/convolution/bias"]
        self.lstm = BLSTM(weights, "speech_encoder/recurrent", 0.2 * drop)
        self.drop = nn.Dropout(0.3 * drop)
        self.logits = dense(weights, "logits")

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits (batch, classes)."""
        states, mask = batch["hubert_states"], batch["hubert_states_mask"]
        frames = torch.einsum("btld,l->btd", states, torch.softmax(self.scores, dim=0))
        frames = torch.relu(self.convolution((frames * mask[:, :, None]).transpose(1, 2)))
        frames = nn.functional.max_pool1d(frames * mask[:, None], 2, ceil_mode=True)
        mask = mask[:, ::2]
        steps = self.lstm(frames.transpose(1, 2), mask)
        return self.logits(self.drop(steps.sum(dim=1) / mask.sum(dim=1, keepdim=True)))


class BLSTM(nn.Module):
    """PyTorch's, over packed sequences where a batch has padding; zero where masked."""

    def __init__(self, weights: Weights, name: str, dropout: float):
        super().__init__()
        self.lstm = blstm(weights, f"{name}/bidirectional_0")
        self.drop = nn.Dropout(dropout)

    def forward(self, sequence: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, steps, dim), (batch, steps) -> (batch, steps, 2 * units)."""
        if len(sequence) == 1:
            return self.drop(self.lstm(sequence)[0])
        lengths = mask.sum(dim=1)
        packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=sequence.shape[1]
        )
        return self.drop(states)


class Attention(nn.Module):
    """Learned attention over the real steps."""

    def __init__(self, weights: Weights, name: str):
        super().__init__()
        self.hidden = dense(weights, f"{name}/hidden")
        self.score = dense(weights, f"{name}/score")

    def forward(self, sequence: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, steps, dim), (batch, steps) -> (batch, dim)."""
        scores = self.score(torch.tanh(self.hidden(sequence)))
        scores = scores.masked_fill(~mask[:, :, None], -1e9)
        return (torch.softmax(scores, dim=1) * sequence).sum(dim=1)


def make_bert(weights: Weights, dropout: float, heads: int, pooler: bool = False) -> BertModel:
    """Transformers' BERT with this package's weights."""
    at = "text_encoder"
    table = weights[f"{at}/token_embedding/embeddings"]
    layers = sum("self_attention_layer/query/kernel" in name for name in weights)
    config = BertConfig(
        vocab_size=table.shape[0],
        hidden_size=table.shape[1],
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=weights[
            f"{at}/transformer_layer_0/feedforward_intermediate_dense/bias"
        ].shape[0],
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        layer_norm_eps=EPSILON,
    )
    model = BertModel(config, add_pooling_layer=pooler)
    of = model.embeddings
    of.word_embeddings.weight.data = table
    of.position_embeddings.weight.data = weights[f"{at}/position_embedding/embeddings"]
    of.token_type_embeddings.weight.data = weights[f"{at}/segment_embedding/embeddings"]
    of.LayerNorm = norm(weights, f"{at}/embeddings_layer_norm")
    for number, layer in enumerate(model.encoder.layer):
        name = f"{at}/transformer_layer_{number}"
        inner = layer.attention.self
        for part in ("query", "key", "value"):
            setattr(inner, part, dense(weights, f"{name}/self_attention_layer/{part}"))
        output = layer.attention.output
        output.dense = dense(weights, f"{name}/self_attention_layer/attention_output")
        output.LayerNorm = norm(weights, f"{name}/self_attention_layer_norm")
        layer.intermediate.dense = dense(weights, f"{name}/feedforward_intermediate_dense")
        layer.output.dense = dense(weights, f"{name}/feedforward_output_dense")
        layer.output.LayerNorm = norm(weights, f"{name}/feedforward_layer_norm")
    if pooler:
        model.pooler.dense = dense(weights, f"{at}/pooler_dense")
    return model


NETWORKS = {"gmu": GMUNetwork, "alexnet_bert": AlexNetBERT, "hubert_head": HuBERTHead}


def make_network(system: str, weights: dict[str, np.ndarray], drop: bool) -> nn.Module:
    """One of the networks; the weights are copied."""
    return NETWORKS[system]({name: torch.tensor(value) for name, value in weights.items()}, drop)
