"""What is particular to the encoders that see a spectrogram as a picture."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from mmer_tf.hub import HubError
from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Speech
from mmer_tf.models.encoders.alexnet import AlexNet
from mmer_tf.models.encoders.resnet34 import ResNet34
from mmer_tf.models.encoders.vit import ViT

FOLDER = Path(__file__).resolve().parents[1] / "golden"


class Golden:
    """One file of `make_vision.py`."""

    def __init__(self, entry: str):
        with np.load(FOLDER / f"encoder_{entry}.npz") as arrays:
            self.arrays = dict(arrays)
        self.options = json.loads(str(self.arrays["options"]))
        self.config = str(self.arrays["config"])
        self.inputs = list(self.group("input/").values())
        self.states = self.arrays["output/sequence"]
        self.checkpoint = self.group("checkpoint/")

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin so, without that beginning."""
        return {n.removeprefix(prefix): a for n, a in self.arrays.items() if n.startswith(prefix)}


ALEXNET, RESNET34, VIT = (Golden(entry) for entry in ("alexnet", "resnet34", "vit"))


def write(folder: Path, checkpoint: dict[str, np.ndarray], config: dict | None = None) -> str:
    """Lay a checkpoint out as the Hugging Face hub does."""
    safetensors.numpy.save_file(checkpoint, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def assert_states(encoder, golden: Golden):
    states, _ = encoder(*golden.inputs)
    np.testing.assert_allclose(states, golden.states, rtol=1e-4, atol=1e-4)


# === AlexNet ===


@pytest.mark.parametrize("filters", [(4, 4, 4, 4), (4, 4, 0, 4, 4)])
def test_alexnet_arguments(filters):
    with pytest.raises(ValueError, match="`filters` must be five numbers >= 1"):
        AlexNet(filters=filters)


def test_alexnet_wants_channels():
    with pytest.raises(ValueError, match=r"must be \(batch, frames, bins, channels\)"):
        AlexNet()(np.zeros((1, 70, 64), "float32"), np.ones((1, 70), bool))


@pytest.mark.parametrize(
    ("frames", "steps"),
    # By hand: (n - 7) // 4 + 1, then three times (n - 3) // 2 + 1.
    [(1, 1), (62, 1), (63, 1), (94, 1), (95, 2), (126, 2), (127, 3), (150, 3)],
)
def test_alexnet_steps(frames, steps):
    """As many as the real frames give, however many frames the batch has."""
    encoder = AlexNet(filters=[2, 2, 2, 2, 2])
    mask = np.arange(150)[None] < frames
    sequence, positions = encoder(np.ones((1, 150, 70, 2), "float32"), mask)
    assert sequence.shape == (1, 3, 2)
    np.testing.assert_array_equal(positions, np.arange(3)[None] < steps)


def test_alexnet_of_the_stored_spectrogram():
    """321 bins are 9 positions; the weights are torchvision's without the classifier's."""
    sequence, mask = AlexNet()(keras.Input((150, 321, 3)), keras.Input((150,), dtype="bool"))
    assert sequence.shape == (None, 3 * 9, 256)
    assert mask.shape == (None, 3 * 9)
    encoder = AlexNet()
    encoder.build((None, None, 321, 3))
    assert encoder.count_params() == 2_469_696


def test_alexnet_few_bins_are_filled_up_with_zeros():
    encoder = AlexNet(filters=[2, 3, 2, 3, 2])
    sequence = np.random.default_rng(1).normal(size=(2, 80, 10, 3)).astype("float32")
    mask = np.ones((2, 80), bool)
    narrow, _ = encoder(sequence, mask)
    wide, _ = encoder(np.pad(sequence, [(0, 0), (0, 0), (0, 53), (0, 0)]), mask)
    assert np.abs(narrow).max() > 0
    np.testing.assert_allclose(narrow, wide, atol=1e-6)


@pytest.mark.parametrize("name", ["model.safetensors", ""])
def test_alexnet_from_file_and_from_folder(tmp_path, name):
    write(tmp_path, ALEXNET.checkpoint)
    encoder = AlexNet.from_pretrained(str(tmp_path / name), **ALEXNET.options)
    assert_states(encoder, ALEXNET)


# === ResNet34 ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": (64, 8, 8)}, "`filters` must be four numbers >= 1, 64 first"),
        ({"filters": (32, 8, 8, 8)}, "`filters` must be four numbers >= 1, 64 first"),
        ({"filters": (64, 8, 0, 8)}, "`filters` must be four numbers >= 1, 64 first"),
        ({"num_blocks": (1, 1, 1)}, "`num_blocks` must be four numbers >= 1"),
        ({"num_blocks": (1, 1, 1, 0)}, "`num_blocks` must be four numbers >= 1"),
    ],
)
def test_resnet34_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet34(**arguments)


def test_resnet34_is_the_published_one():
    encoder = ResNet34()
    sequence, mask = encoder(keras.Input((224, 224, 3), dtype="uint8"))
    assert sequence.shape == (None, 49, 512)
    assert mask.shape == (None, 49)
    trained = sum(int(np.prod(weight.shape)) for weight in encoder.trainable_weights)
    assert trained == 21_797_672 - 513_000  # torchvision's without the classifier of 1000 classes


@pytest.mark.parametrize("head", ["fc", "head.fc"])
def test_resnet34_of_torchvision_and_of_timm(tmp_path, head):
    checkpoint = {
        name.replace("fc.", f"{head}.") if name.startswith("fc.") else name: array
        for name, array in RESNET34.checkpoint.items()
    }
    write(tmp_path, checkpoint, {"architecture": "resnet34"})
    assert_states(ResNet34.from_pretrained(str(tmp_path), **RESNET34.options), RESNET34)


def test_resnet34_learns_the_statistics_of_small_batches():
    """Seen often enough, a batch gives in inference what it gives in training."""
    keras.utils.set_random_seed(1)
    encoder = ResNet34(**RESNET34.options)
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    encoder(images)
    learn = tf.function(lambda: encoder(images, training=True)[0])
    for _ in range(150):  # of what it began with, 0.9 ** 150 remains
        training = learn()
    resting, _ = encoder(images, training=False)
    np.testing.assert_allclose(resting, training, atol=1e-3)
    alone, _ = encoder(images[1:], training=False)
    np.testing.assert_allclose(alone[0], resting[1], atol=1e-4)


def test_frozen_resnet34_keeps_its_statistics():
    encoder = ResNet34(**RESNET34.options, frozen=True)
    resting, _ = encoder(*RESNET34.inputs, training=False)
    before = encoder.get_weights()
    training, _ = encoder(*RESNET34.inputs, training=True)
    np.testing.assert_array_equal(training, resting)
    for one, other in zip(encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not encoder.trainable_weights
    encoder.frozen = False
    training, _ = encoder(*RESNET34.inputs, training=True)
    assert np.abs(np.array(training) - np.array(resting)).max() > 0.01
    assert any((o != b).any() for o, b in zip(encoder.get_weights(), before, strict=True))


# === ViT ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 0}, "`patch_size` must be >= 1. Received: patch_size=0."),
        ({"num_layers": 0}, "`num_layers` must be >= 1. Received: num_layers=0."),
        ({"image_size": 30}, "multiple of `patch_size`. Received: image_size=30, patch_size=16."),
        ({"num_heads": 7}, "multiple of `num_heads`. Received: hidden_dim=768, num_heads=7."),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0."),
    ],
)
def test_vit_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ViT(**arguments)


def test_vit_brings_pictures_to_its_size():
    """Twice as large, a pixel is 3/4 itself and 1/4 the nearer neighbour, along either axis."""
    pictures = 16 * np.random.default_rng(1).integers(0, 16, (2, 16, 16, 3))
    larger = pictures
    for axis in (1, 2):
        length = larger.shape[axis]
        nearer = np.arange(2 * length) // 2 + np.tile([-1, 1], length)
        neighbours = np.take(larger, np.clip(nearer, 0, length - 1), axis)
        larger = (3 * np.repeat(larger, 2, axis) + neighbours) / 4
    encoder = ViT(**VIT.options)
    expected, _ = encoder(larger.astype("uint8"))  # no digits are lost: sixteenths of 16 levels
    states, mask = encoder(pictures.astype("uint8"))
    assert np.all(mask) and mask.shape == states.shape[:2]
    np.testing.assert_allclose(states, expected, atol=1e-5)


def test_vit_of_any_size_reads_the_stored_picture():
    options = VIT.options | {"image_size": 128, "patch_size": 32}
    model = create_model(speech=Speech("vit", "mel_image", options=options))
    pictures = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3)).astype("uint8")
    answer = model({"mel_image": pictures})
    assert answer["speech_attention"].shape == (2, 1 + 16)
    assert np.all(np.isfinite(answer["logits"]))


def test_vit_dropout_acts_in_training_only():
    encoder = ViT(**VIT.options, dropout=0.5)
    resting, _ = encoder(*VIT.inputs, training=False)
    again, _ = encoder(*VIT.inputs, training=False)
    training, _ = encoder(*VIT.inputs, training=True)
    np.testing.assert_array_equal(again, resting)
    assert np.abs(np.array(training) - np.array(resting)).max() > 0.1


def test_vit_for_classification(tmp_path):
    """Its arrays stand under a prefix, beside a classifier; the size is the folder's."""
    checkpoint = {f"vit.{name}": array for name, array in VIT.checkpoint.items()}
    checkpoint = {name: array for name, array in checkpoint.items() if "pooler" not in name}
    checkpoint |= {"classifier.weight": np.ones((4, 8), "float32")}
    encoder = ViT.from_pretrained(
        write(tmp_path, checkpoint, json.loads(VIT.config)), frozen=True, dropout=0.1, name="eyes"
    )
    assert_states(encoder, VIT)
    assert (encoder.name, encoder.dropout, encoder.frozen) == ("eyes", 0.1, True)
    assert encoder.output_dim == 8


def test_vit_of_another_size_is_refused(tmp_path):
    config = json.loads(VIT.config) | {"intermediate_size": 12, "num_hidden_layers": 3}
    shapes = r"of another shape: encoder\.layer\.0\.intermediate\.dense\.bias \(16,\) instead of"
    with pytest.raises(HubError, match=rf"missing: encoder\.layer\.2\.attention.*; {shapes} \(12"):
        ViT.from_pretrained(write(tmp_path, VIT.checkpoint, config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "deit"}, "holds a model of type 'deit', not vit"),
        ({"hidden_act": "relu"}, "has hidden_act='relu' in config.json, and only 'gelu' is known"),
        ({"num_channels": 1}, "has num_channels=1 in config.json, and only 3 is known"),
        ({"hidden_size": "x"}, r"config.json has hidden_size='x' instead of a whole number >= 1"),
        ({"num_attention_heads": 0}, "config.json has num_attention_heads=0 instead of a whole"),
        ({"layer_norm_eps": "x"}, "config.json has layer_norm_eps='x' instead of a number > 0"),
    ],
)
def test_another_variant_is_refused(tmp_path, change, message):
    folder = write(tmp_path, VIT.checkpoint, json.loads(VIT.config) | change)
    with pytest.raises(HubError, match=message):
        ViT.from_pretrained(folder)


# === All ===


@pytest.mark.parametrize(
    ("encoder_class", "golden", "lost"),
    [
        (AlexNet, ALEXNET, "features.8.bias"),
        (ResNet34, RESNET34, "layer3.0.bn2.running_var"),
        (ViT, VIT, "encoder.layer.1.attention.attention.query.weight"),
    ],
)
def test_partial_checkpoint_is_refused(tmp_path, encoder_class, golden, lost):
    checkpoint = dict(golden.checkpoint)
    checkpoint["surplus"] = checkpoint.pop(lost)
    folder = write(tmp_path, checkpoint, json.loads(golden.config or "{}"))
    sizes = golden.options if encoder_class is not ViT else {}
    with pytest.raises(HubError) as error:
        encoder_class.from_pretrained(folder, **sizes)
    assert f"(missing: {lost}; unexpected: surplus)" in str(error.value)
