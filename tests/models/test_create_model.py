"""The arguments of `create_model`: what they do, and what is said of wrong ones."""

import random
from dataclasses import replace

import keras
import numpy as np
import pytest

from mmer_tf.models.api import create_model, list_parts
from mmer_tf.models.branch import Speech, Text, Upstream, standardise_name
from mmer_tf.registry import UnknownNameError

TEXT = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
SPEECH = Speech("blstm", options={"units": 4})
BOTH = {
    "speech": SPEECH,
    "text": Text("bert", vocabulary_size=20, max_tokens=6, options=TEXT),
    "fusion": "gmu",
    "fusion_options": {"units": 4},
}


def batch(rows: int = 16, feature: str = "log_mel", dim: int = 64) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {
        feature: draw.normal(size=(rows, 9, dim)).astype("float32"),
        f"{feature}_mask": np.ones((rows, 9), bool),
        "token_ids": draw.integers(0, 20, (rows, 6)).astype("int32"),
        "token_mask": np.ones((rows, 6), bool),
        "has_speech": np.ones(rows, bool),
        "has_text": np.ones(rows, bool),
    }


def test_lists_what_it_takes():
    parts = list_parts()
    assert "blstm" in parts["speech"] and "bert" in parts["text"]
    assert {"last", "mean", "attention"} <= set(parts["pooling"])
    for argument, names in parts.items():
        assert list(names) == sorted(names), argument


@pytest.mark.parametrize(("feature", "dim"), [("log_mel", 64), ("mfcc", 40), ("lld", 65)])
def test_reads_the_features_of_the_data_contract(feature, dim):
    model = create_model(replace(SPEECH, feature=feature))
    assert model.input[feature].shape == (None, None, dim)
    every = batch(feature=feature, dim=dim)
    assert model({name: every[name] for name in model.input})["logits"].shape == (16, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"speech": "blsm"}, "unknown speech encoder 'blsm'; did you mean 'blstm'"),
        ({"text": "brt"}, "unknown text encoder 'brt'; did you mean 'bert'"),
        ({"speech": "blstm", "pooling": "maks"}, "unknown pooling 'maks'"),
        (BOTH | {"fusion": "gnu"}, "unknown fusion 'gnu'; did you mean 'gmu'"),
        ({"speech": Speech("blstm", feature="mel")}, "unknown speech feature 'mel'"),
    ],
)
def test_unknown_names(arguments, message):
    with pytest.raises(UnknownNameError, match=message):
        create_model(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "must name an encoder"),
        (BOTH | {"fusion": None, "fusion_options": None}, "`fusion` must be given"),
        ({"speech": "blstm", "fusion": "gmu"}, "`fusion` needs both"),
        ({"speech": "blstm", "num_classes": 1}, "num_classes=1"),
        ({"text": "bert"}, "`vocabulary_size` must be given"),
        (
            {"speech": Speech("blstm", options={"unit": 4})},
            "unknown option 'unit' of speech encoder 'blstm'. "
            "Known: dropout, frame_stack, num_layers, units",
        ),
        (
            {"speech": "blstm", "pooling": "mean", "pooling_options": {"units": 4}},
            "unknown option 'units' of pooling 'mean'. Known: none",
        ),
        ({"speech": Speech("blstm", options={"units": 0})}, "`units` must be >= 1"),
        (BOTH | {"modality_dropout": 1.0}, "`rate` must be in"),
        (
            {"speech": Speech("conv_blstm", "waveform", weights="x", upstream=Upstream("hubert"))},
            "'conv_blstm' stands behind an `upstream` and has no `weights`",
        ),
        (
            {"text": Text("blstm", 20, weights="x", upstream=Upstream("bert"))},
            "'blstm' stands behind an `upstream` and has no `weights`",
        ),
        ({"text": Text("blstm", vocabulary_size=20)}, "reads hidden states; give it an `upstream`"),
        (
            {"speech": Speech("alexnet")},
            "'alexnet' reads log_spectrogram. Received: fea",
        ),
        ({"speech": Speech("blstm", layers=[1])}, "unknown option 'layers' of speech encoder"),
        ({"speech": Speech("blstm", weights="x")}, "'blstm' has no published weights"),
        (
            BOTH | {"speech": Speech("alexnet", "log_spectrogram"), "fusion": "hierarchical"},
            "needs a speech encoder whose steps follow time",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)


def weights_and_training_answer(seed: int) -> list[np.ndarray]:
    model = create_model(**BOTH, modality_dropout=0.5, spec_augment={"time_masks": 1}, seed=seed)
    answers = model(batch(), training=True)
    return [*model.get_weights(), *map(keras.ops.convert_to_numpy, answers.values())]


def test_seed_decides_weights_and_dropout():
    first, again, other = (weights_and_training_answer(seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[-1], other[-1])


def test_seed_leaves_the_draws_of_others_alone():
    random.seed(5)
    wanted = random.random()
    random.seed(5)
    create_model(SPEECH, seed=1)
    assert random.random() == wanted


def test_statistics_are_set_by_the_layer_of_fixed_name():
    model = create_model(SPEECH)
    inputs = {name: batch()[name] for name in model.input}
    before = model(inputs)["logits"]
    model.get_layer(standardise_name("log_mel")).set_statistics(np.full(64, 2.0), np.full(64, 3.0))
    inputs["log_mel"] = inputs["log_mel"] * 3 + 2
    np.testing.assert_allclose(model(inputs)["logits"], before, atol=1e-5)


@pytest.mark.slow
def test_learns_what_only_both_modalities_tell():
    """Exclusive or of voice and words: neither alone is better than chance."""
    keras.utils.set_random_seed(0)
    draw = np.random.default_rng(0)
    inputs = batch(rows=256, dim=3)
    voice, words = draw.integers(0, 2, (2, 256))
    inputs["log_mel"] += 2 * voice[:, None, None] - 1
    inputs["token_ids"] = np.where(words[:, None], 3, 4) * np.ones((1, 6), "int32")
    model = create_model(
        **BOTH | {"speech": replace(SPEECH, shape=(3,))},
        num_classes=2,
        dropout=0.0,
        modality_dropout=0.0,
        seed=0,
    )
    classifier = keras.Model(model.input, model.output["logits"])
    classifier.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    classifier.fit(inputs, voice ^ words, epochs=12, verbose=0)
    assert classifier.evaluate(inputs, voice ^ words, verbose=0)[1] > 0.95


def test_vocal_tract_warp_acts_in_training_on_log_mel_alone():
    model = create_model(speech="blstm", vocal_tract_warp=0.2, dropout=0.0, seed=0)
    frames = np.random.default_rng(0).normal(size=(2, 9, 64)).astype("float32")
    inputs = {"log_mel": frames, "log_mel_mask": np.ones((2, 9), bool)}
    plain, again = (np.asarray(model(inputs)["logits"]) for _ in range(2))
    np.testing.assert_array_equal(plain, again)
    trained, other = (np.asarray(model(inputs, training=True)["logits"]) for _ in range(2))
    assert np.abs(trained - plain).max() > 1e-4 < np.abs(trained - other).max()
    with pytest.raises(ValueError, match="`vocal_tract_warp` needs log_mel's axis"):
        create_model(speech=Speech("blstm", feature="lld"), vocal_tract_warp=0.2)
