"""HuBERT, wav2vec 2.0 and WavLM: every hidden state, published folders, clips of any length."""

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from mmer_tf.hub import HubError
from mmer_tf.models.encoders.hubert import HuBERT
from mmer_tf.models.encoders.relative_position_bias import (
    RelativePositionBias,
    distance_buckets,
)
from mmer_tf.models.encoders.wav2vec2 import Wav2Vec2
from mmer_tf.models.encoders.wavlm import WavLM
from mmer_tf.models.weights.checkpoint import Checkpoint
from mmer_tf.models.weights.speech_transformer import SIZES, WAVLM_SIZES, normalises, sizes_of

FOLDER = Path(__file__).resolve().parents[1] / "golden"
CLASSES = {"hubert": HuBERT, "wav2vec2": Wav2Vec2, "wavlm": WavLM}
VARIANTS = sorted(
    file.stem.removeprefix("hidden_states_")
    for family in CLASSES
    for file in FOLDER.glob(f"hidden_states_{family}_*.npz")
)
TINY = {
    "conv_dims": (4, 4),
    "conv_kernels": (10, 4),
    "conv_strides": (5, 4),
    "hidden_dim": 8,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_dim": 8,
    "position_kernel": 4,
    "position_groups": 2,
}


class Variant:
    """A stored reference model: what it was asked, what it answered, and its folder."""

    def __init__(self, name: str):
        with np.load(FOLDER / f"hidden_states_{name}.npz") as arrays:
            self.arrays = dict(arrays)
        self.layer_class = CLASSES[name.partition("_")[0]]
        self.options = json.loads(str(self.arrays["options"]))
        self.inputs = self.arrays["input/waveform"], self.arrays["input/num_samples"]
        self.states = self.arrays["output/hidden_states"]
        self.last = self.arrays["output/sequence"]
        self.mask = self.arrays["output/mask"]
        self.checkpoint = {
            path.removeprefix("checkpoint/"): array
            for path, array in self.arrays.items()
            if path.startswith("checkpoint/")
        }

    def write(self, folder: Path, checkpoint=None, preprocessor=None, **config) -> str:
        """A folder in Hugging Face layout."""
        config = json.loads(str(self.arrays["config"])) | config
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        safetensors.numpy.save_file(checkpoint or self.checkpoint, folder / "model.safetensors")
        if preprocessor is not None:
            (folder / "preprocessor_config.json").write_text(preprocessor, encoding="utf-8")
        return str(folder)


@pytest.fixture(params=VARIANTS)
def any_variant(request):
    return Variant(request.param)


@pytest.fixture
def hubert():
    return Variant("hubert_large")


def test_every_hidden_state_equals_transformers(any_variant, tmp_path):
    weights = any_variant.write(tmp_path)
    encoder = any_variant.layer_class.from_pretrained(weights, layers=range(3))
    states, mask = encoder(*any_variant.inputs)
    np.testing.assert_array_equal(mask, any_variant.mask)
    np.testing.assert_allclose(states, any_variant.states, atol=1e-4)

    encoder = any_variant.layer_class.from_pretrained(weights)
    config = json.loads(json.dumps(encoder.get_config()))
    assert {name: config[name] for name in any_variant.options} == any_variant.options
    sequence, mask = encoder(*any_variant.inputs)
    np.testing.assert_array_equal(mask, any_variant.mask)
    np.testing.assert_allclose(sequence, any_variant.last, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "layers"), [("hubert_large", (0,)), ("hubert_large", (2, 0)), ("wavlm_base", (1,))]
)
def test_layers_in_any_order_and_nothing_above_them(name, layers, tmp_path):
    variant = Variant(name)
    encoder = variant.layer_class.from_pretrained(variant.write(tmp_path), layers=layers)
    assert encoder.num_layers == 2
    states, _ = encoder(*variant.inputs)
    np.testing.assert_allclose(states, variant.states[:, :, list(layers)], atol=1e-4)
    layers_built = {w.path.partition("transformer_layer_")[2][:1] for w in encoder.weights}
    assert layers_built - {""} == set("01"[: max(layers)])


def test_saved_model_with_chosen_layers(tmp_path):
    encoder = WavLM(**TINY, layers=[1], frozen=True)
    inputs = [keras.Input((None,)), keras.Input((), dtype="int32")]
    model = keras.Model(inputs, encoder(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    arrays = [np.random.default_rng(1).normal(size=(2, 200)), np.int32([200, 90])]
    states, mask = model(arrays)
    assert states.shape == (2, 9, 1, 8)
    np.testing.assert_array_equal(np.sum(mask, axis=1), [9, 4])
    np.testing.assert_allclose(loaded(arrays)[0], states, atol=1e-6)


@pytest.mark.parametrize("name", ["hubert_base", "wavlm_large"])
def test_older_spellings_and_the_heads_of_other_tasks(name, tmp_path):
    """As a model fine-tuned for transcription, stored by an older torch."""
    variant = Variant(name)
    family = variant.layer_class.model_type
    older = {}
    for path, array in variant.checkpoint.items():
        path = path.replace("parametrizations.weight.original0", "weight_g")
        path = path.replace("parametrizations.weight.original1", "weight_v")
        older[f"{family}.{path}"] = array
    older |= {"lm_head.weight": np.zeros((5, 3), "float32"), "lm_head.bias": np.zeros(5)}
    older |= {"quantizer.codevectors": np.zeros(3), "project_hid.weight": np.zeros((2, 2))}
    encoder = variant.layer_class.from_pretrained(variant.write(tmp_path, older))
    np.testing.assert_allclose(encoder(*variant.inputs)[0], variant.last, atol=1e-4)


def test_partial_checkpoint_is_refused(hubert, tmp_path):
    bias = "encoder.layers.1.attention.k_proj.bias"
    fewer = {name: array for name, array in hubert.checkpoint.items() if name != bias}
    with pytest.raises(HubError, match=f"missing: {bias}"):
        HuBERT.from_pretrained(hubert.write(tmp_path, fewer))


def test_checkpoint_with_another_layer_is_refused(hubert, tmp_path):
    more = hubert.checkpoint | {"encoder.layers.2.layer_norm.bias": np.zeros(16, "float32")}
    with pytest.raises(HubError, match=r"unexpected: encoder\.layers\.2\.layer_norm\.bias"):
        HuBERT.from_pretrained(hubert.write(tmp_path, more), layers=[1])


def test_checkpoint_of_another_size_is_refused(hubert, tmp_path):
    with pytest.raises(HubError, match=r"of another shape: .*\(16, 24\) instead of \(16, 20\)"):
        HuBERT.from_pretrained(hubert.write(tmp_path, intermediate_size=20))


def test_another_model_is_refused(hubert, tmp_path):
    with pytest.raises(HubError, match="a model of type 'hubert', not wavlm"):
        WavLM.from_pretrained(hubert.write(tmp_path))


@pytest.mark.parametrize(
    ("field", "value"), [("hidden_act", "relu"), ("conv_pos_batch_norm", True)]
)
def test_variant_that_is_not_built_is_refused(hubert, tmp_path, field, value):
    with pytest.raises(HubError, match=f"config.json has {field}={value}"):
        HuBERT.from_pretrained(hubert.write(tmp_path, **{field: value}))


@pytest.mark.parametrize("family", CLASSES)
def test_fields_must_be_of_their_kind(family, tmp_path):
    """Every size, by a value that no field takes."""
    variant = Variant(next(name for name in VARIANTS if name.startswith(family)))
    for field, _ in (SIZES | (WAVLM_SIZES if family == "wavlm" else {})).values():
        with pytest.raises(HubError, match=rf"config\.json has {field}=None instead of .*; downl"):
            variant.layer_class.from_pretrained(variant.write(tmp_path, **{field: None}))


def test_fields_that_are_left_out_are_those_of_the_base_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wavlm"}), encoding="utf-8")
    safetensors.numpy.save_file({}, tmp_path / "model.safetensors")
    sizes = sizes_of(Checkpoint.find(tmp_path))
    assert sizes == {ours: known for ours, (_, known) in (SIZES | WAVLM_SIZES).items()}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"do_normalize": false, "sampling_rate": 16000}', False),
        ('{"do_normalize": true}', True),
        ('{"feature_extractor": {"do_normalize": false}}', False),
        ("{}", True),
    ],
)
def test_preprocessor_says_whether_to_normalise(hubert, tmp_path, content, expected):
    checkpoint = Checkpoint.find(hubert.write(tmp_path, preprocessor=content))
    assert normalises(checkpoint, default=not expected) is expected


def test_preprocessor_is_heard_and_can_be_overruled(hubert, tmp_path):
    folder = hubert.write(tmp_path, preprocessor='{"do_normalize": false}')
    assert not HuBERT.from_pretrained(folder, layers=[0]).normalise
    assert HuBERT.from_pretrained(folder, layers=[0], normalise=True).normalise


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no fields with names"),
        ('{"feature_extractor": 3}', "has feature_extractor=3 instead of fields with names"),
        ('{"do_normalize": "yes"}', "has do_normalize='yes' instead of true or false"),
        ('{"sampling_rate": 8000}', "a sampling_rate of 8000 Hz"),
    ],
)
def test_preprocessor_that_cannot_be_followed(hubert, tmp_path, content, message):
    with pytest.raises(HubError, match=message):
        HuBERT.from_pretrained(hubert.write(tmp_path, preprocessor=content))


def test_steps_are_those_of_the_published_convolutions():
    encoder = HuBERT(num_layers=1, hidden_dim=16, num_heads=1, intermediate_dim=1)
    assert encoder.samples_per_step == 320
    assert encoder.features.samples_seen == 400
    samples = np.int32([0, 1, 399, 400, 719, 720, 16000, 48000])
    expected = [1, 1, 1, 1, 1, 2, 49, 149]
    assert [encoder.features.count_frames(int(number)) for number in samples] == expected
    np.testing.assert_array_equal(encoder.features.count_frames(samples), expected)


@pytest.mark.parametrize("feature_norm", ["group", "layer"])
def test_clips_shorter_than_a_step(feature_norm):
    encoder = WavLM(**TINY, feature_norm=feature_norm, conv_bias=True, normalise=True)
    draw = np.random.default_rng(1)
    encoder.build((None, None))
    for weight in encoder.trainable_weights:
        weight.assign(draw.normal(size=weight.shape))
    waveform = draw.normal(size=(4, 300)).astype("float32")
    samples = np.int32([0, 1, 12, 300])
    garbage = np.where(np.arange(300) < samples[:, None], waveform, np.nan).astype("float32")
    sequence, mask = encoder(garbage, samples)
    np.testing.assert_array_equal(np.sum(mask, axis=1), [0, 1, 1, 15 - 1])
    assert np.isfinite(sequence).all()
    np.testing.assert_array_equal(np.any(sequence, axis=-1), mask)
    for row in (1, 2):
        alone, alone_mask = encoder(waveform[row : row + 1, : samples[row]], samples[row : row + 1])
        assert alone.shape == (1, 1, 8) and np.all(alone_mask)
        np.testing.assert_allclose(alone, sequence[row : row + 1, :1], atol=1e-5)


def test_buckets_of_relative_positions_equal_transformers():
    golden = np.load(FOLDER / "position_buckets.npz")
    options = json.loads(str(golden["options"]))
    half = options["num_buckets"] // 2
    buckets = distance_buckets(half, options["max_distance"])
    distances = np.minimum(np.arange(1000), options["max_distance"])
    np.testing.assert_array_equal(buckets[distances], golden["output/before"])
    wanted = golden["output/behind"] - half * (np.arange(1000) > 0)
    np.testing.assert_array_equal(buckets[distances], wanted)

    layer = RelativePositionBias(num_heads=1, **options)
    layer.build((None, None, 1))
    layer.embeddings.assign(np.arange(2 * half)[:, None])
    bias = np.array(layer(np.zeros((1, 900, 1))))[0]
    np.testing.assert_array_equal(bias[0], golden["output/behind"][:900])  # keys after step 0
    np.testing.assert_array_equal(bias[:, 0], golden["output/before"][:900])


def test_frozen_or_with_dropout(hubert, tmp_path):
    encoder = HuBERT.from_pretrained(hubert.write(tmp_path), frozen=True, dropout=0.5)
    assert not encoder.trainable_weights
    np.testing.assert_allclose(encoder(*hubert.inputs, training=True)[0], hubert.last, atol=1e-4)
    encoder.frozen = False
    assert len(encoder.trainable_weights) == len(hubert.checkpoint) - 1  # masked_spec_embed
    assert np.abs(encoder(*hubert.inputs, training=True)[0] - hubert.last).max() > 0.1


@pytest.mark.parametrize("layer_class", CLASSES.values())
def test_default_sizes_are_those_of_the_base_model(layer_class):
    arguments = inspect.signature(layer_class).parameters
    sizes = SIZES | (WAVLM_SIZES if layer_class is WavLM else {})
    for argument, (_, published) in sizes.items():
        assert arguments[argument].default == published


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 0}, "`hidden_dim` must be >= 1. Received: hidden_dim=0"),
        ({"num_layers": 0}, "`num_layers` must be >= 1"),
        ({"num_heads": 3}, "`hidden_dim` must be a multiple of `num_heads`"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        ({"layers": [3]}, "`layers` must be different numbers from 0 to 2"),
        ({"conv_strides": (5,)}, "must be equally long"),
        ({"conv_kernels": (10, 0)}, "must be >= 1"),
        ({"feature_norm": "batch"}, "`feature_norm` must be one of group, layer"),
        ({"position_kernel": 0}, "`position_kernel` must be >= 1"),
        ({"position_groups": 3}, "`hidden_dim` must be a multiple of `position_groups`"),
        ({"num_buckets": 6}, "`num_buckets` must be a multiple of 4"),
        ({"max_bucket_distance": 80}, "`max_bucket_distance` must be above num_buckets / 4"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        WavLM(**TINY | options).build((None, None))
