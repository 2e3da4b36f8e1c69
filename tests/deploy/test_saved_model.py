"""A bundle as a SavedModel: what it answers to raw audio and text, and who can read it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from small_bundle import LABELS, SPEECH, TEXT, make_bundle, noise
from tensorflow_serving.apis import prediction_log_pb2

from mmer_tf import cli, export
from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.deploy import saved_model
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.deploy.warm_up import write_warm_up

VOICES = [noise(0.4, 1), noise(0.9, 2), None, noise(0.02, 3), noise(3.3, 4), None]
WORDS = ["Never again.", "", "Good morning!", "zyx <sil> [SEP] É", "I can't believe it.", ""]
"""Both, no words, no voice, two frames, longer than the recipe's crop, and nothing at all."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("runs") / "small"
    make_bundle(speech=SPEECH, text=TEXT, fusion="gmu").save(folder)
    return Bundle.load(folder)


@pytest.fixture(scope="module")
def exported(bundle: Bundle, tmp_path_factory) -> Path:
    return export_saved_model(bundle, tmp_path_factory.mktemp("served") / "emotion")


@pytest.fixture(scope="module")
def served(exported: Path):
    return tf.saved_model.load(str(exported)).signatures


def padded(voices, garbage: float = 0.7) -> dict[str, tf.Tensor]:
    """Clips in one batch, with what must not be heard behind each."""
    lengths = [0 if voice is None else len(voice) for voice in voices]
    waveform = np.full((len(voices), max(lengths) + 50), garbage, "float32")
    for row, (voice, length) in enumerate(zip(voices, lengths, strict=True)):
        waveform[row, :length] = 0 if voice is None else voice
    return {"waveform": tf.constant(waveform), "num_samples": tf.constant(lengths, tf.int32)}


def wav(voice: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, voice, rate, subtype, format="WAV")
    return stream.getvalue()


def expected(bundle: Bundle, voices, words) -> np.ndarray:
    answers = bundle.predict(voices, words)
    return np.array([list(answer.probabilities.values()) for answer in answers])


def test_batch_of_raw_input_is_answered_as_each_alone_by_keras(bundle: Bundle, served):
    answer = served["serving_default"](**padded(VOICES), transcript=tf.constant(WORDS))
    truth = expected(bundle, VOICES[:-1], WORDS[:-1])
    assert np.ptp(truth, axis=0).max() > 0.1
    np.testing.assert_allclose(answer["probabilities"][:-1], truth, atol=1e-5)
    names = [LABELS[k].encode() for k in truth.argmax(axis=1)]
    assert answer["label"].numpy().tolist() == [*names, b""]
    assert answer["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 6


def test_row_without_voice_and_words_leaves_all_classes_equal(served):
    answer = served["serving_default"](**padded(VOICES), transcript=tf.constant(WORDS))
    np.testing.assert_allclose(answer["probabilities"][-1], np.full(3, 1 / 3), atol=1e-7)


def test_explanations_are_those_of_keras(bundle: Bundle, served):
    answer = served["serving_default"](**padded(VOICES[:1]), transcript=tf.constant(WORDS[:1]))
    (keras,) = bundle.predict(VOICES[:1], WORDS[:1])
    for name in ("speech_attention", "text_attention", "gate"):
        truth = getattr(keras, name)
        np.testing.assert_allclose(answer[name][0, : len(truth)], truth, atol=1e-5)
        assert not np.any(answer[name][0, len(truth) :])


def test_wav_files_are_decoded(bundle: Bundle, served, tmp_path: Path):
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for file, clip in zip(files, VOICES, strict=False):
        file.write_bytes(wav(clip))
    contents = tf.constant([*(file.read_bytes() for file in files), b""])
    answer = served["wav"](wav=contents, transcript=tf.constant(WORDS[:3]))
    truth = expected(bundle, [*map(decode, files), None], WORDS[:3])
    np.testing.assert_allclose(answer["probabilities"], truth, atol=1e-5)


@pytest.mark.parametrize(
    "file",
    [wav(noise(0.1, 1), rate=8_000), wav(np.stack([noise(0.1, 1)] * 2, 1)), b"no sound file"],
    ids=["8 kHz", "stereo", "text"],
)
def test_other_files_are_refused(served, file: bytes):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served["wav"](wav=tf.constant([file]), transcript=tf.constant([""]))


def test_stored_features_are_scored(bundle: Bundle, served):
    draw = np.random.default_rng(0)
    batch = {
        "has_speech": np.array([True, True]),
        "has_text": np.array([True, False]),
        "log_mel": draw.normal(-6, 3, (2, 30, 64)).astype("float32"),
        "log_mel_mask": np.arange(30)[None] < np.array([[30], [12]]),
        "token_ids": np.array([[2, 5, 6, 3], [2, 7, 3, 0]], "int32"),
        "token_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool),
    }
    answer = served["features"](**{name: tf.constant(value) for name, value in batch.items()})
    np.testing.assert_allclose(answer["probabilities"], bundle.probabilities(batch), atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "signatures", "given"),
    [
        (
            {"speech": SPEECH},
            {"serving_default", "wav", "features"},
            {"waveform": noise(0.4, 1)[None], "num_samples": np.array([6_400], "int32")},
        ),
        ({"text": TEXT}, {"serving_default", "features"}, {"transcript": [b"Never again."]}),
    ],
    ids=["speech", "text"],
)
def test_bundle_of_one_modality_takes_its_own_inputs(tmp_path: Path, parts, signatures, given):
    folder = export_saved_model(make_bundle(**parts), tmp_path / "emotion")
    loaded = tf.saved_model.load(str(folder)).signatures
    assert set(loaded) == signatures
    default = loaded["serving_default"]
    assert set(default.structured_input_signature[1]) == set(given)
    present = {name: tf.constant(value) for name, value in given.items()}
    absent = {name: tf.zeros_like(value) for name, value in present.items()}
    labels = [default(**inputs)["label"].numpy()[0].decode() for inputs in (present, absent)]
    assert labels[0] in LABELS and labels[1] == ""


def test_descriptors_are_answered_as_stored_features_are(tmp_path: Path):
    bundle = make_bundle(speech=SPEECH | {"feature": "lld"})
    served = tf.saved_model.load(str(export_saved_model(bundle, tmp_path / "emotion"))).signatures
    assert set(served) == {"serving_default", "features"}
    lld = np.random.default_rng(1).normal(size=(3, 130, 65)).astype("float32")
    answer = served["serving_default"](lld=tf.constant(lld), num_frames=tf.constant([130, 40, 0]))
    # Cropped to the middle second, as the recipe says; the second row is shorter than that.
    for row, values in enumerate((lld[:1, 15:115], lld[1:2, :40])):
        valid = np.ones(values.shape[:2], bool)
        (truth,) = bundle.probabilities({"lld": values, "lld_mask": valid})
        np.testing.assert_allclose(answer["probabilities"][row], truth, atol=1e-5)
    assert answer["label"].numpy()[2] == b""


def test_lemmas_are_refused(tmp_path: Path):
    bundle = make_bundle(text=TEXT, data={"cleaning": "lemmas"})
    with pytest.raises(BundleError, match=r"data\.cleaning=sentences"):
        export_saved_model(bundle, tmp_path / "emotion")


def test_folder_tells_what_is_served(bundle: Bundle, exported: Path):
    extra = exported / "assets.extra"
    described = json.loads((extra / "mmer_tf.json").read_text())
    assert exported.name == "1" and described["format_version"] == 1
    assert described["labels"] == list(LABELS)
    assert (extra / "labels.txt").read_text().split() == list(LABELS)
    assert described["run"] == "small" and described["modalities"] == ["speech", "text"]
    assert (extra / "recipe.yaml").read_text() == (bundle.folder / "recipe.yaml").read_text()
    card = (extra / "model_card.md").read_text()
    assert card.startswith("# Model card: small") and "Not evaluated" in card


def test_warm_up_requests_are_answered(exported: Path, served):
    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    requests = [log.predict_log.request for log in logs]
    assert {request.model_spec.name for request in requests} == {"emotion"}
    assert {request.model_spec.signature_name for request in requests} == {"serving_default", "wav"}
    for request in requests:
        inputs = {name: tf.constant(tf.make_ndarray(one)) for name, one in request.inputs.items()}
        assert served[request.model_spec.signature_name](**inputs)["label"].numpy()[0]


MODEL_SERVER = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text

folder, request, answer = sys.argv[1:]
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    given = np.load(request)
    feed = {signature.inputs[name].name: given[name] for name in signature.inputs}
    fetch = {name: tensor.name for name, tensor in signature.outputs.items()}
    np.savez(answer, **session.run(fetch, feed))
assert not any(name.split(".")[0] in ("mmer_tf", "keras_hub") for name in sys.modules)
"""


def test_process_without_this_package_answers_alike_on_real_clips(
    bundle: Bundle, exported: Path, real_clips: list[Path], tmp_path: Path
):
    """The v1 loader does what the model server's C++ does."""
    voices = [decode(clip) for clip in real_clips]
    words = ["I can't believe it.", ""] * 4
    request = {name: tensor.numpy() for name, tensor in padded(voices).items()}
    np.savez(tmp_path / "request.npz", **request, transcript=np.array(words))
    arguments = [exported, tmp_path / "request.npz", tmp_path / "answer.npz"]
    subprocess.run(
        [sys.executable, "-c", MODEL_SERVER, *map(str, arguments)],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    answer = np.load(tmp_path / "answer.npz")
    np.testing.assert_allclose(answer["probabilities"], expected(bundle, voices, words), atol=1e-5)


def test_command_writes_the_next_version_and_overwrites_none(
    bundle: Bundle, tmp_path: Path, capsys
):
    folder = tmp_path / "emotion"
    (folder / "7").mkdir(parents=True)
    arguments = ["--run", str(bundle.folder), "--out", str(folder)]
    assert cli.run(export.main, export.make_parser(), arguments) == 0
    assert (folder / "8" / "saved_model.pb").is_file()
    assert str(folder / "8") in capsys.readouterr().out
    with pytest.raises(BundleError, match="another version"):
        export_saved_model(bundle, folder, version=7)
    assert sorted(path.name for path in folder.iterdir()) == ["7", "8"]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch):
    """Runs something when the next export has nearly finished."""

    def arrange(other) -> None:
        def write(*arguments):
            monkeypatch.setattr(saved_model, "write_warm_up", write_warm_up)
            other()
            write_warm_up(*arguments)

        monkeypatch.setattr(saved_model, "write_warm_up", write)

    return arrange


def test_two_exports_at_the_same_moment_take_a_version_each(tmp_path: Path, meanwhile):
    bundle, folder, others = make_bundle(text=TEXT), tmp_path / "emotion", []
    killed = folder / "partial-1"
    killed.mkdir(parents=True)
    meanwhile(lambda: others.append(export_saved_model(bundle, folder)))
    versions = [export_saved_model(bundle, folder), *others]
    assert sorted(versions) == [folder / "1", folder / "2"]
    assert sorted(folder.iterdir()) == [*sorted(versions), killed]
    plain = tmp_path / "plain"
    plain.mkdir()
    for version in versions:
        assert set(tf.saved_model.load(str(version)).signatures) == {"serving_default", "features"}
        assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()
        assert version.stat().st_mode == plain.stat().st_mode  # others may read it


def test_next_version_that_is_taken_at_once_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By an export that ends between the look at the folder and the move."""

    def next_version_and_another(folder: Path) -> int:
        monkeypatch.undo()
        (folder / "1" / "assets").mkdir(parents=True)
        return 1

    monkeypatch.setattr(saved_model, "next_version", next_version_and_another)
    folder = export_saved_model(make_bundle(text=TEXT), tmp_path / "emotion")
    assert folder.name == "2" and (folder / "saved_model.pb").is_file()
    assert [path.name for path in (tmp_path / "emotion" / "1").iterdir()] == ["assets"]


def test_version_that_was_taken_meanwhile_is_left_as_it_is(tmp_path: Path, meanwhile):
    bundle, folder = make_bundle(text=TEXT), tmp_path / "emotion"

    def other() -> None:
        (folder / "5").mkdir()
        (folder / "5" / "saved_model.pb").write_text("another's")

    meanwhile(other)
    with pytest.raises(BundleError, match="5 is there already; export another version"):
        export_saved_model(bundle, folder, version=5)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == [
        "5",
        "5/saved_model.pb",
    ]
    assert (folder / "5" / "saved_model.pb").read_text() == "another's"
