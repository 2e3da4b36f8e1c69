"""A .tflite file answers as the bundle that it was made of."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_bundle import LABELS, MAX_SECONDS, SPEECH, TEXT, make_bundle, noise
from tensorflow.lite.python import schema_py_generated as schema

from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.deploy.lite_convert import convert
from mmer_tf.deploy.lite_export import LiteExport, add_figures, default_quantisation, measure
from mmer_tf.deploy.lite_file import LiteFile, LiteFileError
from mmer_tf.deploy.tflite import LiteRTClassifier
from mmer_tf.modalities import NothingToReadError
from mmer_tf.types import SAMPLE_RATE

CASES = [
    (noise(0.4, 1), "Never again."),
    (noise(0.9, 2), ""),
    (None, "Good morning!"),
    (noise(0.02, 3), "zyx 9"),
    (noise(3.3, 4), "I can't believe it."),
    (noise(0.4, 1), "Never again."),
]
"""Both, no words, no voice, two frames and unknown words, longer than the window, the first anew:
whatever an answer leaves behind must not change another."""


@pytest.fixture(scope="module")
def folder(small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle in every quantisation, with a window as long as the bundle's own."""
    folder = tmp_path_factory.mktemp("lite")
    calibration = [(noise(0.8, seed), "Never again.") for seed in range(20, 26)]
    with LiteExport(small_bundle, MAX_SECONDS, convert) as export:
        for quantisation in ("none", "float16", "dynamic", "int8"):
            export.write(folder / f"{quantisation}.tflite", quantisation, calibration)
    return folder


def probabilities(classifier, cases) -> np.ndarray:
    answers = classifier.predict(*zip(*cases, strict=True))
    return np.array([list(answer.probabilities.values()) for answer in answers])


@pytest.mark.parametrize(
    ("quantisation", "tolerance"),
    [("none", 1e-4), ("float16", 2e-3), ("dynamic", 0.05), ("int8", 0.05)],
)
def test_answers_are_those_of_keras(small_bundle, folder, quantisation, tolerance):
    classifier = LiteRTClassifier(folder / f"{quantisation}.tflite")
    found = probabilities(classifier, CASES)
    expected = probabilities(small_bundle, CASES)
    assert np.ptp(expected, axis=0).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=tolerance)
    np.testing.assert_array_equal(found[0], found[-1])
    assert classifier.labels == LABELS and classifier.hears and classifier.reads


def test_label_is_the_most_probable_class(folder):
    for answer in LiteRTClassifier(folder / "none.tflite").predict(*zip(*CASES, strict=True)):
        assert tuple(answer.probabilities) == LABELS
        assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
        assert sum(answer.probabilities.values()) == pytest.approx(1.0)


def test_real_clips_are_judged_as_by_keras(small_bundle, folder, real_clips):
    cases = [(decode(clip), "Good morning!") for clip in real_clips]
    found = probabilities(LiteRTClassifier(folder / "none.tflite"), cases)
    np.testing.assert_allclose(found, probabilities(small_bundle, cases), atol=1e-4)


def test_window_takes_the_middle(small_bundle, tmp_path):
    with LiteExport(small_bundle, 0.5, convert) as export:
        export.write(tmp_path / "short.tflite", "none")
    classifier = LiteRTClassifier(tmp_path / "short.tflite")
    clip = noise(0.9, 5)
    first = (len(clip) - SAMPLE_RATE // 2) // 2
    middle = clip[first : first + SAMPLE_RATE // 2]
    short = probabilities(classifier, [(clip, "")])
    np.testing.assert_allclose(short, probabilities(small_bundle, [(middle, "")]), atol=1e-4)


def test_operations_are_built_in_and_loops_are_fused(folder):
    interpreter = Interpreter(str(folder / "none.tflite"))
    names = [one["op_name"] for one in interpreter._get_ops_details()]
    assert names.count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 2 and "WHILE" not in names
    inputs = interpreter.get_signature_list()["serving_default"]["inputs"]
    assert sorted(inputs) == [
        "has_speech", "has_text", "num_samples", "token_ids", "token_mask", "waveform",
    ]  # fmt: skip


def test_inputs_that_are_not_resized_hold_the_longest_utterance(folder):
    """What stands behind the clip and the words changes nothing."""
    lite = LiteRTClassifier(folder / "none.tflite")
    interpreter = Interpreter(str(folder / "none.tflite"))
    signature = interpreter.get_signature_runner()
    shapes = {name: one["shape"] for name, one in signature.get_input_details().items()}
    assert shapes["waveform"].tolist() == [1, int(MAX_SECONDS * SAMPLE_RATE)]
    assert shapes["token_ids"].tolist() == shapes["token_mask"].tolist() == [1, 16]
    given = lite.inputs(*CASES[0])
    draw = np.random.default_rng(0)
    filled = {}
    for name, value in given.items():
        full = draw.integers(0, 2, shapes[name]).astype(value.dtype)
        if name == "token_mask":
            full[:] = False
        full[tuple(map(slice, value.shape))] = value
        filled[name] = full
    found = signature(**filled)["probabilities"]
    np.testing.assert_allclose(found[0], probabilities(lite, CASES[:1])[0], atol=1e-5)


def test_weights_begin_where_the_schema_wants_them(folder):
    content = LiteFile.read(folder / "dynamic.tflite").model
    start = np.frombuffer(content, "uint8").__array_interface__["data"][0]
    model = schema.Model.GetRootAsModel(content, 0)
    buffers = (model.Buffers(number) for number in range(model.BuffersLength()))
    large = [one.DataAsNumpy() for one in buffers if one.DataLength() >= 64]
    assert large
    assert {(one.__array_interface__["data"][0] - start) % 16 for one in large} == {0}


def test_modality_that_is_flagged_absent_is_not_heard(folder):
    """Whatever stands in its inputs."""
    lite = LiteRTClassifier(folder / "none.tflite")
    run = Interpreter(str(folder / "none.tflite")).get_signature_runner()
    given = lite.inputs(*CASES[0])
    silent = run(**given | {"has_speech": np.array([False])})["probabilities"]
    np.testing.assert_allclose(silent, probabilities(lite, [(None, CASES[0][1])]), atol=1e-6)
    nothing = {"has_speech": np.array([False]), "has_text": np.array([False])}
    np.testing.assert_allclose(run(**given | nothing)["probabilities"], 1 / 3, atol=1e-6)


def test_fewer_bits_make_smaller_files(folder):
    sizes = {one.stem: one.stat().st_size for one in folder.glob("*.tflite")}
    assert sizes["none"] > sizes["float16"] and sizes["none"] > sizes["int8"]


def test_one_modality_alone(tmp_path):
    voice, words = make_bundle(speech=SPEECH), make_bundle(text=TEXT)
    for bundle, case, other in (
        (voice, (noise(0.3, 1), ""), (None, "Never again.")),
        (words, (None, "Never again."), (noise(0.3, 1), "")),
    ):
        with LiteExport(bundle, MAX_SECONDS, convert) as export:
            export.write(tmp_path / "one.tflite", "none")
        lite = LiteRTClassifier(tmp_path / "one.tflite")
        np.testing.assert_allclose(
            probabilities(lite, [case]), probabilities(bundle, [case]), atol=1e-4
        )
        with pytest.raises(NothingToReadError):
            lite.predict(*zip(other, strict=True))


def test_what_cannot_be_judged_is_refused(folder):
    lite = LiteRTClassifier(folder / "none.tflite")
    with pytest.raises(NothingToReadError, match="neither a recording nor a transcript"):
        lite.predict([None], ["++GARBAGE++"])
    with pytest.raises(NothingToReadError):
        lite.predict([np.zeros(0, "float32")], [""])
    with pytest.raises(ValueError, match=r"one channel.*shape=\(2, 9\)"):
        lite.predict([np.zeros((2, 9))])
    with pytest.raises(ValueError, match="must be finite"):
        lite.predict([np.array([0.0, np.nan])])
    with pytest.raises(ValueError, match="num_threads=0"):
        LiteRTClassifier(folder / "none.tflite", num_threads=0)


def test_damaged_model_is_told(folder, tmp_path):
    lite = LiteFile.read(folder / "none.tflite")
    replace(lite, model=lite.model[:64]).write(tmp_path / "cut.tflite")
    with pytest.raises(LiteFileError, match=r"cut.tflite: damaged; export the run again"):
        LiteRTClassifier(tmp_path / "cut.tflite")


def test_changed_byte_is_told(folder, tmp_path):
    content = bytearray((folder / "none.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "changed.tflite").write_bytes(content)
    with pytest.raises(LiteFileError, match=r"changed.tflite: damaged; export the run again"):
        LiteRTClassifier(tmp_path / "changed.tflite")


def test_threads_may_share_a_classifier(folder):
    lite = LiteRTClassifier(folder / "none.tflite")
    expected = probabilities(lite, CASES)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: probabilities(lite, CASES), range(20)))
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_the_model_card_lies_beside_the_file(small_bundle, tmp_path):
    run = tmp_path / "small"
    small_bundle.save(run)
    (run / "model_card.md").write_text("Trained by us.")
    bundle = replace(small_bundle, folder=run)
    LiteExport(bundle, converter=lambda *_: b"model").write(tmp_path / "x.tflite", "none")
    assert (tmp_path / "x.tflite.md").read_text() == "Trained by us."


def test_figures_are_measured_and_stored(small_bundle, folder, tmp_path):
    lite, file = LiteFile.read(folder / "dynamic.tflite"), tmp_path / "small.tflite"
    lite.write(file)
    cases = CASES[:4]
    figures = measure(small_bundle, file, cases)
    differences = probabilities(LiteRTClassifier(file), cases) - probabilities(small_bundle, cases)
    assert figures.utterances == 4 and figures.agreement in (0, 0.25, 0.5, 0.75, 1)
    assert figures.largest_difference == pytest.approx(np.abs(differences).max(), abs=2e-5)
    described = add_figures(lite, file, figures)
    assert described == json.loads((tmp_path / "small.tflite.json").read_text())
    stored = LiteRTClassifier(file).description
    assert stored["measured"]["agreement"] == figures.agreement
    assert described["bytes"] == file.stat().st_size


def test_default_quantisation_goes_by_the_model(small_bundle):
    assert default_quantisation(small_bundle) == "dynamic"
    assert default_quantisation(make_bundle(text=TEXT)) == "none"


def test_window_that_is_too_short_is_refused(small_bundle):
    with pytest.raises(BundleError, match=r"--max-seconds 0: the window must be at least"):
        LiteExport(small_bundle, 0.0)


def test_classifier_imports_little():
    """A phone's container holds ai-edge-litert, numpy and tokenizers alone."""
    program = (
        "import sys, mmer_tf.deploy.tflite; "
        "heavy = {'tensorflow', 'keras', 'contractions', 'simplemma', 'scipy', 'librosa', "
        "'transformers', 'soundfile', 'yaml', 'pydantic'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
