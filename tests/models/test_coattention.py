"""Co-attention: its parts from published weights, what is frozen, and what it refuses."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Speech
from mmer_tf.models.encoders.coattention import CoAttention
from mmer_tf.models.encoders.frame_attention import FrameAttention
from mmer_tf.registry import UnknownNameError

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def group(golden, prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(f"{prefix}/"): golden[n] for n in golden if n.startswith(f"{prefix}/")}


GOLDEN = np.load(FOLDER / "encoder_coattention.npz")
OPTIONS = json.loads(str(GOLDEN["options"]))
STREAMS = group(GOLDEN, "input")
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
WITH_IMAGE = {name: a for name, a in STREAMS.items() if "spectrogram" not in name}
WITH_IMAGE["mel_image"] = IMAGE
SMALL_VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_dim": 8,
    "num_layers": 1,
    "num_heads": 2,
    "intermediate_dim": 8,
}
SMALL_RESNET = {"filters": [64, 8, 6, 5], "num_blocks": [1, 1, 1, 1]}


@pytest.fixture
def published(tmp_path) -> dict[str, str]:
    """Folders with tiny published AlexNet and wav2vec 2.0."""
    folders = {"spectrogram": "alexnet", "waveform": "wav2vec2"}
    for part, entry in folders.items():
        golden, folder = np.load(FOLDER / f"encoder_{entry}.npz"), tmp_path / entry
        folder.mkdir()
        safetensors.numpy.save_file(group(golden, "checkpoint"), folder / "model.safetensors")
        if config := str(golden["config"]):
            (folder / "config.json").write_text(config, encoding="utf-8")
        folders[part] = str(folder)
    return folders


def pretrained(published: dict[str, str], **options) -> CoAttention:
    filters = json.loads(str(np.load(FOLDER / "encoder_alexnet.npz")["options"]))
    sizes = {"mfcc_options": {"units": 3}, "image_options": filters, "units": 4}
    return CoAttention.from_pretrained(published, **sizes | options)


def first_names(weights) -> set[str]:
    return {weight.path.split("/")[1] for weight in weights}


def test_parts_have_published_weights(published):
    encoder = pretrained(published, waveform_options={"num_layers": 7, "dropout": 0.3})
    vector, mask = encoder(STREAMS)
    assert vector.shape == (3, 1, 12) and np.all(mask)
    assert (encoder.waveform_encoder.num_layers, encoder.waveform_encoder.dropout) == (2, 0.3)
    for part, entry in ((encoder.image_encoder, "alexnet"), (encoder.waveform_encoder, "wav2vec2")):
        golden = np.load(FOLDER / f"encoder_{entry}.npz")
        states, _ = part(*group(golden, "input").values())
        np.testing.assert_allclose(states, golden["output/sequence"], rtol=1e-4, atol=1e-4)


def test_configuration_holds_the_published_sizes(published):
    encoder = pretrained(published)
    vector, _ = encoder(STREAMS)
    again = CoAttention.from_config(json.loads(json.dumps(encoder.get_config())))
    again(STREAMS)
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(again(STREAMS)[0], vector)


def test_one_part_alone_is_published(published):
    encoder = pretrained({"spectrogram": published["spectrogram"]}, waveform_options={
        "hidden_dim": 8, "num_layers": 1, "num_heads": 1, "position_groups": 2,
        "position_kernel": 4, "conv_dims": [4], "conv_kernels": [10], "conv_strides": [5],
        "intermediate_dim": 4,
    })  # fmt: skip
    assert encoder(STREAMS)[0].shape == (3, 1, 12)


@pytest.mark.parametrize("weights", ["folder", {"mfcc": "folder"}, {"speech": "folder"}])
def test_weights_of_no_such_part(weights):
    with pytest.raises(ValueError, match="a mapping with the keys spectrogram, waveform or both"):
        CoAttention.from_pretrained(weights)


def test_model_with_published_parts(published, tmp_path):
    filters = json.loads(str(np.load(FOLDER / "encoder_alexnet.npz")["options"]))
    streams = ["mfcc", "log_spectrogram", "waveform"]
    shapes = {"mfcc": (5,), "log_spectrogram": (63, 3), "waveform": ()}
    options = {"image_options": filters, "units": 4, "frozen_parts": ["waveform"]}
    speech = Speech("coattention", streams, shapes, weights=published, options=options)
    model = create_model(speech, pooling="mean", num_classes=3)
    assert set(model.input) == set(STREAMS)
    answer = model(STREAMS)
    assert answer["logits"].shape == (3, 3)
    np.testing.assert_array_equal(answer["speech_attention"], np.ones((3, 1)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(STREAMS)["logits"], answer["logits"], atol=1e-6)
    parts = {weight.path.split("/")[1] for weight in loaded.trainable_weights}
    assert "spectrogram_encoder" in parts and "waveform_encoder" not in parts


def test_frozen_parts():
    encoder = CoAttention(**OPTIONS, dropout=0, frozen_parts=["mfcc", "waveform"])
    resting, _ = encoder(STREAMS)
    trained = first_names(encoder.trainable_weights)
    assert {"mfcc_encoder", "waveform_encoder"} <= first_names(encoder.weights)
    assert not {"mfcc_encoder", "waveform_encoder"} & trained
    assert {"spectrogram_encoder", "mfcc_projection", "attention"} <= trained
    # Frozen parts drop nothing, and AlexNet has no dropout.
    np.testing.assert_allclose(encoder(STREAMS, training=True)[0], resting, atol=1e-6)


def test_dropout_acts_in_training_only():
    encoder = CoAttention(**OPTIONS, dropout=0.5)
    resting, _ = encoder(STREAMS)
    np.testing.assert_array_equal(encoder(STREAMS, training=False)[0], resting)
    assert np.abs(encoder(STREAMS, training=True)[0] - resting).max() > 1e-4
    encoder.frozen = True
    np.testing.assert_array_equal(encoder(STREAMS, training=True)[0], resting)
    assert not encoder.trainable_weights


@pytest.mark.parametrize(("name", "small"), [("vit", SMALL_VIT), ("resnet34", SMALL_RESNET)])
def test_reads_pictures(name, small):
    options = OPTIONS | {"image_options": small}
    encoder = CoAttention(spectrogram="mel_image", image_encoder=name, **options)
    vector, mask = encoder(WITH_IMAGE)
    assert vector.shape == (3, 1, 12) and np.all(mask)
    other, _ = encoder(WITH_IMAGE | {"mel_image": 255 - IMAGE})
    assert np.abs(other - vector).max() > 1e-6
    absent = WITH_IMAGE | {
        "mfcc_mask": WITH_IMAGE["mfcc_mask"] & np.array([[False], [True], [True]]),
        "num_samples": WITH_IMAGE["num_samples"] * np.array([0, 1, 1], "int32"),
    }
    without, mask = encoder(absent)
    np.testing.assert_array_equal(mask, [[False], [True], [True]])
    np.testing.assert_array_equal(without[0], 0)
    np.testing.assert_allclose(without[1:], vector[1:], atol=1e-6)


@pytest.mark.parametrize("name", ["hubert", "wavlm"])
def test_other_waveform_encoders(name):
    encoder = CoAttention(**OPTIONS, waveform_encoder=name)
    assert encoder(STREAMS)[0].shape == (3, 1, encoder.output_dim)
    assert encoder.get_config()["waveform_encoder"] == name


@pytest.mark.parametrize("lacks", ["mfcc", "log_spectrogram", "waveform"])
def test_other_streams(lacks):
    streams = {name: a for name, a in STREAMS.items() if not name.startswith(lacks)}
    with pytest.raises(ValueError, match="must be mfcc, log_spectrogram and waveform, with their"):
        CoAttention(**OPTIONS)(streams)


def test_frame_attention_is_a_softmax_of_products():
    attention = FrameAttention(2)
    draw = np.random.default_rng(0)
    query, frames = draw.normal(size=(2, 3)), draw.normal(size=(2, 5, 4))
    mask = np.array([[True] * 5, [True, True, False, False, False]])
    frames[1, 2:] = np.nan
    attention(*(x.astype("float32") for x in (query, frames)), mask)
    kernel, bias, key = (draw.normal(size=w.shape) for w in attention.get_weights())
    attention.set_weights([kernel, bias, key])
    vector, weights = attention(*(x.astype("float32") for x in (query, frames)), mask)
    for row, length in enumerate((5, 2)):
        real = frames[row, :length]
        scores = real @ key @ (query[row] @ kernel + bias) / np.sqrt(2)
        shares = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(weights[row, :length], shares, rtol=1e-4)
        np.testing.assert_array_equal(weights[row, length:], 0)
        np.testing.assert_allclose(vector[row], shares @ real, rtol=1e-4, atol=1e-5)
    vector, weights = attention(query.astype("float32"), frames.astype("float32"), mask & False)
    assert not np.any(vector) and not np.any(weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be >= 1. Received: units=0."),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0."),
        ({"image_encoder": "vit"}, "must be mel_image, which vit reads. Received: spectrogram=log"),
        ({"spectrogram": "mel_image"}, "must be log_spectrogram, which alexnet reads"),
        ({"frozen_parts": ["text"]}, "of mfcc, spectrogram, waveform. Received: text."),
        ({"mfcc_options": {"unit": 1}}, "unknown option 'unit' of the mfcc encoder. Known: dropou"),
        ({"waveform_options": {"layers": [1]}}, "unknown option 'layers' of the waveform encoder"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CoAttention(**OPTIONS | arguments)


def test_unknown_encoders():
    with pytest.raises(UnknownNameError, match="unknown image encoder 'vgg'"):
        CoAttention(image_encoder="vgg")
    with pytest.raises(UnknownNameError, match="unknown waveform encoder 'whisper'"):
        CoAttention(waveform_encoder="whisper")
