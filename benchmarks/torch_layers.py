"""Layers of PyTorch with this package's weights, by their paths there."""

import torch
from torch import nn

Weights = dict[str, torch.Tensor]

EPSILON = 1e-12
"""Of the layer normalisation."""

STACK = 4
"""Frames of a step of `gmu`."""


def dense(weights: Weights, name: str) -> nn.Linear:
    """A Keras Dense, or one side of its multi-head attention, as a linear layer."""
    kernel, bias = weights[f"{name}/kernel"], weights.get(f"{name}/bias")
    inputs = kernel.shape[:2].numel() if name.endswith("attention_output") else kernel.shape[0]
    kernel = kernel.reshape(inputs, -1)
    layer = nn.Linear(*kernel.shape, bias=bias is not None)
    layer.weight.data = kernel.T.contiguous()
    if bias is not None:
        layer.bias.data = bias.flatten()
    return layer


def norm(weights: Weights, name: str) -> nn.LayerNorm:
    """Layer normalisation."""
    layer = nn.LayerNorm(len(weights[f"{name}/gamma"]), eps=EPSILON)
    layer.weight.data, layer.bias.data = weights[f"{name}/gamma"], weights[f"{name}/beta"]
    return layer


def blstm(weights: Weights, name: str) -> nn.LSTM:
    """Keras' bidirectional LSTM; both order the gates as input, forget, cell, output."""
    cells = [f"{name}/{way}_lstm/lstm_cell" for way in ("forward", "backward")]
    width, units = weights[f"{cells[0]}/kernel"].shape
    layer = nn.LSTM(width, units // 4, batch_first=True, bidirectional=True)
    for cell, suffix in zip(cells, ("", "_reverse"), strict=True):
        for mine, theirs in (("ih", "kernel"), ("hh", "recurrent_kernel")):
            kernel = weights[f"{cell}/{theirs}"].T.contiguous()
            getattr(layer, f"weight_{mine}_l0{suffix}").data = kernel
        # PyTorch has two biases, of which only the sum counts.
        getattr(layer, f"bias_ih_l0{suffix}").data = weights[f"{cell}/bias"]
        second = getattr(layer, f"bias_hh_l0{suffix}")
        second.data.zero_()
        second.requires_grad_(False)
    return layer
