"""Make the golden arrays of the Whisper encoder with transformers.

    python tests/golden/make_whisper.py

wants the environment of `make_models.py`, where the format is told. `hidden_states_whisper.npz`
holds all hidden states of the same model and waveform, (batch, steps, layers, dim), uncut.
"""

import torch
import transformers
from make_models import save

SAMPLES = [2400, 1300, 321]
STEPS = -(-max(SAMPLES) // 320)
POSITIONS = 10  # a window of 0.2 s


def waveforms():
    """Noise of different loudness in 16 bits, which compress better than floats."""
    mask = torch.arange(max(SAMPLES))[None] < torch.tensor(SAMPLES)[:, None]
    loudness = torch.tensor([[3000.0], [200.0], [9000.0]])
    waveform = torch.round(loudness * torch.randn(len(SAMPLES), max(SAMPLES)))
    return mask * waveform.clamp(-32768, 32767) / 32768


def log_mel(waveform, num_mels):
    """Whisper's front end on clips filled up with zeros to the window."""
    window = torch.nn.functional.pad(waveform, (0, POSITIONS * 320 - waveform.shape[1])).numpy()
    extractor = transformers.WhisperFeatureExtractor(feature_size=num_mels)
    return torch.tensor(extractor._np_extract_fbank_features(window, "cpu"), dtype=torch.float32)


def encoder_whisper():
    """transformers' encoder, with weights so large that its nonlinearities matter."""
    sizes = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "intermediate_dim": 16}
    config = transformers.WhisperConfig(
        vocab_size=10,
        num_mel_bins=20,
        d_model=sizes["hidden_dim"],
        encoder_layers=sizes["num_layers"],
        encoder_attention_heads=sizes["num_heads"],
        encoder_ffn_dim=sizes["intermediate_dim"],
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=8,
        max_source_positions=POSITIONS,
        max_target_positions=5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        init_std=0.5,
        attn_implementation="eager",
    )
    model = transformers.WhisperForConditionalGeneration(config).eval()
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias, std=0.5)
    waveform = waveforms()
    answer = model.model.encoder(log_mel(waveform, config.num_mel_bins), output_hidden_states=True)
    mask = torch.arange(STEPS)[None] < -(-torch.tensor(SAMPLES) // 320)[:, None]
    save(
        "encoder_whisper",
        {"waveform": waveform, "num_samples": torch.tensor(SAMPLES, dtype=torch.int32)},
        {"sequence": answer.last_hidden_state[:, :STEPS] * mask[:, :, None], "mask": mask},
        options=sizes | {"num_mels": config.num_mel_bins, "window_seconds": POSITIONS / 50},
        checkpoint={n: array for n, array in model.state_dict().items() if "proj_out" not in n},
        config=config.to_json_string(),
    )
    states = torch.stack(answer.hidden_states, dim=2)
    save("hidden_states_whisper", {}, {"hidden_states": states})


if __name__ == "__main__":
    torch.manual_seed(1)
    with torch.no_grad():
        encoder_whisper()
