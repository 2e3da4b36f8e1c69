"""Make the golden arrays of BERT's hidden states, and of what reads hidden states, with PyTorch.

    python tests/golden/make_text.py

wants torch 2.13.0 and transformers 5.23.0; the format is told by `make_models.py`.
"""

import torch
import transformers
from make_models import DIM, LENGTHS, MASK, STEPS, save
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def encoder_conv_blstm():
    """Each row alone through Conv1d, ReLU and MaxPool1d, then all through a packed LSTM."""
    filters, kernel_size, pool_size, units = 6, 4, 2, 3
    convolution = torch.nn.Conv1d(DIM, filters, kernel_size, padding="same")
    pool = torch.nn.MaxPool1d(pool_size, ceil_mode=True)
    lstm = torch.nn.LSTM(filters, units, bidirectional=True, batch_first=True)
    sequence = torch.randn(3, STEPS, DIM)
    rows = [sequence[row : row + 1, :length] for row, length in enumerate(LENGTHS)]
    pooled = [pool(torch.relu(convolution(row.mT))).mT[0] for row in rows]
    lengths = torch.tensor([len(row) for row in pooled])
    padded = torch.nn.utils.rnn.pad_sequence(pooled, batch_first=True)
    packed = pack_padded_sequence(padded, lengths, batch_first=True)
    states, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True)
    weights = [convolution.weight.permute(2, 1, 0), convolution.bias]
    for suffix in ("l0", "l0_reverse"):
        kernel, recurrent, bias, recurrent_bias = (
            getattr(lstm, f"{kind}_{suffix}")
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        weights += [kernel.T, recurrent.T, bias + recurrent_bias]
    save(
        "encoder_conv_blstm",
        {"sequence": sequence, "mask": MASK},
        {"sequence": states, "mask": torch.arange(4)[None] < lengths[:, None]},
        weights,
        {"filters": filters, "kernel_size": kernel_size, "pool_size": pool_size, "units": units},
    )


def hidden_states_bert():
    """Every hidden state of transformers' BertModel, and its pooled output."""
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=12,
        initializer_range=0.5,
        attn_implementation="eager",
    )
    model = transformers.BertModel(config).eval()
    for parameter in model.parameters():  # as no layer norm and no bias is after training
        parameter.add_(0.3 * torch.randn_like(parameter))
    token_ids = torch.randint(1, 30, (3, STEPS), dtype=torch.int32)
    answer = model(input_ids=token_ids, attention_mask=MASK.long(), output_hidden_states=True)
    states = torch.stack(answer.hidden_states, dim=2)
    save(
        "hidden_states_bert",
        {"token_ids": token_ids, "token_mask": MASK},
        {"states": states * MASK[:, :, None, None], "pooled": answer.pooler_output},
        checkpoint=model.state_dict(),
        config=config.to_json_string(),
    )


if __name__ == "__main__":
    torch.manual_seed(3)
    with torch.no_grad():
        encoder_conv_blstm()
        hidden_states_bert()
