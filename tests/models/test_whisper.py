"""Whisper's encoder: every hidden state, the window, and published weights in all their forms."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.hub import HubError
from mmer_tf.models.encoders.whisper import Whisper

FOLDER = Path(__file__).resolve().parents[1] / "golden"
GOLDEN = np.load(FOLDER / "encoder_whisper.npz")
CHECKPOINT = {n.removeprefix("checkpoint/"): GOLDEN[n] for n in GOLDEN if n.startswith("check")}
OPTIONS = json.loads(str(GOLDEN["options"]))
WAVEFORM, NUM_SAMPLES = GOLDEN["input/waveform"], GOLDEN["input/num_samples"]
MASK = GOLDEN["output/mask"]
STATES = np.load(FOLDER / "hidden_states_whisper.npz")["output/hidden_states"]
WINDOW = STATES.shape[1] * 320


def write_checkpoint(folder: Path, checkpoint=CHECKPOINT, **config) -> str:
    """A folder in Hugging Face layout."""
    config = json.loads(str(GOLDEN["config"])) | config
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    safetensors.numpy.save_file(checkpoint, folder / "model.safetensors")
    return str(folder)


def masked(states: np.ndarray) -> np.ndarray:
    states = states[:, : MASK.shape[1]]
    return states * MASK.reshape(*MASK.shape, *[1] * (states.ndim - 2))


@pytest.mark.parametrize("layers", [(0, 1, 2), (2,), (1,), (0,), (1, 0)])
def test_hidden_states_equal_transformers(tmp_path, layers):
    encoder = Whisper.from_pretrained(write_checkpoint(tmp_path), layers=layers)
    states, mask = encoder(WAVEFORM, NUM_SAMPLES)
    assert states.shape == (3, 8, len(layers), encoder.output_dim)
    np.testing.assert_array_equal(mask, MASK)
    np.testing.assert_allclose(states, masked(STATES[:, :, list(layers)]), rtol=1e-4, atol=1e-4)
    assert encoder.num_layers == 2
    assert len(encoder.transformer_layers) == max(layers)


def test_whole_window(tmp_path):
    """Samples in plenty do not give more steps than the window has, and do not count."""
    encoder = Whisper.from_pretrained(write_checkpoint(tmp_path))
    longer = np.pad(WAVEFORM, ((0, 0), (0, WINDOW)), constant_values=np.nan)
    states, mask = encoder(longer, NUM_SAMPLES)
    assert states.shape[:2] == mask.shape == STATES.shape[:2]
    real = np.arange(mask.shape[1]) < MASK.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(mask, real)
    np.testing.assert_allclose(states, STATES[:, :, -1] * real[:, :, None], rtol=1e-4, atol=1e-4)


def test_clip_longer_than_the_window_is_cut(tmp_path):
    encoder = Whisper.from_pretrained(write_checkpoint(tmp_path))
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, 2 * WINDOW)).astype("float32")
    states, mask = encoder(waveform, np.array([2 * WINDOW]))
    wanted, _ = encoder(waveform[:, :WINDOW], np.array([WINDOW]))
    assert np.all(mask)
    np.testing.assert_allclose(states, wanted, atol=1e-5)


def test_shorter_window_takes_the_first_positions(tmp_path):
    encoder = Whisper.from_pretrained(write_checkpoint(tmp_path), window_seconds=0.16)
    assert encoder.window_steps == 8
    np.testing.assert_array_equal(
        encoder.position_embedding, CHECKPOINT["model.encoder.embed_positions.weight"][:8]
    )
    with pytest.raises(ValueError, match=r"`window_seconds` must be <= 0.2.*window_seconds=1"):
        Whisper.from_pretrained(str(tmp_path), window_seconds=1)


def test_positions_from_scratch_are_the_published_sinusoids():
    encoder = Whisper(**OPTIONS)
    encoder.build((None, None))
    published = CHECKPOINT["model.encoder.embed_positions.weight"]
    np.testing.assert_allclose(encoder.position_embedding, published, atol=1e-6)
    assert not any(w is encoder.position_embedding for w in encoder.trainable_weights)


@pytest.mark.parametrize("dft", ["fft", "factored"])
def test_a_waveform_stays_float32_under_every_policy(tmp_path, dft):
    """Speech 60 dB below full scale is where float16 samples have lost most of their bits."""
    folder = write_checkpoint(tmp_path)
    wanted, _ = Whisper.from_pretrained(folder, layers=[0])(WAVEFORM / 1000, NUM_SAMPLES)
    encoder = Whisper.from_pretrained(folder, layers=[0], dft=dft, dtype="mixed_float16")
    states, _ = encoder(WAVEFORM / 1000, NUM_SAMPLES)
    assert states.dtype == "float16"
    np.testing.assert_allclose(states, wanted, rtol=5e-3, atol=2e-2)


def test_frozen_weights_and_dropout(tmp_path):
    folder = write_checkpoint(tmp_path)
    frozen = Whisper.from_pretrained(folder, dropout=0.5, frozen=True)
    assert frozen.frozen and not frozen.trainable_weights
    free = Whisper.from_pretrained(folder, dropout=0.5)
    wanted = masked(STATES[:, :, -1])
    states, _ = frozen(WAVEFORM, NUM_SAMPLES, training=True)
    np.testing.assert_allclose(states, wanted, rtol=1e-4, atol=1e-4)
    states, _ = free(WAVEFORM, NUM_SAMPLES, training=True)
    assert np.abs(states - wanted).max() > 0.1


def test_reads_other_kinds_of_checkpoints(tmp_path):
    """WhisperModel's names and those of a classifier, in half precision."""
    others = {
        name.removeprefix("model."): array.astype("float16") for name, array in CHECKPOINT.items()
    }
    head = {"projector.weight": np.ones((4, 8), "float32"), "layer_weights": np.ones(3, "float32")}
    encoder = Whisper.from_pretrained(write_checkpoint(tmp_path, others | head))
    states, _ = encoder(WAVEFORM, NUM_SAMPLES)
    np.testing.assert_allclose(states, masked(STATES[:, :, -1]), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bert"}, "holds a model of type 'bert', not whisper"),
        ({"activation_function": "relu"}, "has the activation 'relu'; only 'gelu'"),
        ({"d_model": "x"}, r"config.json has d_model='x' instead of a whole number >= 1"),
        ({"max_source_positions": [10]}, r"has max_source_positions=\[10\] instead of a whole"),
        ({"encoder_layers": 3}, r"missing: model.encoder.layers.2.fc1.bias"),
        ({"encoder_layers": 1}, r"unexpected: model.encoder.layers.1.fc1.bias"),
        ({"encoder_ffn_dim": 20}, r"fc1.weight \(8, 16\) instead of \(8, 20\)"),
    ],
)
def test_another_checkpoint(tmp_path, config, message):
    folder = write_checkpoint(tmp_path, **config)
    with pytest.raises(HubError, match=message):
        Whisper.from_pretrained(folder)


def test_configuration_lacks_a_field(tmp_path):
    folder = write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["d_model"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(HubError, match=r"config\.json lacks 'd_model'"):
        Whisper.from_pretrained(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be >= 1. Received: num_layers=0."),
        ({"num_heads": 3}, "hidden_dim=8, num_heads=3"),
        ({"hidden_dim": 9, "num_heads": 3}, "hidden_dim=9, num_heads=3"),
        ({"layers": (3,)}, r"`layers` must be different numbers from 0 to 2. Received: layers"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Whisper(**OPTIONS | arguments)
