"""Stored hidden states are what the encoder answers, and are redone when it changes."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mmer_tf import cli, prepare
from mmer_tf.audio.decode import decode
from mmer_tf.data.families import FeatureFamily, perturbed, same_values, with_copies
from mmer_tf.data.manifest import Dataset, DatasetError, read_dataset
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.data.prepare import ensure_features, prepare_dataset
from mmer_tf.hidden_states import FrozenEncoder, describe_states
from mmer_tf.hub import HubError
from mmer_tf.models.encoders import SPEECH_ENCODERS, TEXT_ENCODERS
from mmer_tf.registry import UnknownNameError
from mmer_tf.testing_checkpoints import write_tiny_checkpoint
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer

LABELS = ("angry", "sad")
LAYERS = (0, 2)
WINDOW = 2.0
"""Seconds that the tiny Whisper reads; one clip is longer."""


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("weights")
    for kind in ("hubert", "bert"):
        write_tiny_checkpoint(kind, root / kind)
    write_tiny_checkpoint("whisper", root / "whisper", window_seconds=WINDOW)
    return {kind: str(root / kind) for kind in ("hubert", "bert", "whisper")}


@pytest.fixture(scope="session")
def stored(corpus: Path, weights: dict[str, str], tmp_path_factory) -> Dataset:
    wanted = [describe_states(kind, source, LAYERS) for kind, source in weights.items()]
    out = tmp_path_factory.mktemp("states") / "table"
    return prepare_dataset("table", corpus, out, [*wanted, "waveform"], workers=0)


def rows_of(dataset: Dataset, features, ids=None, **settings) -> dict[str, dict]:
    settings = {"batch_size": 8, "training": False} | settings
    found = make_dataset(dataset, ids or list(dataset.records), features, LABELS, **settings)
    return {
        batch["id"][i].decode(): {name: batch[name][i] for name in batch}
        for batch in found.as_numpy_iterator()
        for i in range(len(batch["id"]))
    }


def recording(dataset: Dataset, identifier: str) -> np.ndarray:
    return decode(dataset.rows[dataset.records[identifier]].audio)


@pytest.mark.parametrize("kind", ["hubert", "whisper"])
def test_states_of_speech_are_the_encoders(kind: str, stored: Dataset, weights):
    encoder = SPEECH_ENCODERS[kind].from_pretrained(weights[kind], layers=LAYERS, frozen=True)
    name = f"{kind}_states"
    rows = rows_of(stored, (name,))
    for identifier in ("u001", "u017", "u039"):
        waveform = recording(stored, identifier)
        expected, _ = encoder(waveform[None], np.int32([len(waveform)]))
        mask = rows[identifier][f"{name}_mask"]
        found = rows[identifier][name]
        assert found.dtype == np.float32 and not found[~mask].any()
        assert found[mask].shape == expected[0].shape
        assert abs(len(found[mask]) - len(waveform) / 320) <= 1.25
        np.testing.assert_allclose(found[mask], expected[0], rtol=2e-3, atol=2e-3)
    assert not rows["text"][f"{name}_mask"].any() and not rows["text"]["has_speech"]


def test_clip_longer_than_whispers_window_is_heard_to_its_end(stored: Dataset, weights):
    waveform = recording(stored, "u003")
    assert len(waveform) > WINDOW * 16_000
    row = rows_of(stored, ("whisper_states",), ["u003"])["u003"]
    window = round(WINDOW * 16_000)
    encoder = SPEECH_ENCODERS["whisper"].from_pretrained(weights["whisper"], layers=LAYERS)
    rest = waveform[window:]
    expected, _ = encoder(rest[None], np.int32([len(rest)]))
    assert len(row["whisper_states"]) == 125
    np.testing.assert_allclose(row["whisper_states"][100:], expected[0], rtol=2e-3, atol=2e-3)


def test_states_of_text_are_the_encoders(stored: Dataset, weights):
    tokenizer = Tokenizer.from_pretrained(weights["bert"], 128)
    encoder = TEXT_ENCODERS["bert"].from_pretrained(weights["bert"], layers=LAYERS, frozen=True)
    rows = rows_of(stored, ("bert_states",), tokenizer=tokenizer, max_seconds=0.5)
    for identifier in ("u001", "u004", "text"):  # u001 has no transcript
        row = rows[identifier]
        transcript = stored.rows[stored.records[identifier]].transcript
        token_ids, token_mask = tokenizer(tf.constant([clean(transcript)]))
        expected, _ = encoder(token_ids, token_mask)
        mask = row["bert_states_mask"]
        np.testing.assert_array_equal(mask, row["token_mask"])
        np.testing.assert_allclose(row["bert_states"][mask], expected[0], rtol=2e-3, atol=2e-3)


def test_parameters_say_what_the_states_are(stored: Dataset, weights):
    hubert = read_dataset(stored.folder).families["hubert_states"].parameters
    assert (hubert["encoder"], hubert["source"]) == ("hubert", weights["hubert"])
    assert (hubert["layers"], hubert["dim"], hubert["shape"]) == ([0, 2], 16, [2, 16])
    assert len(hubert["sha256"]) == 64
    sizes = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "normalise": True}
    assert sizes.items() <= hubert["settings"].items() and "dropout" not in hubert["settings"]
    assert stored.families["whisper_states"].parameters["settings"]["window_seconds"] == WINDOW
    bert = stored.families["bert_states"].parameters
    digest = Tokenizer.from_pretrained(weights["bert"], 128).digest
    assert (bert["cleaning"], bert["max_tokens"], bert["tokenizer"]) == ("sentences", 128, digest)


def test_speech_is_cropped_at_its_own_rate(stored: Dataset):
    features = ("hubert_states", "waveform")
    whole = rows_of(stored, features, ["u003"])["u003"]["hubert_states"]
    crop = rows_of(stored, features, ["u003"], max_seconds=1.0)["u003"]
    assert crop["num_samples"] == 16_000
    np.testing.assert_array_equal(crop["hubert_states"], whole[37:87])


@pytest.mark.slow
def test_number_of_workers_changes_no_byte(corpus: Path, weights, tmp_path: Path):
    wanted = [describe_states("hubert", weights["hubert"])]
    first = prepare_dataset("table", corpus, tmp_path / "a", wanted, workers=1, labels="sad",
                            utterances_per_shard=7)  # fmt: skip
    second = prepare_dataset("table", corpus, tmp_path / "b", wanted, workers=2, labels="sad",
                             utterances_per_shard=7)  # fmt: skip
    assert first.families == second.families


@pytest.fixture
def few(tmp_path: Path) -> Dataset:
    """Two texts, prepared without features."""
    table = tmp_path / "texts.csv"
    table.write_text("id,text,label\na,you are well,angry\nb,not my friend,sad\n")
    return prepare_dataset("table", table, tmp_path / "data", (), workers=0)


def test_family_is_added_and_redone_when_what_it_holds_differs(few: Dataset, weights, tmp_path):
    def add(source, layers=(1,), **settings) -> tuple[Dataset, int]:
        described = describe_states("bert", str(source), layers, **settings)
        dataset = ensure_features(few.folder, [described], workers=0)
        (file,) = (few.folder / "shards").glob("bert_states*")
        return dataset, file.stat().st_mtime_ns

    own = shutil.copytree(weights["bert"], tmp_path / "own")
    first, written = add(own)
    moved = shutil.copytree(own, tmp_path / "moved")
    assert add(moved) == (first, written)
    for changed in ({"layers": (1, 2)}, {"cleaning": "lemmas"}, {"max_tokens": 9}):
        again, at = add(own, **changed)
        assert at > written and again.families["bert_states"] != first.families["bert_states"]
        written = at
    before = rows_of(add(own)[0], ("bert_states",))["a"]["bert_states"]
    write_tiny_checkpoint("bert", own, seed=1)
    changed, _ = add(own)
    after = rows_of(changed, ("bert_states",))["a"]["bert_states"]
    assert before.shape == after.shape and np.abs(before - after).max() > 0.1


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("hubert", {"num_attention_heads": 4}),
        ("hubert", {"do_stable_layer_norm": True}),
        ("bert", {"num_attention_heads": 4}),
    ],
)
def test_sizes_count_among_what_the_states_depend_on(kind, changes, weights, tmp_path: Path):
    """The same weights, but other states."""
    own = shutil.copytree(weights[kind], tmp_path / "own")
    before = describe_states(kind, str(own), (1,))
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | changes))
    after = describe_states(kind, str(own), (1,))
    assert before.digest == after.digest
    stored, wanted = (FeatureFamily(feature).parameters() for feature in (before, after))
    assert not same_values(stored, wanted)


def test_waveform_is_normalised_as_the_folder_says_unless_an_option_does(weights, tmp_path: Path):
    own = shutil.copytree(weights["hubert"], tmp_path / "own")
    (own / "preprocessor_config.json").write_text('{"do_normalize": false}')
    voice = np.random.default_rng(0).normal(0, 0.05, 4000).astype("float32")
    found = {}
    for source in (weights["hubert"], str(own)):
        for options in ({}, {"normalise": source == str(own)}):
            feature = describe_states("hubert", source, (1,), options=options)
            found[source, not options] = feature.settings["normalise"]
            encoder = SPEECH_ENCODERS["hubert"].from_pretrained(source, layers=(1,), **options)
            expected, _ = encoder(voice[None], np.int32([len(voice)]))
            states = FrozenEncoder(feature).extract(voice)
            np.testing.assert_allclose(states, expected[0], rtol=2e-3, atol=2e-3)
    published = weights["hubert"]
    assert found == {(published, True): True, (published, False): False,
                     (str(own), True): False, (str(own), False): True}  # fmt: skip


def test_options_reach_the_encoder_or_are_refused(weights):
    def described(kind: str, **options):
        return describe_states(kind, weights[kind], options=options)

    voice = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000).astype("float32")
    half = described("whisper", window_seconds=1.0)
    assert FrozenEncoder(half).extract(voice).shape == (150, 1, 16)
    assert half.settings["window_seconds"] == 1.0
    assert described("bert", pooler=True) != described("bert")
    # Sizes are those of the weights, and a frozen encoder drops nothing.
    assert described("bert", hidden_dim=99, num_layers=1, dropout=0.3) == described("bert")
    assert described("hubert", layers=(1,)) == describe_states("hubert", weights["hubert"], (1,))
    with pytest.raises(ValueError, match="unknown option 'normalize' of speech encoder 'hubert'"):
        described("hubert", normalize=False)
    with pytest.raises(HubError, match="whisper: `window_seconds` must be <= 2"):
        FrozenEncoder(described("whisper", window_seconds=9.0)).extract(voice)


def test_folder_is_known_by_its_whole_path(weights, monkeypatch: pytest.MonkeyPatch):
    folder = Path(weights["hubert"])
    monkeypatch.chdir(folder.parent)
    assert describe_states("hubert", "hubert") == describe_states("hubert", str(folder))


def test_what_a_corpus_lacks_is_told(few: Dataset, weights, tmp_path: Path):
    with pytest.raises(DatasetError, match="no recordings, so no 'hubert_states'"):
        ensure_features(few.folder, [describe_states("hubert", weights["hubert"])])


def test_copies_of_states(stored: Dataset, weights):
    frozen = FrozenEncoder(describe_states("hubert", weights["hubert"], LAYERS))
    families = with_copies([frozen.feature, "log_mel"], 2)
    assert [family.name for family in families] == [
        "hubert_states", "log_mel", "hubert_states_copy1", "hubert_states_copy2", "log_mel_copy1",
        "log_mel_copy2"]  # fmt: skip
    text = describe_states("bert", weights["bert"])
    assert with_copies([text], 3) == (FeatureFamily(text),)
    extended = ensure_features(stored.folder, families[2:3], workers=0)
    family = extended.families["hubert_states_copy1"]
    assert family.parameters["copy"] == 1 and family.parameters["shape"] == [2, 16]
    row = extended.rows[extended.records["u005"]]
    _, waveform = perturbed(row, decode(row.audio), 1)
    reading = {"training": True, "copies": 1, "epochs": 6, "batch_size": 1}
    batches = make_dataset(extended, ["u005"], ("hubert_states", "bert_states"), LABELS, **reading)
    heard = {len(batch["hubert_states"][0]) for batch in batches.as_numpy_iterator()}
    expected = {len(frozen.extract(decode(row.audio))), len(frozen.extract(waveform))}
    assert heard == expected and len(heard) == 2


def test_what_cannot_be_had_is_told(weights, tmp_path: Path):
    with pytest.raises(UnknownNameError, match="unknown encoder with hidden states 'blstm'"):
        describe_states("blstm", weights["hubert"])
    with pytest.raises(HubError, match="has the hidden states 0 to 2 and no 3"):
        describe_states("hubert", weights["hubert"], (1, 3))
    with pytest.raises(HubError, match="once, and one at least"):
        describe_states("hubert", weights["hubert"], (1, 1))
    with pytest.raises(HubError, match="of type 'hubert', not bert"):
        describe_states("bert", weights["hubert"])
    with pytest.raises(HubError, match="positions for 128 tokens, not 129"):
        describe_states("bert", weights["bert"], max_tokens=129)
    with pytest.raises(HubError, match="nowhere does not exist"):
        describe_states("hubert", str(tmp_path / "nowhere"))
    other = dataclasses.replace(describe_states("bert", weights["bert"]), digest="0" * 64)
    with pytest.raises(HubError, match="change while they are read"):
        other.make(other)


def command(*arguments: str | Path) -> int:
    return cli.run(prepare.main, prepare.make_parser(), [str(entry) for entry in arguments])


@pytest.mark.slow
def test_command(few: Dataset, weights, tmp_path: Path, capsys):
    table, out = tmp_path / "texts.csv", tmp_path / "new"
    arguments = ["--corpus", "table", "--root", table, "--out", out, "--workers", "1"]
    chosen = ["--weights", f"bert={weights['bert']}"]
    # One process of its own, to which the description of the encoder travels.
    assert command(*arguments, "--features", "log_mel,bert:0,1-2", *chosen) == 0
    assert read_dataset(out).families["bert_states"].parameters["layers"] == [0, 1, 2]
    assert "bert_states" in capsys.readouterr().out
    for features, message in (
        ("bert:5", "has the hidden states 0 to 2 and no 5"),
        ("bert:x", "names no layers; write them as 6, 5-9 or 0,3-4"),
        ("blstm:5", "unknown encoder with hidden states 'blstm'"),
        ("bret", "unknown feature 'bret'; did you mean 'bert'"),
        ("log_mel", "--features does not name 'bert'"),
        ("bert:1,bert:2", "asked for with different settings"),
    ):
        assert command(*arguments, "--features", features, *chosen) == 2
        assert message in " ".join(capsys.readouterr().err.split())
