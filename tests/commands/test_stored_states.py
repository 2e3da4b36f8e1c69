"""Hidden states from their shards to a run that answers: prepare, train, evaluate, predict.

A folder of a user with HuBERT and BERT in `weights/`, named as they are typed there.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from workplace import command, read_json, write_tones

from mmer_tf import cli, prepare
from mmer_tf.audio.decode import decode
from mmer_tf.bundle import Bundle
from mmer_tf.data.manifest import read_dataset
from mmer_tf.deploy.classifier import SavedModelClassifier
from mmer_tf.deploy.saved_model import export_saved_model
from mmer_tf.evaluation.predictions import load_predictions
from mmer_tf.hub import HubError
from mmer_tf.testing_checkpoints import write_tiny_checkpoint

pytestmark = pytest.mark.slow

TRAIN = (
    "--model", "hubert_bert_cross_attention", "--tiny", "--data", "data/tones", "stages=[]",
    "train.epochs=1", "train.learning_rate=0.01",
    "speech.upstream.stored=true", "speech.upstream.weights=weights/hubert",
    "text.upstream.stored=true", "text.upstream.weights=weights/bert",
)  # fmt: skip
"""The tiny recipe keeps its options, which are sizes: those of the weights decide."""


@dataclass(frozen=True)
class Home:
    """The folder that the run was trained in.

    Args:
        folder: with `data/tones` and `weights/`.
        run: the finished run.
    """

    folder: Path
    run: Path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("home")
    dataset = write_tones(folder / "data" / "tones")
    for kind in ("hubert", "bert"):
        write_tiny_checkpoint(kind, folder / "weights" / kind)
    weights = [f"--weights={kind}=weights/{kind}" for kind in ("hubert", "bert")]
    typed = ["--corpus", "table", "--root", f"{dataset}-recordings", "--out", "data/tones"]
    typed += ["--features", "hubert:1-2,bert:1", "--workers", "0", *weights]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run(prepare.main, prepare.make_parser(), typed) == 0
        written = shards(dataset)
        assert command("train", *TRAIN, "--run", "states") == 0
    assert shards(dataset) == written  # nothing was computed anew
    return Home(folder, folder / "saved_models" / "states")


@pytest.fixture(scope="module")
def bundle(home: Home) -> Bundle:
    return Bundle.load(home.run)


def shards(dataset: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (dataset / "shards").iterdir()}


@pytest.fixture
def moved(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The weights in another place for a while, and a test in another folder."""
    place = tmp_path / "moved"
    shutil.move(home.folder / "weights", place)
    monkeypatch.chdir(tmp_path)
    yield place
    shutil.move(place, home.folder / "weights")


@pytest.fixture
def copied(home: Home, tmp_path: Path) -> Path:
    """Weights that a test may spoil."""
    return Path(shutil.copytree(home.folder / "weights", tmp_path / "copied"))


def predicted(home: Home, capsys, *arguments: str) -> np.ndarray:
    """What `predict` answers for the first tested recording."""
    dataset = read_dataset(home.folder / "data" / "tones")
    row = dataset.rows[dataset.records[load_predictions(home.run / "predictions.csv").ids[0]]]
    typed = ("--run", home.run, "--json", "--text", row.transcript, *arguments, row.audio)
    capsys.readouterr()
    assert command("predict", *typed) == 0
    return np.array(list(json.loads(capsys.readouterr().out)["probabilities"].values()))


def error_of(name: str, capsys, *arguments: str | Path) -> str:
    capsys.readouterr()
    assert command(name, *arguments) == cli.USER_ERROR
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


def test_run_keeps_where_its_encoders_are_from_anywhere(home: Home):
    encoders = read_json(home.run / "encoders.json")
    assert set(encoders) == {"hubert_states", "bert_states"}
    for kind in ("hubert", "bert"):
        kept = encoders[f"{kind}_states"]
        assert kept["source"] == str(home.folder / "weights" / kind)
        assert kept["settings"]["hidden_dim"] == 16


def test_file_is_answered_as_its_shards_are(home: Home, tmp_path: Path, monkeypatch, capsys):
    """From another folder; states are stored in float16, whose last digit is 5e-4 of a value."""
    monkeypatch.chdir(tmp_path)
    stored = load_predictions(home.run / "predictions.csv").probabilities
    np.testing.assert_allclose(predicted(home, capsys), stored[0], atol=2e-3)
    assert np.abs(stored[0] - stored[1]).max() > 1e-2


def test_shards_are_evaluated_without_weights(home: Home, moved: Path, capsys):
    before = read_json(home.run / "report.json")
    assert command("evaluate", "--run", home.run, "--data", home.folder / "data" / "tones",
                   "--out", "again") == 0  # fmt: skip
    after = read_json(Path("again") / "report.json")
    assert (after["wa"], after["ua"], after["n"]) == (before["wa"], before["ua"], before["n"])


def test_moved_weights_are_asked_for_and_found(home: Home, moved: Path, capsys):
    digest = read_json(home.run / "encoders.json")["hubert_states"]["sha256"]
    message = error_of("predict", capsys, "--run", home.run, "--text", "never")
    place = home.folder / "weights" / "hubert"
    assert f"SHA-256 {digest[:8]}…) are expected in {place}, which does not exist" in message
    assert "--weights hubert=DIR" in message
    weights = ("--weights", "hubert=moved/hubert", "--weights", f"bert={moved / 'bert'}")
    stored = load_predictions(home.run / "predictions.csv").probabilities[0]
    np.testing.assert_allclose(predicted(home, capsys, *weights), stored, atol=2e-3)


def test_evaluation_takes_moved_weights(home: Home, bundle: Bundle, moved: Path, capsys):
    """What other data lacks is described from there, and no further than that."""
    other = write_tones(moved.parent / "other")
    with pytest.raises(HubError, match="which does not exist"):
        bundle.missing_from(read_dataset(other))
    weights = {kind: f"moved/{kind}" for kind in ("hubert", "bert")}
    missing = bundle.with_weights(weights).missing_from(read_dataset(other))
    assert [feature.source for feature in missing] == [str(moved / kind) for kind in weights]
    swapped = ("--weights", "hubert=moved/bert", "--weights", "bert=moved/bert")
    message = error_of("evaluate", capsys, "--run", home.run, "--data", other, *swapped)
    assert "not the weights that the model was trained on" in message


def test_states_of_many_are_those_of_each(home: Home, bundle: Bundle):
    rows = read_dataset(home.folder / "data" / "tones").rows[:4]
    waveforms = [decode(rows[0].audio)[:4000], None, *(decode(row.audio) for row in rows[2:])]
    transcripts = ["", *(row.transcript for row in rows[1:])]
    single = bundle.predict(waveforms, transcripts)
    many = bundle.predict_probabilities(waveforms, transcripts)
    expected = [list(answer.probabilities.values()) for answer in single]
    np.testing.assert_allclose(many, expected, atol=1e-5)


def test_saved_model_holds_encoders_and_heads(home: Home, bundle: Bundle, tmp_path: Path):
    """HuBERT, BERT and what stands on them in one SavedModel, which needs no other weights."""
    served = SavedModelClassifier(export_saved_model(bundle, tmp_path / "emotion"))
    rows = read_dataset(home.folder / "data" / "tones").rows[:3]
    voices = [*(decode(row.audio) for row in rows), None, decode(rows[0].audio)]
    words = [*(row.transcript for row in rows), "so it is", ""]
    expected, answers = (
        [list(answer.probabilities.values()) for answer in each.predict(voices, words)]
        for each in (bundle, served)
    )
    np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["evaluate", "predict"])
def test_weights_of_an_encoder_that_is_not_read_are_refused(home: Home, name: str, capsys):
    arguments = ("--run", home.run, "--weights", "wavlm=anywhere")
    arguments += ("--text", "never") if name == "predict" else ()
    message = error_of(name, capsys, *arguments)
    assert "--weights wavlm=" in message and "hubert" in message and "bert" in message


def set_field(file: Path, field: str, value) -> None:
    values = read_json(file) if file.is_file() else {}
    file.write_text(json.dumps(values | {field: value}))


def add_word(folder: Path) -> None:
    file = folder / "vocab.txt"
    words = file.read_text().splitlines()
    file.write_text("\n".join([*words[:-1], "otherword"]) + "\n")


SPOILED = {
    "another training": (
        "hubert", lambda folder: write_tiny_checkpoint("hubert", folder, seed=1), "SHA-256 "),
    "fewer layers than are read": (
        "hubert", lambda folder: write_tiny_checkpoint("hubert", folder, num_layers=1), "SHA-256 "),
    "configuration of fewer layers": (
        "hubert", lambda folder: set_field(folder / "config.json", "num_hidden_layers", 1),
        "has the hidden states 0 to 1 and no 2"),
    "configuration of other heads": (
        "bert", lambda folder: set_field(folder / "config.json", "num_attention_heads", 4),
        "num_heads 4 instead of 2"),
    "waveforms as they are": (
        "hubert",
        lambda folder: set_field(folder / "preprocessor_config.json", "do_normalize", False),
        "normalise False instead of True"),
    "other word pieces": ("bert", add_word, "tokenizer "),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
def test_other_weights_are_refused(home: Home, bundle: Bundle, copied: Path, spoiled: str):
    kind, spoil, difference = SPOILED[spoiled]
    spoil(copied / kind)
    with pytest.raises(HubError) as caught:
        bundle.with_weights({kind: str(copied / kind)}).predict(transcripts=["never again"])
    message = str(caught.value)
    assert message.startswith(f"{copied / kind}: not the weights that the model was trained on (")
    assert difference in message and f"--weights {kind}=DIR" in message


def test_copied_weights_are_taken(bundle: Bundle, copied: Path):
    """What the tests above spoil is else as good as the original."""
    places = {kind: str(copied / kind) for kind in ("hubert", "bert")}
    (here,), (there,) = (
        one.predict(transcripts=["never again"]) for one in (bundle, bundle.with_weights(places))
    )
    assert here.probabilities == there.probabilities


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("speech.upstream.options.normalize=false", "unknown option 'normalize' of speech encoder"),
        ("text.upstream.options.windows=3", "unknown option 'windows' of text encoder 'bert'"),
        ("speech.upstream.layers=3", "has the hidden states 0 to 2 and no 3"),
    ],
)
def test_what_stored_states_do_not_offer_is_told(
    home: Home, monkeypatch, override, message, capsys
):
    monkeypatch.chdir(home.folder)
    told = error_of("train", capsys, *TRAIN, override, "--run", "other")
    assert "recipe hubert_bert_cross_attention: " in told and message in told
    assert not (home.folder / "saved_models" / "other").exists()
