"""What fusions do where a modality, a word or its timing is missing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.fusion import FUSIONS
from mmer_tf.models.fusion.cross_attention import CrossAttention
from mmer_tf.models.fusion.hierarchical import HierarchicalFusion
from mmer_tf.models.fusion.late import LateFusion

UNITS = 4
WORDS = [[0, 4], [4, 8], [10, 14]]  # in 10 ms; steps 0-1, 2-3, 5-6 of 20 ms
OWNERS = [-1, 0, 1, 1, 2, -1]


@pytest.fixture(scope="module")
def steps():
    """Speech (2, 8, 5) and text (2, 6, 3), nothing masked."""
    draw = np.random.default_rng(0)
    speech, text = (draw.normal(size=(2, *shape)).astype("float32") for shape in ((8, 5), (6, 3)))
    return {
        "speech": speech,
        "speech_mask": np.ones((2, 8), bool),
        "text": text,
        "text_mask": np.ones((2, 6), bool),
    }


def by_words(steps, spans=WORDS, owners=OWNERS, **changed):
    words = {"word_spans": np.int32([spans] * 2), "word_of_token": np.int32([owners] * 2)}
    return steps | words | changed


def built(layer, inputs):
    """The layer with weights that are not at their start, the learned vectors included."""
    layer(*inputs.values())
    draw = np.random.default_rng(1)
    layer.set_weights([draw.normal(size=weight.shape) for weight in layer.weights])
    return layer


def run(layer, inputs, **settings):
    *answers, extras = layer(*inputs.values(), **settings)
    assert extras == {}
    return [keras.ops.convert_to_numpy(answer) for answer in answers]


@pytest.fixture(scope="module", params=["mean", "attention"])
def hierarchical(request, steps):
    return built(HierarchicalFusion(2.0, UNITS, request.param), by_words(steps))


@pytest.fixture(scope="module")
def mean_hierarchical(steps):
    return built(HierarchicalFusion(2.0, UNITS), by_words(steps))


def test_words_are_fused_from_their_steps_and_tokens(mean_hierarchical, steps):
    sequence, mask = run(mean_hierarchical, by_words(steps))
    assert sequence.shape == (2, 3, UNITS) and mask.all()
    members = [([0, 1], [1]), ([2, 3], [2, 3]), ([5, 6], [4])]
    for word, (heard, read) in enumerate(members):
        voice, text = steps["speech"][:, heard].mean(axis=1), steps["text"][:, read].mean(axis=1)
        wanted, _ = mean_hierarchical.fuse(voice, text)
        np.testing.assert_allclose(sequence[:, word], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("span", "heard"),
    [
        ([3, 5], [1]),  # the middle of step 1 is 3; that of step 2, which is 5, lies behind the end
        ([4, 5], [2]),  # shorter than a step
        ([5, 5], [2]),
        ([6, 7], [3]),
        ([14, 40], [7]),  # beyond the last step
    ],
)
def test_which_steps_a_word_takes(mean_hierarchical, steps, span, heard):
    sequence, _ = run(mean_hierarchical, by_words(steps, [span], [0] * 6))
    voice, text = steps["speech"][:, heard].mean(axis=1), steps["text"].mean(axis=1)
    wanted, _ = mean_hierarchical.fuse(voice, text)
    np.testing.assert_allclose(sequence[:, 0], wanted, rtol=1e-5, atol=1e-6)


def test_attention_within_a_word_prefers_steps(steps):
    layer = built(HierarchicalFusion(2.0, UNITS, "attention"), by_words(steps))
    attended, _ = run(layer, by_words(steps))
    mean = HierarchicalFusion(2.0, UNITS)
    mean(*by_words(steps).values())
    mean.set_weights([*layer.fuse.get_weights(), *(w.numpy() for w in layer.weights[-2:])])
    averaged, _ = run(mean, by_words(steps))
    assert np.abs(attended - averaged).max() > 0.01
    # a word of one step leaves nothing to choose
    one_step = by_words(steps, [[0, 2], [2, 4], [4, 6]])
    np.testing.assert_allclose(run(layer, one_step)[0], run(mean, one_step)[0], atol=1e-6)


def test_order_of_the_words_is_theirs(hierarchical, steps):
    order = [2, 0, 1]
    sequence, mask = run(hierarchical, by_words(steps))
    place = {word: index for index, word in enumerate(order)}
    owners = [place.get(word, -1) for word in OWNERS]
    moved = run(hierarchical, by_words(steps, [WORDS[word] for word in order], owners))
    np.testing.assert_allclose(moved[0], sequence[:, order], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(moved[1], mask[:, order])


def test_what_lies_outside_all_words_does_not_matter(hierarchical, steps):
    other = {"speech": steps["speech"].copy(), "text": steps["text"].copy()}
    other["speech"][:, [4, 7]] += 3
    other["text"][:, [0, 5]] += 3
    for one, two in zip(
        run(hierarchical, by_words(steps)), run(hierarchical, by_words(steps, **other)), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_more_padded_words_add_masked_zeros(hierarchical, steps):
    sequence, mask = run(hierarchical, by_words(steps))
    longer, longer_mask = run(hierarchical, by_words(steps, [*WORDS, [-1, -1], [-1, -1]]))
    np.testing.assert_allclose(longer[:, :3], sequence, rtol=1e-6)
    assert not longer[:, 3:].any() and not longer_mask[:, 3:].any() and mask.all()


@pytest.mark.parametrize("words", [1, 3])
def test_without_timings_a_row_is_one_word(mean_hierarchical, steps, words):
    untimed = by_words(steps, [[-1, -1]] * words, [-1] * 6)
    sequence, mask = run(mean_hierarchical, untimed)
    assert mask.tolist() == [[word == 0 for word in range(words)]] * 2
    voice, text = steps["speech"].mean(axis=1), steps["text"].mean(axis=1)
    wanted, _ = mean_hierarchical.fuse(voice, text)
    np.testing.assert_allclose(sequence[:, 0], wanted, rtol=1e-5, atol=1e-6)
    assert not sequence[:, 1:].any()


def test_timings_of_one_row_do_not_depend_on_the_other(hierarchical, steps):
    inputs = by_words(steps)
    inputs["word_spans"][1], inputs["word_of_token"][1] = -1, -1
    sequence, mask = run(hierarchical, inputs)
    whole, _ = run(hierarchical, by_words(steps))
    np.testing.assert_allclose(sequence[0], whole[0], rtol=1e-6)
    assert mask.tolist() == [[True] * 3, [True, False, False]]


def test_a_modality_that_no_word_reaches_is_not_lost(mean_hierarchical, steps):
    one_word = run(mean_hierarchical, by_words(steps, [[-1, -1]] * 3, [-1] * 6))
    no_token = run(mean_hierarchical, by_words(steps, WORDS, [-1] * 6))
    no_step = run(mean_hierarchical, by_words(steps, [[-1, -1]] * 3, OWNERS))
    for one, two in ((no_token, one_word), (no_step, one_word)):
        np.testing.assert_allclose(one[0], two[0], rtol=1e-6)
        np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("absent", ["speech", "text"])
def test_absent_modality_takes_the_learned_vector(mean_hierarchical, steps, absent, timed):
    other = {"speech": "text", "text": "speech"}[absent]
    words = by_words(steps) if timed else by_words(steps, [[-1, -1]] * 3, [-1] * 6)
    words[f"{absent}_mask"] = np.zeros_like(steps[f"{absent}_mask"])
    words[absent] = np.full_like(steps[absent], np.nan)
    sequence, mask = run(mean_hierarchical, words)
    assert mask[:, 0].all() and mask[:, 1:].all() == timed
    learned = getattr(mean_hierarchical, f"absent_{absent}").absent.numpy()
    members = {"speech": [0, 1], "text": [1]} if timed else {"speech": range(8), "text": range(6)}
    present = steps[other][:, list(members[other])].mean(axis=1)
    pair = {absent: np.stack([learned, learned]), other: present}
    wanted, _ = mean_hierarchical.fuse(pair["speech"], pair["text"])
    np.testing.assert_allclose(sequence[:, 0], wanted, rtol=1e-5, atol=1e-6)


def test_wild_word_numbers_are_no_word(mean_hierarchical, steps):
    wild = [owner if owner >= 0 else 7 for owner in OWNERS]
    for one, two in zip(
        run(mean_hierarchical, by_words(steps, WORDS, wild)),
        run(mean_hierarchical, by_words(steps)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module")
def cross_attention(steps):
    return built(CrossAttention(UNITS, num_heads=2, dropout=0.5), steps)


def test_attention_sees_all_of_the_other_modality(cross_attention, steps):
    speech, text = run(cross_attention, steps)
    other = steps | {"text": steps["text"].copy()}
    other["text"][:, 5] += 1
    changed, _ = run(cross_attention, other)
    assert (np.abs(changed - speech).max(axis=2) > 1e-4).all()
    order = [3, 1, 0, 5, 4, 2]
    moved = run(cross_attention, steps | {"text": steps["text"][:, order]})
    np.testing.assert_allclose(moved[0], speech, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved[1], text[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("absent", ["speech", "text"])
def test_without_the_other_modality_a_sequence_keeps_its_own_states(cross_attention, steps, absent):
    inputs = steps | {
        absent: np.full_like(steps[absent], np.nan),
        f"{absent}_mask": np.zeros_like(steps[f"{absent}_mask"]),
    }
    answers = dict(zip(("speech", "text"), run(cross_attention, inputs), strict=True))
    assert not answers[absent].any()
    other = {"speech": "text", "text": "speech"}[absent]
    project = getattr(cross_attention, f"project_{other}")
    normalise = getattr(cross_attention, f"normalise_{other}")
    np.testing.assert_allclose(answers[other], normalise(project(steps[other])), rtol=1e-5)


def test_dropout_is_for_training(cross_attention, steps):
    one, two = (run(cross_attention, steps, training=True)[0] for _ in range(2))
    assert np.abs(one - two).max() > 0.01
    np.testing.assert_array_equal(run(cross_attention, steps)[0], run(cross_attention, steps)[0])


def probabilities(speech_logits, text_logits, has_speech, has_text, **options):
    inputs = [np.float32([speech_logits]), np.float32([text_logits])]
    logits, extras = LateFusion(**options)(*inputs, np.array([has_speech]), np.array([has_text]))
    assert extras == {} and logits.dtype == "float32"
    return np.exp(keras.ops.convert_to_numpy(logits)[0])


def test_probabilities_are_averaged():
    even, certain = np.log([0.5, 0.25, 0.25]), np.log([0.1, 0.1, 0.8])
    wanted = [0.3, 0.175, 0.525]
    np.testing.assert_allclose(probabilities(even + 7, certain - 3, True, True), wanted, rtol=1e-5)
    extreme = probabilities([1e4, 0, -1e4], [-1e4, 0, 1e4], True, True)
    np.testing.assert_allclose(extreme, [0.5, 0, 0.5], atol=1e-6)
    half = probabilities(even, certain, True, True, dtype="mixed_float16")
    np.testing.assert_allclose(half, wanted, rtol=1e-5)


def test_absent_modalities_have_no_say():
    nan, certain = [np.nan] * 3, np.log([0.1, 0.1, 0.8])
    for arguments in ((nan, certain, False, True), (certain, nan, True, False)):
        np.testing.assert_allclose(probabilities(*arguments), [0.1, 0.1, 0.8], rtol=1e-5)
    np.testing.assert_allclose(probabilities(nan, nan, False, False), [1 / 3] * 3, rtol=1e-6)


def test_gradients_of_the_present_are_finite_beside_the_absent():
    layer = LateFusion()
    logits = tf.Variable([[1.0, 2.0], [3.0, -1e4], [0.5, 0.5]])
    with tf.GradientTape() as tape:
        nan = tf.fill((3, 2), np.nan)
        answer, _ = layer(logits, nan, np.array([True, True, False]), np.zeros(3, bool))
        loss = tf.reduce_sum(answer[:, 0])
    gradient = tape.gradient(loss, logits).numpy()
    assert np.isfinite(gradient).all() and gradient[0].any() and not gradient[2].any()


@pytest.mark.parametrize(
    ("entry", "options", "message"),
    [
        ("cross_attention", {"units": 0}, "`units` must be >= 1. Received: units=0."),
        ("cross_attention", {"num_heads": 0}, "`num_heads` must be >= 1. Received: num_heads=0."),
        ("cross_attention", {"units": 6, "num_heads": 4}, "must be a multiple of `num_heads`"),
        ("cross_attention", {"dropout": 1}, "`dropout` must be in [0, 1). Received: dropout=1."),
        ("hierarchical", {"step_duration": 0}, "`step_duration` must be > 0"),
        ("hierarchical", {"step_duration": 2, "units": 0}, "`units` must be >= 1"),
        (
            "hierarchical",
            {"step_duration": 2, "segment_pooling": "last"},
            "`segment_pooling` must be one of mean, attention. Received: segment_pooling='last'.",
        ),
    ],
)
def test_wrong_arguments_are_told(entry, options, message):
    with pytest.raises(ValueError) as error:
        FUSIONS[entry](**options)
    assert message in str(error.value)
