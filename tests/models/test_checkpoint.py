"""Published checkpoints: found, and given to a layer whole or not at all."""

import hashlib
import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.hub import HubError
from mmer_tf.models.weights.checkpoint import Checkpoint, Target, conv_kernel, transposed
from mmer_tf.models.weights.configuration import COUNT, COUNTS, FLAG, POSITIVE, TEXT

KERNEL = np.arange(6, dtype="float32").reshape(2, 3)  # (out, in)
BIAS = np.float32([7, 8])
ARRAYS = {"dense.weight": KERNEL, "dense.bias": BIAS}


@pytest.fixture
def dense():
    layer = keras.layers.Dense(2, bias_initializer="ones")
    layer.build((None, 3))
    return layer


@pytest.fixture
def targets(dense):
    return {"dense.weight": Target(dense.kernel, transposed), "dense.bias": Target(dense.bias)}


@pytest.fixture
def written(tmp_path):
    def write(arrays, config=None):
        safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors")
        if config is not None:
            (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return tmp_path

    return write


def test_assigns_by_name(dense, targets, written):
    Checkpoint.find(written(ARRAYS, {})).assign(targets)
    np.testing.assert_array_equal(dense.kernel, [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(dense.bias, BIAS)


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_prefix(dense, targets, written, prefix):
    arrays = {prefix + name: array for name, array in ARRAYS.items()}
    Checkpoint.find(written(arrays, {})).assign(targets, prefixes=("model.", ""))
    np.testing.assert_array_equal(dense.bias, BIAS)


def test_ignored_and_renamed(dense, targets, written):
    arrays = {"dense.gamma": KERNEL, "dense.bias": BIAS, "head.bias": BIAS, "ahead.bias": BIAS}
    checkpoint = Checkpoint.find(written(arrays, {}))
    renamed = [(r"\.gamma$", ".weight")]
    with pytest.raises(HubError, match=r"\(unexpected: ahead\.bias\)"):
        checkpoint.assign(targets, ignored=[r"head\..*"], renamed=renamed)
    checkpoint.assign(targets, ignored=[r"a?head\..*"], renamed=renamed)
    np.testing.assert_array_equal(dense.kernel, KERNEL.T)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"dense.bias": BIAS}, r"\(missing: dense\.weight\)"),
        (ARRAYS | {"dense.scale": BIAS}, r"\(unexpected: dense\.scale\)"),
        (
            {"dense.weight": KERNEL, "dense.offset": BIAS},
            r"\(missing: dense\.bias; unexpected: dense\.offset\)",
        ),
        (
            ARRAYS | {"dense.weight": KERNEL.T},
            r"\(of another shape: dense\.weight \(2, 3\) instead of \(3, 2\)\)",
        ),
        (
            ARRAYS | {"dense.bias": np.float32(7).reshape(1, 1)},
            r"\(of another shape: dense\.bias \(1, 1\) instead of \(2,\)\)",
        ),
    ],
)
def test_refusal_names_all_and_changes_nothing(dense, targets, written, arrays, message):
    before = dense.get_weights()
    with pytest.raises(HubError, match="is not the checkpoint of this model " + message):
        Checkpoint.find(written(arrays, {})).assign(targets)
    for one, other in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_refusal_names_as_many_as_there_are(targets, written):
    others = [f"other.{index:03d}" for index in range(200)]
    arrays = ARRAYS | dict.fromkeys(others, BIAS)
    with pytest.raises(HubError) as error:
        Checkpoint.find(written(arrays, {})).assign(targets)
    assert f"(unexpected: {', '.join(others)})" in str(error.value)


@pytest.mark.parametrize("transform", [conv_kernel, lambda array: array[0, 0]])
def test_too_few_axes(written, transform):
    layer = keras.layers.Conv2D(2, 1, use_bias=False)
    layer.build((None, 4, 4, 3))
    with pytest.raises(
        HubError, match=r"of another shape: kernel \(2,\) instead of \(1, 1, 3, 2\)"
    ):
        Checkpoint.find(written({"kernel": BIAS}, {})).assign(
            {"kernel": Target(layer.kernel, transform)}
        )


def test_convolution_kernel_by_hand():
    published = np.arange(24).reshape(2, 3, 1, 4)  # (out, in, height, width)
    kernel = conv_kernel(published)
    assert kernel.shape == (1, 4, 3, 2)
    assert kernel[0, 3, 2, 1] == published[1, 2, 0, 3]


def test_file_below_the_home_folder(written, monkeypatch):
    folder = written(ARRAYS)
    monkeypatch.setenv("HOME", str(folder))
    checkpoint = Checkpoint.find("~/model.safetensors")
    assert checkpoint.file == folder / "model.safetensors"
    with pytest.raises(HubError, match="is a file; give the folder"):
        checkpoint.require_type("bert")


def test_file_alone_has_no_configuration(written):
    folder = written(ARRAYS, {"model_type": "bert"})
    checkpoint = Checkpoint.find(folder / "model.safetensors")
    assert checkpoint.config == {}
    assert set(checkpoint.tensors) == set(ARRAYS)
    assert checkpoint.folder == folder


def test_folder_without_configuration(written):
    folder = written(ARRAYS)
    with pytest.raises(HubError, match=r"lacks config\.json"):
        Checkpoint.find(folder)
    assert Checkpoint.find(folder, needs_config=False).config == {}


def test_configuration_is_read_where_it_is_not_needed(written):
    folder = written(ARRAYS, {"architecture": "resnet34"})
    assert Checkpoint.find(folder, needs_config=False).config == {"architecture": "resnet34"}


@pytest.mark.parametrize("needs_config", [True, False])
def test_configuration_that_is_no_json(written, needs_config):
    folder = written(ARRAYS)
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(HubError, match=r"config\.json is not JSON; download it again"):
        Checkpoint.find(folder, needs_config=needs_config)


@pytest.mark.parametrize("needs_config", [True, False])
@pytest.mark.parametrize("content", [[], ["hidden_size"], "bert", 3, None])
def test_configuration_without_fields(written, content, needs_config):
    folder = written(ARRAYS)
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(HubError, match=r"config\.json holds no fields with names; download it"):
        Checkpoint.find(folder, needs_config=needs_config)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (COUNT, [1, 768], ["x", "768", 0, -1, 8.0, True, None, [8], {}]),
        (COUNTS, [[1], [512, 512]], [[], 512, [512, "x"], [0], [True], "512", None, {}]),
        (POSITIVE, [1e-12, 1], [0, -1.0, True, "1e-12", None, float("nan"), []]),
        (FLAG, [True, False], [0, 1, "true", None, []]),
        (TEXT, ["group", ""], [1, None, ["group"], {}]),
    ],
)
def test_field_must_be_of_its_kind(written, kind, good, bad):
    for value in good:
        assert Checkpoint.find(written(ARRAYS, {"field": value})).field("field", kind) == value
    for value in bad:
        checkpoint = Checkpoint.find(written(ARRAYS, {"field": value}))
        with pytest.raises(HubError) as error:
            checkpoint.field("field", kind, good[0])
        file = checkpoint.folder / "config.json"
        assert str(error.value).startswith(f"{file} has field={value!r} instead of {kind.words};")


def test_field_that_is_left_out(written):
    checkpoint = Checkpoint.find(written(ARRAYS, {}))
    assert checkpoint.field("field", default=7) == 7
    assert checkpoint.field("field", FLAG, False) is False
    with pytest.raises(HubError, match=r"config\.json lacks 'field'; download it again"):
        checkpoint.field("field")


@pytest.mark.parametrize("needs_config", [True, False])
def test_folder_without_weights(tmp_path, needs_config):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(HubError, match=r"lacks model\.safetensors"):
        Checkpoint.find(tmp_path, needs_config=needs_config)


def test_damaged_weights(targets, written):
    file = written(ARRAYS, {}) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(HubError, match=r"model\.safetensors is damaged \(.*\); download it again"):
        Checkpoint.find(file).assign(targets)


def test_another_kind_of_model(written):
    checkpoint = Checkpoint.find(written(ARRAYS, {"model_type": "gpt2"}))
    checkpoint.require_type("bert", "gpt2")
    with pytest.raises(HubError, match="holds a model of type 'gpt2', not bert"):
        checkpoint.require_type("bert", "roberta")


def test_digest(written):
    checkpoint = Checkpoint.find(written(ARRAYS, {}))
    assert checkpoint.digest == hashlib.sha256(checkpoint.file.read_bytes()).hexdigest()
