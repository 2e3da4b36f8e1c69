"""Published BERT weights: where they come from and what is said when they do not."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.hub import HubError
from mmer_tf.models.api import create_model
from mmer_tf.models.branch import Text, Upstream
from mmer_tf.models.encoders.bert import BERT

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "encoder_bert.npz")
CHECKPOINT = {
    name.removeprefix("checkpoint/"): GOLDEN[name] for name in GOLDEN if name.startswith("check")
}
TOKENS = GOLDEN["input/token_ids"], GOLDEN["input/token_mask"]
STATES = GOLDEN["output/sequence"]


def write_checkpoint(folder: Path, checkpoint: dict[str, np.ndarray], **config) -> Path:
    """A folder in Hugging Face layout."""
    config = json.loads(str(GOLDEN["config"])) | config
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    safetensors.numpy.save_file(checkpoint, folder / "model.safetensors")
    return folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tiny-bert"
    folder.mkdir()
    return write_checkpoint(folder, CHECKPOINT)


def test_model_takes_size_and_weights_from_the_folder(folder, tmp_path):
    model = create_model(
        text=Text(
            "bert",
            options={"hidden_dim": 64, "num_layers": 7, "dropout": 0.3},
            weights=str(folder),
            vocabulary_size=30,
            max_tokens=10,
        )
    )
    encoder = model.get_layer("text_encoder")
    assert (encoder.hidden_dim, encoder.num_layers, encoder.dropout) == (8, 2, 0.3)
    states, _ = encoder(*TOKENS)
    np.testing.assert_allclose(states, STATES, atol=1e-4)

    model.save(tmp_path / "model.keras")
    for file in folder.iterdir():
        file.unlink()
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    states, _ = loaded.get_layer("text_encoder")(*TOKENS)
    np.testing.assert_allclose(states, STATES, atol=1e-4)


def test_reads_the_older_names_of_layer_norm(folder):
    """As in google-bert/bert-base-uncased: `bert.` before each name, gamma and beta."""
    older = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in CHECKPOINT.items()
    }
    write_checkpoint(folder, older)
    states, _ = BERT.from_pretrained(str(folder))(*TOKENS)
    np.testing.assert_allclose(states, STATES, atol=1e-4)


@pytest.mark.parametrize(("argument", "value"), [("vocabulary_size", 31), ("max_tokens", 13)])
def test_tokenizer_larger_than_the_weights(folder, argument, value):
    with pytest.raises(HubError, match=f"`{argument}`={value} is more than the"):
        create_model(text=Text("bert", weights=str(folder), **{argument: value}))


def test_hub_out_of_reach(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"'nobody/no-bert' is not a folder.*`hf download nobody"):
        BERT.from_pretrained("nobody/no-bert")


def test_no_hub_name():
    with pytest.raises(HubError, match=r"'not/a/name' is not a folder.*give a folder"):
        BERT.from_pretrained("not/a/name")


def test_file_instead_of_folder(folder):
    with pytest.raises(HubError, match="is a file; give the folder"):
        BERT.from_pretrained(str(folder / "model.safetensors"))


def test_missing_file(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(HubError, match=r"tiny-bert lacks model.safetensors; `hf download"):
        BERT.from_pretrained(str(folder))


def test_another_model(folder):
    write_checkpoint(folder, CHECKPOINT, model_type="distilbert")
    with pytest.raises(HubError, match="holds a model of type 'distilbert', not bert"):
        BERT.from_pretrained(str(folder))


@pytest.mark.parametrize(
    ("file", "problem"), [("config.json", "is not JSON"), ("model.safetensors", "is damaged")]
)
def test_damaged_file(folder, file, problem):
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HubError, match=f"tiny-bert/{file} {problem}.*; download it again"):
        BERT.from_pretrained(str(folder))


def test_weights_of_another_size(folder):
    write_checkpoint(folder, CHECKPOINT, intermediate_size=20)
    shapes = (
        r"of another shape: encoder\.layer\.0\.intermediate\.dense\.bias \(16,\) instead of \(20,\)"
    )
    with pytest.raises(HubError, match=shapes):
        BERT.from_pretrained(str(folder))


def test_weights_lack_a_layer(folder):
    fewer = {name: a for name, a in CHECKPOINT.items() if "layer.1." not in name}
    write_checkpoint(folder, fewer)
    with pytest.raises(HubError, match=r"is not the checkpoint of this model \(missing: encoder"):
        BERT.from_pretrained(str(folder))


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden_act", "relu"), ("layer_norm_eps", 1e-5), ("position_embedding_type", "relative_key")],
)
def test_an_unknown_variant(folder, field, value):
    write_checkpoint(folder, CHECKPOINT, **{field: value})
    with pytest.raises(HubError, match=f"has {field}={value!r} in config.json, and only"):
        BERT.from_pretrained(str(folder))


def test_a_configuration_without_a_size(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(HubError, match=r"config.json lacks 'hidden_size'; download it again"):
        BERT.from_pretrained(str(folder))


def test_what_stands_on_frozen_weights_starts_as_on_stored_states(folder):
    """So that both ways of training are comparable."""
    started = []
    for stored in (True, False):
        upstream = Upstream("bert", weights=str(folder), layers=[1, 2], stored=stored)
        text = Text("conv_blstm", upstream=upstream, shape=(2, 8), options={"filters": 4})
        model = create_model(text=text, seed=3)
        layers = ("text_layer_sum", "text_encoder", "text_pooling", "logits")
        started.append([w for name in layers for w in model.get_layer(name).get_weights()])
    for on_stored, on_computed in zip(*started, strict=True):
        np.testing.assert_array_equal(on_stored, on_computed)
