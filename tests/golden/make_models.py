"""Make the golden arrays of encoders, poolings and fusions with PyTorch.

    python tests/golden/make_models.py

wants torch 2.13.0 and transformers 5.23.0, in an environment without TensorFlow. One `.npz` for
each entry of a table, `<table>_<entry>.npz`, holds

    options           arguments of the layer, as JSON
    input/<argument>  what it is called with
    output/<name>     what it must answer, zero where masked
    weight/<nn>       its weights, in the order and layout of Keras; or
    checkpoint/<name> the weights of a whole published checkpoint, with `config` beside them
    versions          what made the file
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent
LENGTHS, STEPS, DIM = [7, 4, 1], 7, 5
MASK = torch.arange(STEPS)[None] < torch.tensor(LENGTHS)[:, None]


def save(
    name,
    inputs,
    outputs,
    weights=(),
    options=None,
    checkpoint=None,
    config="",
    *,
    libraries=(torch, transformers),
):
    arrays = {f"input/{key}": value for key, value in inputs.items()}
    arrays |= {f"output/{key}": value for key, value in outputs.items()}
    arrays |= {f"weight/{index:02d}": value for index, value in enumerate(weights)}
    arrays |= {f"checkpoint/{key}": value for key, value in (checkpoint or {}).items()}
    np.savez_compressed(
        HERE / f"{name}.npz",
        versions=", ".join(f"{made_by.__name__} {made_by.__version__}" for made_by in libraries),
        options=json.dumps(options or {}),
        config=config,
        **{key: value.detach().numpy() for key, value in arrays.items()},
    )


def encoder_blstm():
    """torch.nn.LSTM over packed sequences of joined frames."""
    stack, units, layers = 2, 6, 2
    sequence = torch.randn(3, STEPS, DIM)
    lengths = [-(-length // stack) for length in LENGTHS]
    joined = torch.zeros(3, max(lengths), stack * DIM)
    for row, length in enumerate(LENGTHS):
        for frame in range(length):
            first = frame % stack * DIM
            joined[row, frame // stack, first : first + DIM] = sequence[row, frame]
    lstm = torch.nn.LSTM(
        stack * DIM, units, num_layers=layers, bidirectional=True, batch_first=True
    )
    packed = pack_padded_sequence(joined, lengths, batch_first=True)
    states, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
    weights = []
    for suffix in (f"l{layer}{way}" for layer in range(layers) for way in ("", "_reverse")):
        kernel, recurrent, bias, recurrent_bias = (
            getattr(lstm, f"{kind}_{suffix}")
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights += [kernel.T, recurrent.T, bias + recurrent_bias]  # gates: i, f, g, o in both
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    save(
        "encoder_blstm",
        {"sequence": sequence, "mask": MASK},
        {"sequence": states, "mask": mask},
        weights,
        {"units": units, "num_layers": layers, "frame_stack": stack},
    )


def encoder_bert():
    """transformers' BertModel, with weights so large that its nonlinearities matter."""
    sizes = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "intermediate_dim": 16}
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=sizes["hidden_dim"],
        num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"],
        intermediate_size=sizes["intermediate_dim"],
        max_position_embeddings=12,
        initializer_range=0.5,
        attn_implementation="eager",
    )
    model = transformers.BertModel(config).eval()
    token_ids = torch.randint(1, 30, (3, STEPS), dtype=torch.int32)
    states = model(input_ids=token_ids, attention_mask=MASK.long()).last_hidden_state
    save(
        "encoder_bert",
        {"token_ids": token_ids, "token_mask": MASK},
        {"sequence": states * MASK[:, :, None], "mask": MASK},
        options=sizes | {"vocabulary_size": 30, "max_tokens": 12},
        checkpoint=model.state_dict(),
        config=config.to_json_string(),
    )


def pooling_attention():
    """e = vᵀ tanh(W h + b), a = softmax(e), z = Σ a h, as the formula reads."""
    hidden, context = torch.nn.Linear(DIM, 4), torch.randn(4)

    def weigh(states):
        return torch.softmax(torch.tanh(hidden(states)) @ context, dim=0)

    weights = [hidden.weight.T, hidden.bias, context[:, None]]
    _pooling("attention", weigh, weights, {"units": 4})


def pooling_mean():
    """All valid steps alike."""
    _pooling("mean", lambda states: torch.full((len(states),), 1 / len(states)))


def pooling_last():
    """The last valid step."""
    _pooling("last", lambda states: torch.eye(len(states))[-1])


def _pooling(name, weigh, weights=(), options=None):
    sequence = torch.randn(3, STEPS, DIM)
    vectors, shares = torch.zeros(3, DIM), torch.zeros(3, STEPS)
    for row, length in enumerate(LENGTHS):
        shares[row, :length] = weigh(sequence[row, :length])
        vectors[row] = shares[row, :length] @ sequence[row, :length]
    save(
        f"pooling_{name}",
        {"sequence": sequence, "mask": MASK},
        {"vector": vectors, "weights": shares},
        weights,
        options,
    )


def fusion_concat():
    """Side by side."""
    speech, text = torch.randn(4, 5), torch.randn(4, 3)
    save(
        "fusion_concat",
        {"speech_vector": speech, "text_vector": text},
        {"vector": torch.cat([speech, text], dim=1)},
    )


def fusion_gmu():
    """The gated multimodal unit, as the formula reads."""
    speech, text = torch.randn(4, 5), torch.randn(4, 3)
    for_speech, for_text, for_gate = (torch.nn.Linear(width, 6) for width in (5, 3, 8))
    gate = torch.sigmoid(for_gate(torch.cat([speech, text], dim=1)))
    vector = gate * torch.tanh(for_speech(speech)) + (1 - gate) * torch.tanh(for_text(text))
    layers = (for_speech, for_text, for_gate)
    save(
        "fusion_gmu",
        {"speech_vector": speech, "text_vector": text},
        {"vector": vector, "gate": gate},
        [array for layer in layers for array in (layer.weight.T, layer.bias)],
        {"units": 6},
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    with torch.no_grad():
        encoder_blstm()
        encoder_bert()
        pooling_attention()
        pooling_mean()
        pooling_last()
        fusion_concat()
        fusion_gmu()
