"""Make the golden arrays of the self-supervised speech encoders with transformers.

    python tests/golden/make_speech.py

wants what make_models.py wants, and writes its format: `encoder_<entry>.npz` for the contract
tests, and `hidden_states_<variant>.npz` with

    output/hidden_states  (batch, steps, layers + 1, dim): the reference's own, of every layer
    output/sequence       (batch, steps, dim): its last_hidden_state

Every clip goes through the reference alone, since there padding changes what some models answer.
`position_buckets.npz` holds WavLM's buckets of all distances at its published size.
"""

import torch
import transformers
from make_models import save

NUM_SAMPLES = [600, 407, 30]
SIZES = {
    "conv_dims": [6, 6, 4],
    "conv_kernels": [10, 3, 2],
    "conv_strides": [5, 2, 2],
    "hidden_dim": 16,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 24,
}
PUBLISHED_CONVOLUTIONS = {
    "conv_dims": [4] * 7,
    "conv_kernels": [10, 3, 3, 3, 3, 2, 2],
    "conv_strides": [5, 2, 2, 2, 2, 2, 2],
}
BASE = {
    "conv_bias": False,
    "feature_norm": "group",
    "position_kernel": 6,
    "position_groups": 4,
    "norm_first": False,
}
LARGE = {
    "conv_bias": True,
    "feature_norm": "layer",
    "position_kernel": 5,
    "position_groups": 2,
    "norm_first": True,
}
BUCKETS = {"num_buckets": 16, "max_bucket_distance": 20}
PUBLISHED = {
    "conv_dims": "conv_dim",
    "conv_kernels": "conv_kernel",
    "conv_strides": "conv_stride",
    "feature_norm": "feat_extract_norm",
    "projection_norm": "feat_proj_layer_norm",
    "hidden_dim": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "position_kernel": "num_conv_pos_embeddings",
    "position_groups": "num_conv_pos_embedding_groups",
    "norm_first": "do_stable_layer_norm",
}
MODELS = {
    "hubert": (transformers.HubertConfig, transformers.HubertModel),
    "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
}


def create(family, options):
    """A reference model in which no activation stays near zero, where all of them are linear."""
    config_class, model_class = MODELS[family]
    config = {PUBLISHED.get(name, name): value for name, value in options.items()}
    config = config_class(**config, attn_implementation="eager")
    model = model_class(config).eval()
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape)
        if name.endswith("original0"):
            weight.copy_(2 + 0.5 * noise)
        elif name.endswith("rel_attn_embed.weight") or name.endswith("rel_pos_const"):
            weight.copy_(1.5 * noise)
        elif weight.dim() > 1:
            weight.copy_(1.5 * noise / weight[0].numel() ** 0.5)
        elif name.endswith("layer_norm.weight"):
            weight.copy_(1 + 0.2 * noise)
        else:
            weight.copy_(0.3 * noise)
    return model, config


def waveforms(num_samples):
    """A tone with overtones in noise, at an offset, in steps of 16 bits; garbage behind its end."""
    time = torch.arange(max(num_samples)) / 16000
    rows = []
    for row, length in enumerate(num_samples):
        pitch = 200 * (row + 1)
        wave = sum(torch.sin(6.28318 * pitch * k * time) / k for k in (1, 2, 5, 11))
        wave = 0.1 * wave + 0.05 * torch.randn(time.shape) + 0.02
        wave[length:] = 0.5
        rows.append(torch.round(wave * 32768) / 32768)
    return torch.stack(rows)


def padded(rows):
    """Sequences of different lengths in one array, with zeros behind them."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def answers(model, waveform, num_samples, normalise):
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
    states, last, masks = [], [], []
    for wave, length in zip(waveform, num_samples, strict=True):
        read = extractor(wave[:length].numpy(), sampling_rate=16000, return_tensors="pt")
        answer = model(read.input_values, output_hidden_states=True)
        states.append(torch.stack([state[0] for state in answer.hidden_states], dim=1))
        last.append(answer.last_hidden_state[0])
        masks.append(torch.ones(len(last[-1]), dtype=torch.bool))
    return padded(states), padded(last), padded(masks)


def store(family, variant, options, normalise, in_contract):
    model, config = create(family, options)
    num_samples = [4000, 2500, 400] if len(options["conv_dims"]) == 7 else NUM_SAMPLES
    waveform = waveforms(num_samples)
    states, last, mask = answers(model, waveform, num_samples, normalise)
    inputs = {
        "waveform": waveform,
        "num_samples": torch.tensor(num_samples, dtype=torch.int32),
    }
    common = {
        "inputs": inputs,
        "options": options | {"normalise": normalise},
        "checkpoint": model.state_dict(),
        "config": config.to_json_string(),
    }
    every = {"hidden_states": states, "sequence": last, "mask": mask}
    save(f"hidden_states_{variant}", outputs=every, **common)
    if in_contract:
        save(f"encoder_{family}", outputs={"sequence": last, "mask": mask}, **common)


def position_buckets():
    """Buckets of keys from 0 to 999 steps before and behind their query."""
    config = transformers.WavLMConfig(num_hidden_layers=1)
    attention = transformers.models.wavlm.modeling_wavlm.WavLMAttention(
        config.hidden_size,
        config.num_attention_heads,
        num_buckets=config.num_buckets,
        max_distance=config.max_bucket_distance,
    )
    distances = torch.arange(1000)
    buckets = attention._relative_positions_bucket
    save(
        "position_buckets",
        {},
        {"before": buckets(-distances), "behind": buckets(distances)},
        options={"num_buckets": config.num_buckets, "max_distance": config.max_bucket_distance},
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    with torch.no_grad():
        store("hubert", "hubert_base", SIZES | BASE | PUBLISHED_CONVOLUTIONS, True, True)
        store("hubert", "hubert_large", SIZES | LARGE, True, False)
        plain = SIZES | BASE | {"conv_bias": True, "projection_norm": False}
        store("hubert", "hubert_without_projection_norm", plain, True, False)
        store("wav2vec2", "wav2vec2_base", SIZES | BASE, True, False)
        store("wav2vec2", "wav2vec2_large", SIZES | LARGE, True, True)
        store("wavlm", "wavlm_base", SIZES | BASE | BUCKETS, False, True)
        store("wavlm", "wavlm_large", SIZES | LARGE | BUCKETS, True, False)
        position_buckets()
