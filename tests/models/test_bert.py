"""BERT's hidden states and its pooled output, against transformers'."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.hub import HubError
from mmer_tf.models.encoders.bert import BERT
from mmer_tf.models.pooling.cls import CLSPooling
from mmer_tf.models.weights.bert import SIZES

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "hidden_states_bert.npz")
CHECKPOINT = {
    name.removeprefix("checkpoint/"): GOLDEN[name] for name in GOLDEN if name.startswith("check")
}
TOKEN_IDS, TOKEN_MASK = GOLDEN["input/token_ids"], GOLDEN["input/token_mask"]
STATES, POOLED = GOLDEN["output/states"], GOLDEN["output/pooled"]
NUM_LAYERS = STATES.shape[2] - 1
TINY = {"vocabulary_size": 9, "hidden_dim": 4, "num_heads": 2, "intermediate_dim": 8}


def write_checkpoint(folder: Path, checkpoint: dict[str, np.ndarray]) -> str:
    (folder / "config.json").write_text(str(GOLDEN["config"]), encoding="utf-8")
    safetensors.numpy.save_file(checkpoint, folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def weights(tmp_path):
    return write_checkpoint(tmp_path, CHECKPOINT)


@pytest.mark.parametrize("layers", [range(NUM_LAYERS + 1), [2], [3, 0, 1], [0]])
def test_hidden_states_are_those_of_transformers(weights, layers):
    encoder = BERT.from_pretrained(weights, layers=layers)
    states, mask = encoder(TOKEN_IDS, TOKEN_MASK)
    np.testing.assert_allclose(states, STATES[:, :, list(layers)], atol=1e-4)
    np.testing.assert_array_equal(mask, TOKEN_MASK)
    assert encoder.num_layers == NUM_LAYERS
    assert len(encoder.transformer_layers) == max(layers)


def test_no_layers_is_the_last(weights):
    states, _ = BERT.from_pretrained(weights)(TOKEN_IDS, TOKEN_MASK)
    np.testing.assert_allclose(states, STATES[:, :, -1], atol=1e-4)


def test_pooler_stands_where_cls_pooling_reads_it(weights):
    states, mask = BERT.from_pretrained(weights, pooler=True)(TOKEN_IDS, TOKEN_MASK)
    vector, _ = CLSPooling()(states, mask)
    np.testing.assert_allclose(vector, POOLED, atol=1e-4)
    np.testing.assert_allclose(states[:, 1:], STATES[:, 1:, -1], atol=1e-4)


@pytest.mark.parametrize("options", [{"layers": [0, 2]}, {"pooler": True, "frozen": True}])
def test_saved_models_hold_the_weights_and_the_options(weights, options, tmp_path):
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    token_mask = keras.Input((None,), dtype="bool", name="token_mask")
    encoder = BERT.from_pretrained(weights, **options, name="encoder")
    states, _ = encoder(token_ids, token_mask)
    model = keras.Model([token_ids, token_mask], states)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = [TOKEN_IDS, TOKEN_MASK]
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    config = loaded.get_layer("encoder").get_config()
    assert {name: config[name] for name in options} == {
        name: tuple(value) if name == "layers" else value for name, value in options.items()
    }


def test_padding_changes_no_hidden_state(weights):
    encoder = BERT.from_pretrained(weights, layers=[0, 1, 3])
    garbage = np.where(TOKEN_MASK, TOKEN_IDS, 10**6).astype("int32")
    wanted, _ = encoder(TOKEN_IDS, TOKEN_MASK)
    got, _ = encoder(garbage, TOKEN_MASK)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.array(got)[~TOKEN_MASK], 0)


def test_heads_of_other_trainings_are_not_read(tmp_path):
    """As in checkpoints of masked language models and of classifiers."""
    head = np.ones((2, 2), "float32")
    others = {
        "cls.predictions.bias": head,
        "cls.seq_relationship.weight": head,
        "classifier.weight": head,
        "bert.embeddings.position_ids": np.arange(12)[None],
    }
    checkpoint = {f"bert.{name}": array for name, array in CHECKPOINT.items()} | others
    states, _ = BERT.from_pretrained(write_checkpoint(tmp_path, checkpoint))(TOKEN_IDS, TOKEN_MASK)
    np.testing.assert_allclose(states, STATES[:, :, -1], atol=1e-4)


def test_a_checkpoint_without_pooler(tmp_path):
    """Which models that only fill in masked words come with."""
    checkpoint = {name: a for name, a in CHECKPOINT.items() if not name.startswith("pooler")}
    weights = write_checkpoint(tmp_path, checkpoint)
    states, _ = BERT.from_pretrained(weights)(TOKEN_IDS, TOKEN_MASK)
    np.testing.assert_allclose(states, STATES[:, :, -1], atol=1e-4)
    with pytest.raises(HubError, match=r"missing: pooler\.dense\.bias, pooler\.dense\.weight\)"):
        BERT.from_pretrained(weights, pooler=True)


def test_missing_and_unexpected_names_are_told(tmp_path):
    checkpoint = dict(CHECKPOINT)
    checkpoint["encoder.layer.1.adapter.weight"] = checkpoint.pop(
        "encoder.layer.0.output.dense.bias"
    )
    told = (
        r"missing: encoder\.layer\.0\.output\.dense\.bias; "
        r"unexpected: encoder\.layer\.1\.adapter\.weight"
    )
    with pytest.raises(HubError, match=told):
        BERT.from_pretrained(write_checkpoint(tmp_path, checkpoint))


@pytest.mark.parametrize("field", SIZES.values())
@pytest.mark.parametrize("value", ["x", 0, None, [8], True])
def test_a_size_that_is_none(weights, field, value):
    config = json.loads(str(GOLDEN["config"])) | {field: value}
    (Path(weights) / "config.json").write_text(json.dumps(config), encoding="utf-8")
    told = f"{weights}/config.json has {field}={value!r} instead of a whole number >= 1"
    with pytest.raises(HubError) as error:
        BERT.from_pretrained(weights)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "`num_layers` must be >= 1. Received: num_layers=0."),
        ({"num_layers": 2, "layers": [3]}, "`layers` must be different numbers from 0 to 2"),
        ({"layers": [1], "pooler": True}, "`layers` must be None. Received: layers="),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BERT(**TINY, **arguments)
