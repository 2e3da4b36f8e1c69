"""The ladder command as a user types it: what it trains, reads, leaves and refuses."""

import shutil
from pathlib import Path

import pytest
from workplace import BOTH, OVERRIDES, command, read_json

from mmer_tf import experiment

DATA = ("--data", "data/tones")
TYPED = (*BOTH, *DATA, *OVERRIDES)


@pytest.mark.slow
def test_finished_runs_are_read_and_the_others_trained(
    both_run: Path, workplace: Path, own_runs: Path, monkeypatch, capsys
):
    shutil.copytree(both_run, own_runs / "rungs-speaker")
    trained = []
    train = experiment.run
    monkeypatch.setattr(
        "mmer_tf.experiment.run", lambda plan: trained.append(plan.finished) or train(plan)
    )
    typed = ("ladder", *TYPED, "--run", "rungs", "--runs", own_runs)
    assert command(*typed, "--protocols", "speaker,random,session") == 0
    assert trained == [False, True]  # random, then speaker
    printed = capsys.readouterr().out
    assert "not on the ladder: session: 33 of 33 utterances have no session" in printed
    assert "random split: the same speakers are in training and test" in printed

    folder = own_runs / "rungs"
    assert {file.name for file in folder.iterdir()} == {"ladder.png", "ladder.md", "report.json"}
    ladder = read_json(folder / "report.json")
    assert [rung["protocol"] for rung in ladder["rungs"]] == ["random", "speaker"]
    for rung in ladder["rungs"]:
        report = read_json(own_runs / f"rungs-{rung['protocol']}" / "report.json")
        assert report["protocol"] == rung["protocol"]
        assert (rung["ua"], rung["wa"], rung["n"]) == ([report["ua"]], [report["wa"]], report["n"])
    difference = ladder["rungs"][0]["ua"][0] - ladder["rungs"][1]["ua"][0]
    worths = [rung["worth"] for rung in ladder["rungs"]]
    assert worths == pytest.approx([max(difference, 0), max(-difference, 0)])
    assert list(ladder["refused"]) == ["session"]

    # Once more: all is read, and the same ladder comes out.
    assert command(*typed, "--protocols", "random,speaker,session") == 0
    assert trained[2:] == [True, True]
    assert read_json(folder / "report.json") == ladder
    # A run of another recipe is not taken for one of these.
    assert command(*typed, "train.epochs=3") == 2
    assert "is a run of another recipe" in capsys.readouterr().err


def test_without_two_protocols_there_is_no_ladder(workplace: Path, own_runs: Path, capsys):
    assert command("ladder", *TYPED, "--runs", own_runs, "--protocols", "random,script") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a ladder compares two protocols or more, of which data/tones")
    assert "allows random. script: 33 of 33 utterances have no script" in said
    assert said.count("\n") == 1
    assert not own_runs.exists()


def test_a_fold_that_only_some_protocols_have_names_the_others(
    workplace: Path, own_runs: Path, capsys
):
    typed = ("--runs", own_runs, "--folds", "4", "--protocols", "random,stratified-70-15-15")
    assert command("ladder", *TYPED, *typed) == 2
    said = capsys.readouterr().err
    assert "`fold` must be 0 to 0 for protocol 'stratified-70-15-15' on this corpus" in said


def test_a_mistyped_protocol_is_answered_with_the_known_ones(workplace: Path, capsys):
    with pytest.raises(SystemExit) as left:
        command("ladder", *TYPED, "--protocols", "random,speakers")
    assert left.value.code == 2
    assert "speaker-in-session, session; not 'speakers'" in capsys.readouterr().err


def test_a_run_in_the_ladders_place_is_kept(
    both_run: Path, workplace: Path, own_runs: Path, capsys
):
    shutil.copytree(both_run, own_runs / "mine")
    assert command("ladder", *TYPED, "--runs", own_runs, "--run", "mine") == 2
    assert "is one run, not the summary of several; choose another --run" in capsys.readouterr().err
