"""The audit command: protocols, runs and what they were fitted to, and its exit codes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from workplace import command, read_json

from mmer_tf import cli
from mmer_tf.bundle import Bundle
from mmer_tf.data.fingerprints import FINGERPRINTS
from mmer_tf.data.manifest import read_dataset
from mmer_tf.data.statistics import fit_statistics
from mmer_tf.fitted import audit_fitted
from mmer_tf.leakage import audit_dataset, published_weights
from mmer_tf.models.branch import find_standardise
from mmer_tf.recipe import Recipe, Speech, Text, Upstream
from mmer_tf.text.normalise import clean
from mmer_tf.text.tokenizer import Tokenizer

CLEAN, LEAK, UNKNOWN = 0, 1, 2


def audited(capsys, *arguments: str | Path) -> tuple[int, dict]:
    """The exit code, and what `--json` prints."""
    capsys.readouterr()
    code = command("audit", *arguments, "--json")
    printed = capsys.readouterr()
    assert printed.err == ""
    return code, json.loads(printed.out)


def kinds(result: dict, severity: str) -> set[str]:
    return {one["kind"] for one in result["findings"] if one["severity"] == severity}


def copy_of(dataset: Path, out: Path, rows: dict[str, dict] | None = None, **manifest) -> Path:
    """A data set with some fields of some rows changed, and of its manifest."""
    shutil.copytree(dataset, out)
    (out / FINGERPRINTS).unlink(missing_ok=True)
    lines = [json.loads(line) for line in (out / "utterances.jsonl").read_text().splitlines()]
    changed = [line | (rows or {}).get(line["id"], {}) for line in lines]
    (out / "utterances.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
    values = read_json(out / "dataset.json") | manifest
    (out / "dataset.json").write_text(json.dumps(values))
    return out


def test_every_fold_of_a_protocol(workplace: Path, capsys):
    assert command("audit", "--data", "data/tones", "--protocol", "speaker") == CLEAN
    first, *_ = [line for line in capsys.readouterr().out.splitlines() if "done" not in line]
    assert first.startswith("clean: 0 leaks, 3 notes, 0 unknown")
    code, result = audited(capsys, "--data", "data/tones", "--protocol", "speaker")
    assert (code, result["verdict"], len(result["folds"])) == (CLEAN, "clean", 3)
    # Speaker c never says the last label: each fold misses it in another of its parts.
    for note in result["findings"]:
        assert (note["kind"], note["count"], note["examples"]) == ("missing class", 1, ["sad"])
        assert len(note["runs"]) == 1


def test_one_fold(workplace: Path, capsys):
    typed = ("--data", "data/tones", "--protocol", "random", "--fold", "1", "--seed", "3")
    code, result = audited(capsys, *typed)
    assert (code, result["fold"], result["seed"]) == (CLEAN, 1, 3)
    assert "speaker" in kinds(result, "note") and "folds" not in result


def test_recording_that_two_speakers_have(shared: Path, tmp_path: Path, capsys):
    recordings = read_dataset(shared / "data" / "tones").root
    rows = {"u20": {"audio": str(recordings / "u03.wav")}}
    data = copy_of(shared / "data" / "tones", tmp_path / "twice", rows)
    code, result = audited(capsys, "--data", data, "--protocol", "speaker", "--fold", "0")
    assert code == LEAK and kinds(result, "leak") == {"identical audio"}
    assert result["findings"][0]["examples"] == ["u03 = u20"]


def test_recordings_that_are_gone(shared: Path, tmp_path: Path, capsys):
    data = copy_of(shared / "data" / "tones", tmp_path / "gone", root=str(tmp_path / "nowhere"))
    code, result = audited(capsys, "--data", data, "--protocol", "speaker", "--fold", "0")
    assert (code, result["verdict"]) == (UNKNOWN, "unknown")
    assert "33 recordings cannot be read" in result["unknown"][0]


def test_run(both_run: Path, workplace: Path, capsys):
    code, result = audited(capsys, "--run", "both")
    assert (code, result["verdict"], result["unknown"]) == (CLEAN, "clean", [])
    assert (result["run"], result["protocol"], result["fold"]) == ("both", "speaker", 0)
    promised = ("--run", "both", "--protocol", "sentence")
    assert audited(capsys, *promised)[0] == CLEAN  # words are drawn, four of eight


@pytest.fixture
def run(words_run: Path, own_runs: Path) -> Path:
    """One that a test may spoil."""
    return shutil.copytree(words_run, own_runs / words_run.name)


def test_run_that_was_fitted_to_the_test(run: Path, workplace: Path, capsys):
    fitted, division = read_json(run / "trained_on.json"), read_json(run / "split.json")
    fitted["1-text"] = [*division["train"], *division["test"][:3]]
    (run / "trained_on.json").write_text(json.dumps(fitted))
    code, result = audited(capsys, "--run", run)
    assert code == LEAK and kinds(result, "leak") == {"stage encoder"}
    assert result["findings"][0]["count"] == 3


def test_run_whose_validation_became_its_test(run: Path, workplace: Path, capsys):
    division = read_json(run / "split.json")
    (run / "split.json").write_text(json.dumps(division | {"validation": division["test"]}))
    code, result = audited(capsys, "--run", run)
    assert code == LEAK and {"validation", "speaker"} <= kinds(result, "leak")
    assert any("split.json" in message for message in result["unknown"])


def test_run_that_does_not_tell(run: Path, workplace: Path, capsys):
    (run / "trained_on.json").unlink()
    code, result = audited(capsys, "--run", run)
    assert code == UNKNOWN and "trained_on.json" in result["unknown"][0]


def test_run_on_another_corpus(
    words_run: Path, other_data: Path, workplace: Path, tmp_path: Path, capsys
):
    code, result = audited(capsys, "--run", words_run, "--data", "data/other")
    # The same words are drawn there.
    assert code == CLEAN and kinds(result, "note") == {"identical transcripts"}
    heard = {"other-u00": {"audio": str(read_dataset("data/tones").root / "u20.wav")}}
    data = copy_of(other_data, tmp_path / "heard", heard)
    code, result = audited(capsys, "--run", words_run, "--data", data)
    assert code == LEAK and kinds(result, "leak") == {"identical audio"}


def test_statistics_and_vocabulary_are_computed_again(both_run: Path, workplace: Path):
    """What they were fitted to is found out though the record says otherwise."""
    bundle, division = Bundle.load(both_run), read_json(both_run / "split.json")
    dataset = read_dataset("data/tones")
    assert list(audit_fitted(bundle, dataset, division)) == []
    everyone = sorted(dataset.records)
    texts = [clean(row.transcript, bundle.recipe.data.cleaning) for row in dataset.rows]
    text = bundle.recipe.text
    tokenizer = Tokenizer.from_texts(texts, text.vocabulary_size, text.max_tokens)
    layer = find_standardise(bundle.model, "log_mel")
    layer.set_statistics(*fit_statistics(dataset, everyone, "log_mel"))
    spoilt = Bundle(bundle.recipe, bundle.labels, tokenizer, bundle.model)
    found = {(one.kind, one.severity): one.count for one in audit_fitted(spoilt, dataset, division)}
    assert found[("normalisation", "leak")] == len(division["test"])
    assert found[("normalisation", "note")] == len(division["validation"])
    assert tokenizer.vocabulary != bundle.tokenizer.vocabulary
    assert found[("vocabulary", "leak")] == len(division["test"])
    layer.set_statistics(np.zeros(64), np.ones(64))
    (unknown,) = audit_fitted(
        Bundle(bundle.recipe, bundle.labels, bundle.tokenizer, bundle.model), dataset, division
    )
    assert "log_mel is not what" in unknown.message


def test_one_call_audits_a_split(shared: Path):
    dataset = read_dataset(shared / "data" / "tones")
    division = {"train": ["u13", "u14"], "validation": ["u26"], "test": ["u00", "u01"]}
    audit = audit_dataset(
        dataset, division | {"protocol": "speaker"}, trained_on={"model": ["u00"]}
    )
    assert {one.kind for one in audit.findings if one.severity == "leak"} == {"model"}


def test_encoders_whose_epoch_the_test_chose(shared: Path):
    dataset = read_dataset(shared / "data" / "tones")
    division = {"train": ["u13", "u14"], "validation": ["u26"], "test": ["u00", "u01"]}
    own = {"train": ["u13"], "validation": ["u01", "u14"], "test": ["u26"]}
    audit = audit_dataset(dataset, division | {"protocol": "speaker", "encoder_split": own})
    (leak,) = (one for one in audit.findings if one.severity == "leak")
    assert (leak.kind, leak.count, leak.examples) == ("stage encoder", 1, ("u01",))


def test_encoders_from_elsewhere_are_noted(shared: Path):
    upstream = Upstream("wav2vec2", weights="facebook/wav2vec2-base")
    recipe = Recipe(
        name="foreign",
        summary="",
        fusion="gated",
        speech=Speech("blstm", upstream=upstream),
        text=Text("bert", weights="models/bert"),
    )
    published = published_weights(recipe)
    assert published == {"wav2vec2": "facebook/wav2vec2-base", "bert": "models/bert"}
    streams = Speech("coattention", weights={"wav2vec2": "a", "alexnet": "b"})
    assert published_weights(Recipe(name="streams", summary="", speech=streams)) == {
        "coattention (wav2vec2)": "a",
        "coattention (alexnet)": "b",
    }
    dataset = read_dataset(shared / "data" / "tones")
    division = {"train": ["u13", "u14"], "validation": ["u26"], "test": ["u00", "u01"]}
    audit = audit_dataset(dataset, division | {"protocol": "speaker"}, published=published)
    told = [one.message for one in audit.findings if one.kind == "published encoder"]
    assert audit.verdict == "clean" and len(told) == 2
    assert told[0].startswith("encoder wav2vec2 comes from facebook/wav2vec2-base; what it was")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a data set and a protocol"),
        (["--data", "nowhere", "--protocol", "speaker"], "nowhere does not exist"),
        (["--data", "data/tones", "--protocol", "session"], "have no session"),
        (["--data", "data/tones", "--protocol", "speaker", "--fold", "3"], "must be 0 to 2"),
        (["--run", "nowhere"], "no such run"),
        (["--run", "both", "--fold", "0"], "leave out --fold"),
        (["--run", "both", "--seed", "0"], "leave out --seed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(workplace: Path, arguments, message, capsys):
    assert command("audit", *arguments) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed and printed.startswith("error: ") and printed.count("\n") == 1
