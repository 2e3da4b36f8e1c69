"""Frozen transformers and the head on their hidden states become one .tflite file."""

from pathlib import Path

import numpy as np
import pytest
from small_bundle import LABELS, MAX_SECONDS, noise

from mmer_tf.assembly import build_model, trained_encoders
from mmer_tf.bundle import Bundle
from mmer_tf.data.families import FeatureFamily
from mmer_tf.deploy.lite_convert import convert
from mmer_tf.deploy.lite_export import LiteExport
from mmer_tf.deploy.tflite import LiteRTClassifier
from mmer_tf.hidden_states import describe_states
from mmer_tf.recipe import recipe_from_mapping
from mmer_tf.testing_checkpoints import write_tiny_checkpoint
from mmer_tf.text.tokenizer import Tokenizer


def make_bundle(folder: Path) -> Bundle:
    """BLSTMs on the stored states of a HuBERT and a BERT."""

    def branch(encoder: str, layers: list[int]) -> dict:
        source = str(write_tiny_checkpoint(encoder, folder / encoder))
        upstream = {"encoder": encoder, "weights": source, "layers": layers, "stored": True}
        return {"encoder": "blstm", "options": {"units": 4}, "upstream": upstream}

    recipe = recipe_from_mapping(
        {
            "name": "states", "summary": "", "data": {"max_seconds": MAX_SECONDS},
            "speech": branch("hubert", [1, 2]), "text": branch("bert", [1]) | {"max_tokens": 12},
            "fusion": "gmu",
        }
    )  # fmt: skip
    states = [
        describe_states("hubert", str(folder / "hubert"), [1, 2]),
        describe_states("bert", str(folder / "bert"), [1], max_tokens=12),
    ]
    tokenizer = Tokenizer.from_pretrained(folder / "bert", 12)
    shapes = {one.name: one.shape for one in states}
    model = build_model(recipe, len(LABELS), tokenizer.vocabulary_size, 3, shapes)
    draw = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    encoders = trained_encoders(
        recipe, {one.name: FeatureFamily(one).parameters() for one in states}
    )
    return Bundle(recipe, LABELS, tokenizer, model, encoders)


@pytest.mark.slow
def test_encoders_and_head_are_one_file(tmp_path: Path):
    bundle = make_bundle(tmp_path)
    cases = [(noise(0.8, 1), "never again"), (noise(0.3, 2), ""), (None, "good morning")]
    with LiteExport(bundle, MAX_SECONDS, convert) as export:
        export.write(tmp_path / "states.tflite", "none")
    lite = LiteRTClassifier(tmp_path / "states.tflite")
    found, expected = (
        np.array(
            [
                list(answer.probabilities.values())
                for answer in one.predict(*zip(*cases, strict=True))
            ]
        )
        for one in (lite, bundle)
    )
    assert np.ptp(expected, axis=0).max() > 0.05
    # A state whose last bit differs may be stored as its neighbour in half precision.
    np.testing.assert_allclose(found, expected, atol=2e-3)
