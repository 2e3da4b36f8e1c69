"""Make the golden arrays of the fusions by sequences, words and probabilities with PyTorch.

    python tests/golden/make_fusions.py

The format is that of `make_models.py`. Every row is computed alone, from its valid steps.
"""

import torch
from make_models import save

SPEECH_DIM, TEXT_DIM = 5, 3


def _masked(lengths, dim):
    steps = max(lengths)
    mask = torch.arange(steps)[None] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), steps, dim), mask


def _linear(layer):
    return [layer.weight.T, layer.bias]


def _attention(layer, units, heads):
    """Weights in Keras' order: query, key, value, output; heads on an axis of their own."""
    per_head = (heads, units // heads)
    arrays = []
    for weight, bias in zip(
        layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True
    ):
        arrays += [weight.T.reshape(units, *per_head), bias.reshape(per_head)]
    return [*arrays, layer.out_proj.weight.T.reshape(*per_head, units), layer.out_proj.bias]


def fusion_cross_attention():
    """torch.nn.MultiheadAttention in both directions; rows 2 and 3 lack a modality."""
    units, heads = 8, 2
    speech_lengths, text_lengths = [7, 4, 3, 0], [2, 5, 0, 4]
    speech, speech_mask = _masked(speech_lengths, SPEECH_DIM)
    text, text_mask = _masked(text_lengths, TEXT_DIM)
    project = [torch.nn.Linear(dim, units) for dim in (SPEECH_DIM, TEXT_DIM)]
    attend = [torch.nn.MultiheadAttention(units, heads, batch_first=True) for _ in range(2)]
    normalise = [torch.nn.LayerNorm(units) for _ in range(2)]
    for layer in attend:
        torch.nn.init.normal_(layer.in_proj_bias)
        torch.nn.init.normal_(layer.out_proj.bias)
    for layer in normalise:
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    outputs = [torch.zeros(len(own), max(own), units) for own in (speech_lengths, text_lengths)]
    for row, lengths in enumerate(zip(speech_lengths, text_lengths, strict=True)):
        states = [
            project[k](sequence[row, : lengths[k]])[None]
            for k, sequence in enumerate((speech, text))
        ]
        for k, (own, other) in enumerate((states, states[::-1])):
            if own.shape[1] and other.shape[1]:
                own = own + attend[k](own, other, other)[0]
            outputs[k][row, : lengths[k]] = normalise[k](own)[0]
    save(
        "fusion_cross_attention",
        {"speech": speech, "speech_mask": speech_mask, "text": text, "text_mask": text_mask},
        {"speech": outputs[0], "text": outputs[1]},
        [
            *(array for layer in project for array in _linear(layer)),
            *(array for layer in attend for array in _attention(layer, units, heads)),
            *(array for layer in normalise for array in (layer.weight, layer.bias)),
        ],
        {"units": units, "num_heads": heads},
    )


def fusion_hierarchical():
    """Word by word in loops, with attention within each word.

    Rows: words and silence, one word shorter than a step; a word outside the crop, one without
    tokens, one without either; no voice; no text; no timings; nothing at all.
    """
    units, step_duration = 6, 3
    speech, speech_mask = _masked([8, 6, 0, 5, 4, 0], SPEECH_DIM)
    text, text_mask = _masked([6, 5, 4, 0, 3, 0], TEXT_DIM)
    spans = torch.full((6, 4, 2), -1, dtype=torch.int32)
    owners = torch.full((6, 6), -1, dtype=torch.int32)
    spans[0] = torch.tensor([[0, 7], [7, 8], [12, 20], [20, 24]])
    owners[0] = torch.tensor([-1, 0, 0, 1, 3, -1])
    spans[1] = torch.tensor([[-1, -1], [0, 9], [9, 17], [40, 45]])
    owners[1, :5] = torch.tensor([-1, 0, 0, 2, -1])
    spans[2, :2] = torch.tensor([[0, 6], [6, 12]])
    owners[2, :4] = torch.tensor([-1, 0, 1, -1])
    spans[3, :2] = torch.tensor([[2, 6], [6, 15]])
    hidden, context = torch.nn.Linear(SPEECH_DIM, units), torch.randn(units)
    absent = torch.randn(SPEECH_DIM), torch.randn(TEXT_DIM)
    for_speech = torch.nn.Linear(SPEECH_DIM, units)
    for_text = torch.nn.Linear(TEXT_DIM, units)
    for_gate = torch.nn.Linear(SPEECH_DIM + TEXT_DIM, units)

    def fuse(voice, tokens):
        if len(voice):
            shares = torch.softmax(torch.tanh(hidden(voice)) @ context, dim=0)
            voice = shares @ voice
        else:
            voice = absent[0]
        tokens = tokens.mean(dim=0) if len(tokens) else absent[1]
        gate = torch.sigmoid(for_gate(torch.cat([voice, tokens])))
        return gate * torch.tanh(for_speech(voice)) + (1 - gate) * torch.tanh(for_text(tokens))

    sequence, mask = torch.zeros(6, 4, units), torch.zeros(6, 4, dtype=torch.bool)
    for row in range(6):
        steps = [step for step in range(speech.shape[1]) if speech_mask[row, step]]
        tokens = [token for token in range(text.shape[1]) if text_mask[row, token]]
        words = []
        for word, (start, end) in enumerate(spans[row].tolist()):
            middles = [(step + 0.5) * step_duration for step in range(speech.shape[1])]
            heard = [step for step, middle in enumerate(middles) if start <= middle < end]
            if start >= 0 and not heard:
                heard = [int((start + end) / 2 // step_duration)]
            heard = [step for step in heard if step in steps]
            words.append((heard, [token for token in tokens if owners[row, token] == word]))
        if (steps and not any(heard for heard, _ in words)) or (
            tokens and not any(read for _, read in words)
        ):
            words = [(steps, tokens)]
        for word, (heard, read) in enumerate(words):
            if heard or read:
                mask[row, word] = True
                sequence[row, word] = fuse(speech[row, heard], text[row, read])
    save(
        "fusion_hierarchical",
        {
            "speech": speech,
            "speech_mask": speech_mask,
            "text": text,
            "text_mask": text_mask,
            "word_spans": spans,
            "word_of_token": owners,
        },
        {"sequence": sequence, "mask": mask},
        [
            *(array for layer in (for_speech, for_text, for_gate) for array in _linear(layer)),
            *(*_linear(hidden), context[:, None]),
            *absent,
        ],
        {"step_duration": step_duration, "units": units, "segment_pooling": "attention"},
    )


def fusion_late():
    """Mean of the softmaxes of what is present: both, one, the other, neither."""
    speech, text = torch.randn(4, 5) * 3, torch.randn(4, 5) * 3
    has_speech = torch.tensor([True, True, False, False])
    has_text = torch.tensor([True, False, True, False])
    present = torch.stack([has_speech, has_text])[:, :, None]
    both = torch.softmax(torch.stack([speech, text]).double(), dim=-1)
    mean = (both * present).sum(dim=0) / present.sum(dim=0)
    mean[3] = 1 / 5
    save(
        "fusion_late",
        {
            "speech_logits": speech,
            "text_logits": text,
            "has_speech": has_speech,
            "has_text": has_text,
        },
        {"logits": torch.log(mean).float()},
    )


if __name__ == "__main__":
    torch.manual_seed(3)
    with torch.no_grad():
        fusion_cross_attention()
        fusion_hierarchical()
        fusion_late()
