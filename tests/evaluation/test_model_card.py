"""The model card: what it says is what the run's files say, and what must be told is told."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

from mmer_tf.data.manifest import Dataset, write_dataset
from mmer_tf.evaluation.evaluate import make_report, write_report
from mmer_tf.evaluation.model_card import MODEL_CARD, model_card, render_card
from mmer_tf.evaluation.predictions import Predictions
from mmer_tf.evaluation.run_record import RunRecord, count_weights
from mmer_tf.recipe import load_recipe, save_recipe, shipped_recipes
from mmer_tf.types import Utterance

LABELS = ("anger", "sa|d <b>", "joy")
PARTS = {"train": ("a", "b", "c", "d"), "validation": ("e", "f"), "test": ("g", "h")}
HISTORY = "epoch,loss,val_loss,val_ua\n1,1,1,0.5\n2,1,1,0.7\n3,1,1,0.6\n"
CLEAN = {"verdict": "clean", "findings": [], "unknown": []}
LEAK = {
    "verdict": "leak",
    "findings": [
        {
            "kind": "speaker",
            "severity": "leak",
            "message": "speakers of test are in training too",
            "count": 2,
            "examples": ["g", "h"],
        }
    ],
    "unknown": ["4 recordings are gone"],
}


def utterances() -> list[Utterance]:
    """Nine of each speaker, three of each class; joy is left out of validation."""
    return [
        Utterance(
            id=f"{speaker}{number}",
            label=LABELS[number % (2 if part == "validation" else 3)],
            transcript="never again",
            speaker=speaker,
            gender="female" if speaker in "aceg" else "male",
            duration=2.0,
        )
        for part, speakers in PARTS.items()
        for speaker in speakers
        for number in range(9)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run without its report."""
    rows = utterances()
    dataset = Dataset(
        folder=tmp_path / "emodb",
        name="emodb",
        root=tmp_path,
        options={},
        labels=LABELS,
        rows=tuple(rows),
        records={},
        families={},
        dropped={"class not selected": 7},
        rejected={},
        conversions={},
        digest="abc",
    )
    dataset.folder.mkdir()
    write_dataset(dataset)
    run = tmp_path / "runs" / "my_run"
    run.mkdir(parents=True)
    save_recipe(load_recipe(shipped_recipes()["gmu"]), run / "recipe.yaml")
    ids = {part: [one.id for one in rows if one.speaker in who] for part, who in PARTS.items()}
    split = ids | {"data": str(dataset.folder), "data_digest": "abc", "notes": []}
    (run / "split.json").write_text(json.dumps(split))
    (run / "history.csv").write_text(
        "epoch,loss,val_loss,val_ua\n1,1,1,0.5\n2,1,1,0.7\n3,1,1,0.6\n"
    )
    return run


def answers() -> Predictions:
    tested = [one for one in utterances() if one.speaker in PARTS["test"]]
    probabilities = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], len(tested))
    targets = np.array([LABELS.index(one.label) for one in tested])
    return Predictions(np.array([one.id for one in tested]), targets, probabilities, LABELS)


def report_of(run: Path, protocol: str = "speaker", audit=CLEAN, **more) -> dict:
    return make_report(
        answers(),
        run=run.name,
        data="emodb",
        split="test",
        protocol=protocol,
        fold=0,
        seed=0,
        utterances=utterances(),
        audit=audit,
        temperature=1.5,
    ) | dict(more)


def tables(card: str) -> dict[str, list[list[str]]]:
    """First word of the head -> rows of cells; every row is as wide as the head."""
    found = {}
    for block in re.findall(r"(?m)(?:^\|.*\n)+", card):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        rows = [[cell.strip() for cell in row] for row in rows]
        assert {len(row) for row in rows} == {len(rows[0])}, block
        assert set("".join(rows[1])) == {"-"}
        found[rows[0][0] or rows[2][0]] = rows[2:] if rows[0][0] else [rows[0], *rows[2:]]
    return found


def test_figures_are_those_of_the_report(run: Path):
    rows = {"ua": 0.4, "wa": 0.5, "n": 18, "interval": [0.3, 0.6]}
    report = report_of(run, modalities=dict.fromkeys(("both", "speech", "text"), rows))
    card = render_card(report, run)
    found = tables(card)
    figures = {name: (value, interval) for name, value, interval in found["figure"]}
    for name in ("wa", "ua"):
        low, high = report["intervals"][name]
        assert figures[name.upper()] == (f"{report[name]:.3f}", f"{low:.3f} to {high:.3f}")
    assert figures["macro F1"][0] == f"{report['macro_f1']:.3f}"
    for name, row in report["per_class"].items():
        shares = [f"{row[figure]:.3f}" for figure in ("precision", "recall", "f1")]
        assert [name.replace("|", "\\|").replace("<", "&lt;"), *shares, "6"] in found["class"]
    for kind in ("gender", "speaker"):
        for name, row in report[f"per_{kind}"].items():
            assert [name, f"{row['wa']:.3f}", f"{row['ua']:.3f}", str(row["n"])] in found[kind]
    assert ["the voice alone", "0.400", "[0.300, 0.600]", "0.500", "18"] in found["given"]
    assert "bootstrap over 2 speakers" in card and "18 utterances" in card
    assert f"{report['calibration']['ece']:.3f}" in card and "temperature 1.50" in card


def test_data_and_model_are_those_of_the_files(run: Path):
    card = render_card(report_of(run), run)
    found = tables(card)
    assert found["part"] == [
        ["training", "36", "4", "12", "12", "12"],
        ["validation", "18", "2", "10", "8", "0"],
        ["test", "18", "2", "6", "6", "6"],
    ]
    facts = {name: value for rows in found.values() for name, value, *more in rows if not more}
    assert facts["recipe"].startswith("gmu: BLSTM on log-mel + BERT")
    assert facts["corpus"].startswith("emodb: 10 German actors")
    assert "CC0-1.0" in facts["licence"] and facts["left behind"] == "7 class not selected"
    assert facts["tested on"] == "18 utterances of 2 speakers: g, h"
    assert facts["epoch and temperature chosen on"].endswith("2 speakers: e, f")
    assert facts["training"] == "3 epochs, the best of which was epoch 2"
    assert facts["what it promises"] == "no speaker of the test is in training or validation"
    assert facts["size"] == "unknown" and "blstm on log_mel, trained from scratch" in card
    assert "Tested on 2 speakers" in card and "no hiring" in card


def test_weights_are_counted(tmp_path: Path):
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)]
    )
    model.save(tmp_path / "model.keras")
    assert count_weights(tmp_path / "model.keras") == model.count_params() == 15
    (tmp_path / "model.keras").write_bytes(b"no archive")
    assert count_weights(tmp_path / "model.keras") is None


def test_a_leak_is_told_in_plain_words(run: Path):
    clean, leaky = (render_card(report_of(run, audit=audit), run) for audit in (CLEAN, LEAK))
    opening = leaky.split("## Model")[0]
    assert "Do not believe these figures: the audit found a leak" in opening
    assert "speakers of test are in training too (2)" in opening
    assert "unknown: 4 recordings are gone" in opening
    assert "found no leak" in clean and "Do not believe" not in clean
    assert ["leak", "speakers of test are in training too", "2"] in tables(leaky)["severity"]


@pytest.mark.parametrize("protocol", ["random", "stratified-70-15-15", "random, speaker"])
def test_a_random_split_is_too_good_to_be_believed(run: Path, protocol: str):
    card = render_card(report_of(run, protocol=protocol), run)
    assert "too good to be believed" in card.split("## Model")[0]
    assert "found no leak" not in card
    both = render_card(report_of(run, protocol=protocol, audit=LEAK), run)
    assert "too good to be believed" in both and "the audit found a leak" in both


def test_nobody_looked_and_nobody_can_tell(run: Path):
    assert "Nobody has looked for leaks" in render_card(report_of(run, audit=None), run)
    unknown = {"verdict": "unknown", "findings": [], "unknown": ["no trained_on.json"]}
    assert "cannot tell" in render_card(report_of(run, audit=unknown), run)


def test_what_is_not_known_is_called_unknown(run: Path):
    (run.parents[1] / "emodb" / "dataset.json").unlink()
    facts = render_card(report_of(run), run)
    assert "unknown: the data set" in facts and "| licence | unknown |" in facts
    bare = run.parent / "bare"
    bare.mkdir()
    assert "| recipe | unknown |" in render_card(report_of(bare), bare)
    for name in ("recipe.yaml", "split.json"):
        (bare / name).write_text("{")
    assert RunRecord.read(bare) == RunRecord("bare")


def test_another_digest_is_another_data_set(run: Path):
    manifest = run.parents[1] / "emodb" / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"abc"', '"other"'))
    assert RunRecord.read(run).dataset is None


def test_a_run_that_was_never_evaluated_has_a_card(run: Path):
    card = model_card(run)
    assert "Not evaluated" in card and "| figures | unknown" in card
    assert "figure" not in tables(card) and "part" in tables(card)


def test_the_card_that_is_there_is_taken(run: Path):
    write_report(report_of(run), answers(), run, pictures=False)
    assert model_card(run) == render_card(report_of(run), run)
    (run / MODEL_CARD).write_text("Trained by us.", encoding="utf-8")
    assert model_card(run) == "Trained by us."


def test_an_ensemble_tells_its_members(tmp_path: Path, run: Path):
    members = [{"run": name, "wa": 0.5, "ua": 0.25, "n": 18} for name in ("one", "two")]
    report = report_of(tmp_path / "ensemble", vote="mean", members=members)
    card = render_card(report, tmp_path / "ensemble")
    assert ["two", "0.500", "0.250", "18"] in tables(card)["member"]
    assert "ensemble of 2 runs, vote: mean" in card
    assert "no model, but the answers of one, two" in card


def test_several_runs_are_described_by_the_first(run: Path):
    folder = run.parent / "all"
    card = render_card(report_of(folder, runs=[run.name, "other"]), folder)
    assert "2 trainings of this recipe" in card and f"Parts of the first run, {run.name}" in card
    assert tables(card)["part"][0][0] == "training"


def test_another_corpus_is_not_taken_for_the_own_test(run: Path):
    report = report_of(run) | {"data": "other", "split": "all", "map": {"anger": ["ang", "rage"]}}
    card = render_card(report, run / "other-all", run)
    assert "| tested on | 18 utterances, speakers: 2 |" in card
    assert "| evaluated on | other, all |" in card and "anger = ang+rage" in card
    assert "emodb: 10 German actors" in card
