"""Make the golden arrays of the encoder of several streams with PyTorch.

    python tests/golden/make_streams.py

wants the environment of `make_models.py`, where the format is told. Every row goes alone through
torch's LSTM, AlexNet's convolutions and transformers' wav2vec 2.0; what joins them stands here as
the formula reads.
"""

import torch
from make_models import save
from make_speech import BASE, NUM_SAMPLES, SIZES, answers, create, waveforms
from torch import nn

MFCC_DIM, MFCC_FRAMES = 5, (12, 7, 1)
BINS, SPECTRUM_FRAMES = 63, (80, 64, 20)
UNITS, LSTM_UNITS, FILTERS = 4, 3, (3, 4, 4, 4, 5)


def alexnet():
    """torchvision's AlexNet with fewer filters; few different weights, which compress well."""
    layers, channels = [], 3
    layout = (
        (11, 4, 2, True),
        (5, 1, 2, True),
        (3, 1, 1, False),
        (3, 1, 1, False),
        (3, 1, 1, True),
    )
    for filters, (window, stride, padding, pools) in zip(FILTERS, layout, strict=True):
        layers += [nn.Conv2d(channels, filters, window, stride, padding), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] if pools else []
        channels = filters
    network = nn.Sequential(*layers)
    for parameter in network.parameters():
        spread = parameter[0].numel() if parameter.ndim > 1 else 8
        parameter.copy_(torch.randn(parameter.shape).round() * (2 / spread) ** 0.5)
    return network


def encoder_coattention():
    """Co-attention over MFCC, log-spectrogram and waveform."""
    options = SIZES | BASE | {"num_layers": 1}
    wav2vec2, _ = create("wav2vec2", options)
    lstm = nn.LSTM(MFCC_DIM, LSTM_UNITS, bidirectional=True, batch_first=True)
    cnn = alexnet()
    width = options["hidden_dim"]
    of_mfcc, of_spectrogram, of_wave, query, key = (
        nn.Linear(inputs, UNITS, bias=has_bias)
        for inputs, has_bias in (
            (2 * LSTM_UNITS, True),
            (FILTERS[-1], True),
            (width, True),
            (2 * UNITS, True),
            (width, False),
        )
    )
    for linear in (query, key):  # so that the weights are far from equal
        linear.weight.mul_(3)

    mfcc = torch.randn(3, max(MFCC_FRAMES), MFCC_DIM)
    spectrogram = torch.randn(3, max(SPECTRUM_FRAMES), BINS, 3).round()
    waveform = waveforms(NUM_SAMPLES)
    vectors = []
    for row in range(3):
        states, _ = lstm(mfcc[row : row + 1, : MFCC_FRAMES[row]])
        mfcc_vector = torch.relu(of_mfcc(states[0].mean(dim=0)))
        picture = torch.zeros(1, max(SPECTRUM_FRAMES[row], 63), BINS, 3)
        picture[0, : SPECTRUM_FRAMES[row]] = spectrogram[row, : SPECTRUM_FRAMES[row]]
        features = cnn(picture.permute(0, 3, 1, 2))[0].flatten(1).T  # (positions, filters)
        spectrogram_vector = torch.relu(of_spectrogram(features.mean(dim=0)))
        _, frames, _ = answers(
            wav2vec2, waveform[row : row + 1], NUM_SAMPLES[row : row + 1], normalise=True
        )
        frames = frames[0]  # (frames, width)
        scores = key(frames) @ query(torch.cat([spectrogram_vector, mfcc_vector])) / UNITS**0.5
        weights = torch.softmax(scores, dim=0)
        heard = torch.relu(of_wave(weights @ frames))
        vectors.append(torch.cat([spectrogram_vector, mfcc_vector, heard]))
    vectors = torch.stack(vectors)

    weights = [*lstm_weights(lstm), *alexnet_weights(cnn), *wav2vec2_weights(wav2vec2)]
    for linear in (of_mfcc, of_spectrogram, of_wave, query, key):
        weights += linear_weights(linear)
    save(
        "encoder_coattention",
        {
            "mfcc": mfcc,
            "mfcc_mask": _before(MFCC_FRAMES),
            "log_spectrogram": spectrogram,
            "log_spectrogram_mask": _before(SPECTRUM_FRAMES),
            "waveform": waveform,
            "num_samples": torch.tensor(NUM_SAMPLES, dtype=torch.int32),
        },
        {"sequence": vectors[:, None], "mask": torch.ones(3, 1, dtype=torch.bool)},
        weights,
        {
            "mfcc_options": {"units": LSTM_UNITS, "num_layers": 1},
            "image_options": {"filters": FILTERS},
            "waveform_options": options,
            "units": UNITS,
        },
    )


def lstm_weights(lstm):
    arrays = []
    for suffix in ("l0", "l0_reverse"):
        kernel, recurrent, bias, recurrent_bias = (
            getattr(lstm, f"{kind}_{suffix}")
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        arrays += [kernel.T, recurrent.T, bias + recurrent_bias]
    return arrays


def alexnet_weights(network):
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    return [array for c in convolutions for array in (c.weight.permute(2, 3, 1, 0), c.bias)]


def wav2vec2_weights(model):
    """In the order in which the layers of `Wav2Vec2` are made."""
    features, projection, encoder = (
        model.feature_extractor.conv_layers,
        model.feature_projection,
        model.encoder,
    )
    arrays = [layer.conv.weight.permute(2, 1, 0) for layer in features]
    arrays += norm_weights(features[0].layer_norm)
    arrays += norm_weights(projection.layer_norm) + linear_weights(projection.projection)
    position = encoder.pos_conv_embed.conv
    length, direction = (
        getattr(position.parametrizations.weight, f"original{index}") for index in (0, 1)
    )
    arrays += [direction.permute(2, 1, 0), length.permute(2, 1, 0), position.bias]
    arrays += norm_weights(encoder.layer_norm)
    for layer in encoder.layers:
        attention, feed_forward = layer.attention, layer.feed_forward
        for part in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
            arrays += linear_weights(part)
        arrays += norm_weights(layer.layer_norm) + norm_weights(layer.final_layer_norm)
        arrays += linear_weights(feed_forward.intermediate_dense)
        arrays += linear_weights(feed_forward.output_dense)
    return arrays


def linear_weights(linear):
    return [linear.weight.T] + ([] if linear.bias is None else [linear.bias])


def norm_weights(norm):
    return [norm.weight, norm.bias]


def _before(lengths):
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


if __name__ == "__main__":
    torch.manual_seed(4)
    with torch.no_grad():
        encoder_coattention()
