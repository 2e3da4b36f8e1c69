"""Schedules against closed forms, optimizers against PyTorch, and rates that grow with depth."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmer_tf.models.encoders.bert import BERT
from mmer_tf.models.encoders.blstm import BLSTM
from mmer_tf.training.adam import Adam
from mmer_tf.training.layer_rates import encoder_rate_factors
from mmer_tf.training.optimizer import make_optimizer
from mmer_tf.training.schedules import ExponentialRise, OneCycle, PerUpdate, WarmupDecay


def test_rate_falls_in_steps_as_torch_lets_it():
    schedule = WarmupDecay(0.1, steps=8, decay="step", decay_steps=3, decay_factor=0.5)
    # torch.optim.lr_scheduler.StepLR(step_size=3, gamma=0.5)
    expected = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025]
    assert [float(schedule(step)) for step in range(8)] == pytest.approx(expected)
    with pytest.raises(ValueError, match="`decay_steps` must be >= 1"):
        WarmupDecay(0.1, steps=8, decay="step", decay_steps=0)


def test_warmup_comes_before_the_first_fall():
    schedule = WarmupDecay(1.0, 12, warmup_steps=4, decay="step", decay_steps=6)
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1]
    assert [float(schedule(step)) for step in range(8)] == pytest.approx(expected)


def test_one_cycle_is_that_of_fastai():
    """`combined_cos(pct=0.25, start=peak/25, middle=peak, end=peak/1e5)`."""

    def combined_cos(position: float) -> float:
        def cosine(start, end, share):
            return start + (1 + math.cos(math.pi * (1 - share))) * (end - start) / 2

        if position < 0.25:
            return cosine(2e-3 / 25, 2e-3, position / 0.25)
        return cosine(2e-3, 2e-3 / 1e5, (position - 0.25) / 0.75)

    schedule = OneCycle(2e-3, steps=40)
    rates = [float(schedule(step)) for step in range(41)]
    np.testing.assert_allclose(rates, [combined_cos(step / 40) for step in range(41)], rtol=2e-3)
    assert rates[0] == pytest.approx(8e-5) and rates[40] == pytest.approx(2e-8, rel=1e-2)
    assert max(rates) == rates[10] == pytest.approx(2e-3)
    assert float(OneCycle(1.0, 40, warmup_share=0.5)(20)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("schedule", "arguments", "message"),
    [
        (OneCycle, (1.0, 0), "`steps` must be >= 1"),
        (OneCycle, (1.0, 9, 1.0), "`warmup_share` must be in"),
        (ExponentialRise, (1.0, 1.0, 9), "`lowest` must be above 0 and below `highest`"),
        (ExponentialRise, (0.1, 1.0, 1), "`steps` must be >= 2"),
        (PerUpdate, (OneCycle(1.0, 9), 0), "`batches` must be >= 1"),
    ],
)
def test_impossible_schedule_is_refused(schedule, arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule(*arguments)


def test_rate_of_a_range_test_rises_as_numpy_spaces_it():
    schedule = ExponentialRise(1e-5, 1.0, 11)
    rates = [float(schedule(step)) for step in range(11)]
    np.testing.assert_allclose(rates, np.geomspace(1e-5, 1.0, 11), rtol=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [
        OneCycle(1.0, 9),
        WarmupDecay(1.0, 9, 2, "step", 3, 0.3),
        ExponentialRise(0.1, 1.0, 9),
        PerUpdate(WarmupDecay(1.0, 9, 2, "linear"), 2),
    ],
)
def test_schedule_survives_its_config(schedule):
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(k)) for k in range(9)] == [float(schedule(k)) for k in range(9)]


def test_optimizer_follows_the_recipe():
    adam = make_optimizer("adam", learning_rate=1.0, steps=8, schedule="one_cycle", epsilon=1e-5)
    assert adam.epsilon == 1e-5
    assert float(adam.learning_rate) == pytest.approx(1 / 25)
    stepped = make_optimizer(
        "adamw", learning_rate=1.0, steps=8, schedule="step", decay_steps=2, decay_factor=0.5
    )
    stepped.iterations.assign(5)
    assert float(stepped.learning_rate) == pytest.approx(0.25)


# === Weight decay, clipping, accumulation ===


def test_decay_spares_biases_and_norms_and_nothing_else():
    """Without a gradient AdamW multiplies by 1 - rate * decay (Loshchilov and Hutter 2019)."""
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, name="relative_bias", bias_initializer="ones")(inputs)
    hidden = keras.layers.LayerNormalization(name="beta_block", beta_initializer="ones")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2, bias_initializer="ones")(hidden))
    trained = model.trainable_variables
    before = [np.array(variable) for variable in trained]
    optimizer = make_optimizer("adamw", learning_rate=0.1, steps=1, weight_decay=0.5)
    optimizer.build(trained)
    optimizer.apply([keras.ops.zeros_like(variable) for variable in trained], trained)
    for variable, was in zip(trained, before, strict=True):
        factor = 0.95 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable, factor * was, rtol=1e-6, err_msg=variable.path)


def test_gradient_is_clipped_by_its_norm_over_all_variables():
    """Adam forgets the scale of a gradient, but not within its epsilon: that tells the norm."""
    (kernel, bias), epsilon = variables(), 1e3
    gradients = [np.float32([[3.0, 0.0], [0.0, 0.0]]), np.float32([0.0, 4.0])]  # norm 5
    before = [np.array(kernel), np.array(bias)]
    optimizer = make_optimizer("adam", learning_rate=1.0, steps=1, epsilon=epsilon, clip_norm=1.0)
    optimizer.build([kernel, bias])
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], [kernel, bias])
    for variable, was, gradient in zip((kernel, bias), before, gradients, strict=True):
        # The first step moves by m * sqrt(1 - b2) / (1 - b1) / (sqrt(v) + epsilon).
        m, v = 0.1 * gradient / 5, 0.001 * np.square(gradient / 5)
        step = m * math.sqrt(0.001) / 0.1 / (np.sqrt(v) + epsilon)
        np.testing.assert_allclose(was - np.array(variable), step, atol=2e-7)


@pytest.mark.parametrize("factor", [None, 0.1])
@pytest.mark.parametrize("schedule", ["constant", "linear", "one_cycle"])
def test_accumulated_gradients_train_as_their_means(schedule, factor):
    """Seven batches of two are three updates, at the rates of three; one batch is left over."""
    random = np.random.default_rng(5)
    given = [[random.normal(size=shape).astype("float32") for shape in ((2, 2), (2,))]
             for _ in range(7)]  # fmt: skip
    common = {
        "learning_rate": 0.1, "steps": 3, "schedule": schedule, "weight_decay": 0.1,
        "clip_norm": 0.5,
    }  # fmt: skip
    ends = []
    for accumulation in (2, 1):
        trained = variables()
        factors = {"rate_factors": {trained[0].path: factor}} if factor else {}
        optimizer = make_optimizer("adamw", accumulation=accumulation, **common, **factors)
        optimizer.build(trained)
        feed = given
        if accumulation == 1:
            feed = [
                [(a + b) / 2 for a, b in zip(*given[k : k + 2], strict=True)] for k in (0, 2, 4)
            ]
        for gradients in feed:
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], trained)
        ends.append([np.array(variable) for variable in trained])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_small_batches_accumulated_are_one_big_batch():
    """Through `fit`, with an embedding, whose gradient is sparse."""
    random = np.random.default_rng(6)
    tokens, labels = random.integers(0, 9, (16, 5)), random.integers(0, 3, 16)
    ends = []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Embedding(9, 4),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(3),
            ]
        )
        optimizer = make_optimizer(
            "adamw", learning_rate=0.05, steps=4, schedule="cosine", accumulation=accumulation
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        model.fit(tokens, labels, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_token_twice_in_a_batch_has_one_gradient(clip_norm):
    """The rows of an embedding's sparse gradient count by their sum."""
    ends = []
    for sparse in (True, False):
        table = keras.Variable(np.ones((3, 2), "float32"), name="embeddings")
        optimizer = make_optimizer("adam", learning_rate=0.1, steps=3, clip_norm=clip_norm)
        optimizer.build([table])
        rows = tf.constant([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
        given = tf.IndexedSlices(rows, tf.constant([0, 0, 2]), tf.constant([3, 2]))
        for _ in range(3):
            whole = tf.constant([[4.0, 1.0], [0.0, 0.0], [0.5, 0.5]])
            optimizer.apply([given if sparse else whole], [table])
        ends.append(np.array(table))
    np.testing.assert_allclose(*ends, atol=1e-7)


# === Rates that differ from layer to layer ===


def variables() -> list[keras.Variable]:
    kernel = keras.Variable([[1.0, -2.0], [0.5, 3.0]], name="kernel")
    return [kernel, keras.Variable([0.5, -0.25], name="bias")]


def train(optimizer: keras.optimizers.Optimizer, trained: list[keras.Variable]) -> list[np.ndarray]:
    """Four steps of given gradients."""
    optimizer.build(trained)
    gradients = {2: [[0.1, -0.2], [0.3, 0.05]], 1: [0.4, -0.3]}
    for step in range(4):
        given = [
            np.float32(gradients[len(variable.shape)])
            * (step - 1.5 if len(variable.shape) == 2 else step + 1)
            for variable in trained
        ]
        optimizer.apply([keras.ops.convert_to_tensor(values) for values in given], trained)
    return [np.asarray(variable) for variable in trained]


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_scaled_rates_are_those_of_two_trainings(name):
    """Each variable moves and decays as in a training of its own at its own rate."""
    common = {"steps": 4, "weight_decay": 0.1, "schedule": "linear"}
    together = variables()
    optimizer = make_optimizer(
        name, learning_rate=0.1, rate_factors={together[0].path: 0.1}, **common
    )
    kernel, bias = train(optimizer, together)
    (alone,) = train(make_optimizer(name, learning_rate=0.01, **common), variables()[:1])
    np.testing.assert_allclose(kernel, alone, rtol=1e-6)
    (alone,) = train(make_optimizer(name, learning_rate=0.1, **common), variables()[1:])
    np.testing.assert_allclose(bias, alone, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("adam", [[1.0220279694, -2.0220279694], [0.5220280290, 3.0220279694]]),
        ("adamw", [[1.0179821253, -2.0139882565], [0.5199792385, 3.0099942684]]),
    ],
)
def test_scaled_rates_are_those_of_torch(name, kernel):
    """Two parameter groups, lr 0.01 and 0.1, eps 1e-8; weight decay 0.1 on the first alone."""
    trained = variables()
    optimizer = make_optimizer(
        name,
        learning_rate=0.1,
        steps=4,
        weight_decay=0.1,
        rate_factors={trained[0].path: 0.1},
    )
    got = train(optimizer, trained)
    # Keras rounds the bias correction to float32, torch does not.
    np.testing.assert_allclose(got[0], kernel, atol=1e-5)
    np.testing.assert_allclose(got[1], [0.1116406098, 0.1383593678], atol=1e-5)


def test_scaled_optimizer_survives_its_config():
    trained = variables()
    optimizer = make_optimizer(
        "adamw", learning_rate=0.1, steps=4, rate_factors={trained[0].path: 0.5}
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    again.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    for one, other in zip(train(optimizer, trained), train(again, variables()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_rates_grow_by_the_same_ratio_from_layer_to_layer():
    """Two recurrent layers; embeddings, their normalisation and two transformer layers."""
    frames = keras.Input((None, 3), name="frames")
    frames_mask = keras.Input((None,), dtype="bool", name="frames_mask")
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    token_mask = keras.Input((None,), dtype="bool", name="token_mask")
    voice, _ = BLSTM(2, num_layers=2, name="speech_encoder")(frames, frames_mask)
    words, _ = BERT(9, 4, 2, 2, 4, name="text_encoder")(token_ids, token_mask)
    pooled = keras.layers.Concatenate()([voice[:, 0], words[:, 0]])
    logits = keras.layers.Dense(3, name="logits")(pooled)
    model = keras.Model([frames, frames_mask, token_ids, token_mask], logits)

    factors = encoder_rate_factors(model, lowest=0.01)
    of_layer = {}
    for path, factor in factors.items():
        depth = 3 if "/recurrent/" in path else 2
        of_layer.setdefault("/".join(path.split("/")[:depth]), set()).add(round(factor, 6))
    ratio = 0.01 ** (1 / 5)
    assert of_layer == {
        "speech_encoder/recurrent/bidirectional_0": {0.01},
        "speech_encoder/recurrent/bidirectional_1": {1.0},
        "text_encoder/token_embedding": {0.01},
        "text_encoder/position_embedding": {round(0.01 / ratio, 6)},
        "text_encoder/segment_embedding": {round(0.01 / ratio**2, 6)},
        "text_encoder/embeddings_layer_norm": {round(0.01 / ratio**3, 6)},
        "text_encoder/transformer_layer_0": {round(0.01 / ratio**4, 6)},
        "text_encoder/transformer_layer_1": {1.0},
    }
    assert set(factors) == {v.path for v in model.trainable_variables[:-2]}
    model.get_layer("text_encoder").frozen = True
    assert all(path.startswith("speech_encoder/") for path in encoder_rate_factors(model, 0.5))
    with pytest.raises(ValueError, match="`lowest` must be in"):
        encoder_rate_factors(model, 2.0)


def test_depth_counts_through_an_upstream_and_the_encoder_behind_it():
    """Two recurrent layers, then two more; frozen, the first two have no rates and no depth."""
    frames = keras.Input((None, 3), name="frames")
    frames_mask = keras.Input((None,), dtype="bool", name="frames_mask")
    upstream = BLSTM(2, num_layers=2, name="speech_upstream")
    behind = BLSTM(2, num_layers=2, name="speech_encoder")
    model = keras.Model([frames, frames_mask], behind(*upstream(frames, frames_mask)))

    def factors() -> dict[str, float]:
        rates = encoder_rate_factors(model, lowest=0.001)
        assert set(rates) == {variable.path for variable in model.trainable_variables}
        return {path.partition("/forward")[0]: rate for path, rate in rates.items()}

    assert {path: rate for path, rate in factors().items() if "backward" not in path} == {
        "speech_upstream/recurrent/bidirectional_0": pytest.approx(0.001),
        "speech_upstream/recurrent/bidirectional_1": pytest.approx(0.01),
        "speech_encoder/recurrent/bidirectional_0": pytest.approx(0.1),
        "speech_encoder/recurrent/bidirectional_1": 1.0,
    }
    upstream.frozen = True
    assert {path: rate for path, rate in factors().items() if "backward" not in path} == {
        "speech_encoder/recurrent/bidirectional_0": pytest.approx(0.001),
        "speech_encoder/recurrent/bidirectional_1": 1.0,
    }


@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_adam_in_one_operation_moves_as_keras_own(clip_norm):
    """With an epsilon that counts, and gradients that are longer than permitted."""
    options = {"learning_rate": 1e-2, "epsilon": 1e-3, "global_clipnorm": clip_norm}
    draw = np.random.default_rng(0)
    starts = [draw.normal(size=shape) for shape in ((3, 4), (4,))]
    gradients = [[draw.normal(size=start.shape) for start in starts] for _ in range(4)]
    moved = []
    for made in (keras.optimizers.Adam(**options), Adam(**options)):
        variables = [keras.Variable(start) for start in starts]
        made.build(variables)
        for step in gradients:
            made.apply([tf.constant(one, "float32") for one in step], variables)
        moved.append([variable.numpy() for variable in variables])
    for expected, got in zip(*moved, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)
