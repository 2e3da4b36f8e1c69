"""An untrained bundle that answers in milliseconds, for tests of what bundles go through."""

import numpy as np

from mmer_tf.assembly import build_model
from mmer_tf.bundle import Bundle
from mmer_tf.recipe import recipe_from_mapping
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import SAMPLE_RATE

LABELS = ("angry", "happy", "sad")
MAX_SECONDS = 1.0
SPEECH = {"encoder": "blstm", "options": {"units": 4}}
TEXT = {"encoder": "bert", "options": {
    "hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}}  # fmt: skip
SENTENCES = ("Never again.", "Good morning!", "I can't believe it.", "Well, now.")


def noise(seconds: float, seed: int) -> np.ndarray:
    """Noise that gets louder, so that no two stretches are alike; float32, 16 kHz."""
    samples = round(seconds * SAMPLE_RATE)
    wave = np.random.default_rng(seed).normal(0, 0.2, samples) * np.linspace(0.1, 1, samples)
    return np.clip(wave, -1, 1).astype("float32")


def make_bundle(**fields) -> Bundle:
    """Untrained, with weights as large as trained ones, so that inputs change the answer."""
    recipe = recipe_from_mapping(
        {"name": "small", "summary": "", "data": {"max_seconds": MAX_SECONDS}} | fields
    )
    tokenizer = Tokenizer.from_texts(SENTENCES, 60, max_tokens=16) if recipe.text else None
    size = tokenizer.vocabulary_size if tokenizer else None
    model = build_model(recipe, len(LABELS), size, seed=3)
    draw = np.random.default_rng(7)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(scale=0.5, size=weight.shape))
    if recipe.speech and "log_mel" in recipe.speech.features:
        model.get_layer("standardise_log_mel").set_statistics(
            np.full(64, -6.0, "float32"), np.full(64, 3.0, "float32")
        )
    return Bundle(recipe, LABELS, tokenizer, model)
