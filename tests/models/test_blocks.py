"""The blocks of a classifier, seen from outside."""

import keras
import numpy as np
import pytest

from mmer_tf.models.api import create_model
from mmer_tf.models.blocks import open_model, speech_step, tokens_per_step
from mmer_tf.models.branch import Speech, Text, Upstream

SPEECH = Speech("blstm", options={"units": 3, "frame_stack": 4})
BERT = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
TEXT = Text("bert", vocabulary_size=20, max_tokens=8, options=BERT)
BOTH = {"temporal_block", "contextual_block", "speech_mask", "text_mask"}


def make(fusion: str | None = None, speech=SPEECH, text=TEXT, **options) -> keras.Model:
    return create_model(speech, text, fusion=fusion, num_classes=3, seed=1, **options)


@pytest.mark.parametrize(
    ("fusion", "widths"),
    [
        ("gmu", (6, 8, 5)),
        pytest.param("cross_attention", (4, 4, 8), marks=pytest.mark.slow),
        ("hierarchical", (6, 8, 5)),
        ("late", (6, 8, None)),
    ],
)
def test_every_fusion_shows_its_blocks(fusion, widths):
    options = {
        "gmu": {"units": 5},
        "hierarchical": {"units": 5},
        "cross_attention": {"units": 4, "num_heads": 2},
    }
    model = make(fusion, fusion_options=options.get(fusion))
    outputs = open_model(model).output
    assert set(model.output) | BOTH <= set(outputs)
    shown = tuple(
        outputs[name].shape[-1] if (name := f"{block}_block") in outputs else None
        for block in ("temporal", "contextual", "fusion")
    )
    assert shown == widths


def test_one_modality_has_one_block():
    voice, words = make(text=None), make(speech=None)
    assert set(open_model(voice).output) - set(voice.output) == {"temporal_block", "speech_mask"}
    assert set(open_model(words).output) - set(words.output) == {"contextual_block", "text_mask"}
    assert speech_step(words) is None


def test_words_are_joined_by_the_mean_where_the_fusion_pools_by_words():
    model = make("hierarchical", fusion_options={"units": 5})
    random = np.random.default_rng(0)
    inputs = {
        "has_speech": np.array([True]),
        "has_text": np.array([True]),
        "log_mel": random.normal(size=(1, 8, 64)).astype("float32"),
        "log_mel_mask": np.array([[True] * 8]),
        "token_ids": np.array([[2, 5, 6, 3, 0]], "int32"),
        "token_mask": np.array([[True] * 4 + [False]]),
        "word_spans": np.array([[[0, 4], [4, 8]]], "int32"),
        "word_of_token": np.array([[-1, 0, 1, -1, -1]], "int32"),
    }
    inputs = {tensor.name: inputs[tensor.name] for tensor in model.inputs}
    opened = open_model(model)(inputs)
    encoder = keras.Model(model.inputs, model.get_layer("text_encoder").output[0])
    tokens = np.asarray(encoder(inputs))[0, :4]
    np.testing.assert_allclose(opened["contextual_block"][0], tokens.mean(axis=0), atol=1e-6)
    kernel, bias = model.get_layer("logits").get_weights()
    logits = np.asarray(opened["fusion_block"]) @ kernel + bias
    np.testing.assert_allclose(opened["logits"], logits, atol=1e-5)


def test_steps_in_ten_milliseconds():
    assert speech_step(make(text=None)) == 4
    stored = Upstream("hubert", layers=(0, 1), stored=True)
    pooled = {"filters": 4, "units": 2, "pool_size": 3}
    states = Speech("conv_blstm", upstream=stored, shape=(2, 6), options=pooled)
    assert speech_step(make(speech=states, text=None)) == 2 * 3
    alexnet = Speech("alexnet", "log_spectrogram", options={"filters": (2, 2, 2, 2, 2)})
    assert speech_step(make(speech=alexnet, text=None)) is None


def test_tokens_of_a_step():
    assert tokens_per_step(make(speech=None)) == 1
    states = Upstream("bert", layers=(1,), stored=True)
    options = {"filters": 4, "units": 2, "pool_size": 2}
    words = Text("conv_blstm", upstream=states, shape=(1, 6), options=options)
    assert tokens_per_step(make(speech=None, text=words)) == 2
