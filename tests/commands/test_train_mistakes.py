"""What a user may get wrong with the train command: one sentence, and nothing left behind."""

from pathlib import Path

import pytest
from workplace import command, write_tones

from mmer_tf import cli
from mmer_tf.data.features import FEATURES
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.feasibility import NOT_COMPUTED_IN_TRAINING, TIMED_FUSIONS
from mmer_tf.models.fusion import FUSIONS

DATA = ("--data", "data/tones")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gmo"], "did you mean 'gmu'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such recipe file"),
        (["train.epoch=3"], "train.epoch: Unexpected keyword argument"),
        (["train.epochs=many"], "train.epochs: Input should be a valid integer"),
        (["epochs"], "an override reads `field=value`"),
        (["pooling=last_one"], "unknown pooling 'last_one'; did you mean 'last'?"),
        (["speech.options.unit=8"], "unknown option 'unit' of speech encoder 'blstm'"),
        (["speech.options.units=eight"], "recipe gmu: "),
        (["text.vocabulary_size=12"], "recipe gmu: text: `vocabulary_size` must be >="),
        (["data.labels=angry,furious"], "unknown label 'furious'"),
        (["data.labels=angry"], "data.labels must leave at least two classes"),
        (["--folds", "3"], "`fold` must be 0 to 2 for protocol 'speaker'"),
        (["--protocol", "session"], "have no session"),
        (["--data", "nowhere"], "nowhere does not exist; run `python -m mmer_tf.prepare"),
        (["--data", "data"], "data is not a prepared dataset"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    workplace: Path, own_runs: Path, arguments, message, capsys
):
    assert command("train", *DATA, "--tiny", "--runs", own_runs, *arguments) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert not own_runs.exists()


@pytest.mark.parametrize(
    "arguments",
    [("--folds", "first"), ("--seeds", "0,x"), ("--seeds", "1,1"), ("--protocol", "speakers")],
    ids=" ".join,
)
def test_impossible_argument_is_answered_by_the_parser(workplace: Path, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        command("train", *DATA, *arguments)
    assert stop.value.code == cli.USER_ERROR
    last = capsys.readouterr().err.splitlines()[-1]
    assert arguments[0] in last and arguments[1] in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.epoch=3"], "train.epoch: Unexpected keyword argument"),
        (["--folds", "3"], "`fold` must be 0 to 2 for protocol 'speaker'"),
        (["--model", "hierarchical"], "data/tones holds no word timings, by which fusion"),
        (["data.soft_labels=true"], "data/tones holds no votes, on which data.soft_labels=true"),
        (["data.labels=angry"], "data.labels must leave at least two classes"),
        (["train.lowest_learning_rate=1"], "train.lowest_learning_rate must not be above"),
        (["train.waveform_augment.max_gain_db=6", "speech.feature=lld"], "`lld` is only stored"),
        (["--leaky"], "--leaky needs a recipe with a stage"),
        (["--find-lr", "--folds", "all"], "--find-lr looks at one training"),
        (["--find-lr", "--distribute", "mirrored"], "--find-lr uses one device"),
        (
            ["stages=[{trains: head, train: {deterministic: true}}]"],
            "stages.0.train.deterministic holds for a whole training",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_told_before_anything_is_loaded(
    workplace: Path, own_runs: Path, monkeypatch, arguments, message, capsys
):
    monkeypatch.setattr(cli, "import_tensorflow", lambda: pytest.fail("loads TensorFlow"))
    assert command("train", *DATA, "--runs", own_runs, *arguments) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert not own_runs.exists()


def test_mistake_is_told_before_features_are_computed(workplace: Path, own_runs: Path, capsys):
    """More batches accumulated than there are; the data set has no MFCC yet."""
    typed = (*DATA, "--tiny", "--runs", own_runs, "speech.feature=mfcc", "train.accumulation=2")
    before = (workplace / "data" / "tones" / "dataset.json").read_bytes()
    assert command("train", *typed) == cli.USER_ERROR
    message = "train.accumulation must not be above the 1 batches of an epoch"
    assert message in capsys.readouterr().err
    assert (workplace / "data" / "tones" / "dataset.json").read_bytes() == before
    assert not own_runs.exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.xla=true", "`train.xla` compiles for one device; leave it off on several"),
        ("train.batch_size=1", "`train.batch_size` must be at least the number of devices"),
    ],
)
def test_devices_are_asked_before_features_are_computed(
    workplace: Path, own_runs: Path, monkeypatch, override, message, capsys
):
    from mmer_tf.training import distribute

    class Two(distribute.Distribution):
        num_replicas = 2

    monkeypatch.setattr(distribute, "make_distribution", lambda name: Two())
    typed = (*DATA, "--tiny", "--runs", own_runs, "speech.feature=mfcc", override)
    before = (workplace / "data" / "tones" / "dataset.json").read_bytes()
    assert command("train", *typed, "--distribute", "mirrored") == cli.USER_ERROR
    assert message in capsys.readouterr().err
    assert (workplace / "data" / "tones" / "dataset.json").read_bytes() == before
    assert not own_runs.exists()


@pytest.mark.parametrize("text", ["", '{"seed": 0, "dig', "[1]"])
def test_damaged_split_of_a_run_is_told(workplace: Path, own_runs: Path, text, capsys):
    (own_runs / "mine").mkdir(parents=True)
    (own_runs / "mine" / "split.json").write_text(text)
    typed = (*DATA, "--tiny", "--runs", own_runs, "--run", "mine")
    assert command("train", *typed) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert "split.json: damaged; copy the run again, or" in printed and printed.count("\n") == 1


def test_fold_is_refused_before_the_synthetic_corpus_is_spoken(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "import_tensorflow", lambda: pytest.fail("loads TensorFlow"))
    assert command("train", "--folds", "5") == cli.USER_ERROR
    assert "`fold` must be 0 to 4 for protocol 'speaker'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_timed_fusions_are_those_that_go_by_words():
    assert {name for name in FUSIONS if FUSIONS[name].level == "words"} == set(TIMED_FUSIONS)


def test_features_that_no_layer_computes_are_known():
    assert {name for name in FEATURES if FEATURES[name].in_graph is None} == set(
        NOT_COMPUTED_IN_TRAINING
    )


def test_words_are_not_trained_without_transcripts(tmp_path: Path, monkeypatch, capsys):
    write_tones(tmp_path / "silent", change=lambda row: row.update(text=""))
    monkeypatch.chdir(tmp_path)
    assert command("train", "--data", "silent", "--tiny") == cli.USER_ERROR
    assert "no transcripts to train on" in capsys.readouterr().err
    assert not (tmp_path / "saved_models").exists()


def test_voice_is_not_trained_without_recordings(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "t.csv").write_text("text,label\ngood,happy\nbad,sad\n")
    prepare_dataset("table", tmp_path / "t.csv", tmp_path / "text", [], workers=0)
    monkeypatch.chdir(tmp_path)
    assert command("train", "--data", "text") == cli.USER_ERROR
    assert "holds no recordings" in capsys.readouterr().err


def test_model_that_cannot_be_built_costs_no_feature(tmp_path: Path, capsys):
    data = write_tones(tmp_path / "tones")
    before = sorted((data / "shards").iterdir())
    arguments = ["--tiny", "--data", data, "--runs", tmp_path / "runs", "speech.feature=mfcc"]
    arguments += ["train.vocal_tract_warp=0", "pooling=last_one"]
    assert command("train", *arguments) == cli.USER_ERROR
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted((data / "shards").iterdir()) == before
