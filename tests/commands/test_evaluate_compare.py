"""Two finished runs against each other: what is written and shown, and mistakes."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from workplace import command, read_json

from mmer_tf import cli
from mmer_tf.evaluation.predictions import Predictions, save_predictions

LABELS = ("angry", "happy", "neutral", "sad")
SPOKEN = [n for n in range(36) if n < 24 or n % 4 < 3]
"""The tones that there are: speaker c is never sad."""


def write_answers(folder: Path, share_right: float, seed: int, **manifests: str) -> Predictions:
    """A folder with the answers to the tones, as a run or a summary leaves it."""
    random = np.random.default_rng(seed)
    ids = [f"u{n:02d}" for n in SPOKEN]
    targets = np.array([n % 4 for n in SPOKEN])
    predicted = np.where(random.random(len(ids)) < share_right, targets, (targets + 1) % 4)
    answers = Predictions(np.array(ids), targets, np.eye(4)[predicted], LABELS)
    folder.mkdir(parents=True)
    save_predictions(answers, folder / "predictions.csv")
    for name, text in manifests.items():
        (folder / f"{name}.json").write_text(text)
    return answers


def test_two_runs(both_run: Path, words_run: Path, workplace: Path, own_runs: Path, capsys):
    arguments = ("--compare", both_run.name, words_run, "--out", own_runs)
    assert command("evaluate", *arguments) == 0
    told = read_json(own_runs / "comparison.json")
    for entry, run in zip(told["runs"], (both_run, words_run), strict=True):
        alone = read_json(run / "report.json")
        assert entry == {"run": run.name, "wa": alone["wa"], "ua": alone["ua"], "left_out": 0}
    assert told["n"] == 12
    difference = told["runs"][0]["ua"] - told["runs"][1]["ua"]
    assert told["difference"]["ua"]["difference"] == pytest.approx(difference)
    assert told["difference"]["over"] == "utterances"  # both tested speaker a alone
    shown = capsys.readouterr().out
    assert f"{difference:+.3f}" in shown and both_run.name in shown


def test_summaries_are_compared_over_the_speakers_of_their_runs(
    words_run: Path, workplace: Path, own_runs: Path
):
    shutil.copytree(words_run, own_runs / "fold0")
    first = write_answers(own_runs / "first", 0.9, 0, report='{"runs": ["fold0", "fold1"]}')
    second = write_answers(own_runs / "second", 0.4, 1)
    assert command("evaluate", "--compare", "first", "second", "--runs", own_runs) == 0
    (out,) = own_runs.glob("comparison-*")
    told = read_json(out / "comparison.json")
    assert (told["difference"]["over"], told["difference"]["groups"]) == ("speakers", 3)
    right = [one.predicted == one.targets for one in (first, second)]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    assert [told["mcnemar"]["only_first"], told["mcnemar"]["only_second"]] == only
    assert told["mcnemar"]["p"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    low, high = told["difference"]["ua"]["interval"]
    assert 0 < low <= told["difference"]["ua"]["difference"] <= high


def test_speakers_come_from_the_data_that_is_named(workplace: Path, own_runs: Path):
    write_answers(own_runs / "first", 0.9, 0)
    write_answers(own_runs / "second", 0.4, 1)
    runs = ("--compare", "first", "second", "--runs", own_runs, "--out", own_runs / "out")
    for data, over in (([], "utterances"), (["--data", "data/tones"], "speakers")):
        assert command("evaluate", *runs, *data) == 0
        told = read_json(own_runs / "out" / "comparison.json")
        assert told["difference"]["over"] == over


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["WORDS", "VOICE"], "tested different utterances"),
        (["WORDS", "nowhere"], "saved_models/nowhere: no such run"),
        (["WORDS", "empty"], "holds no predictions.csv"),
        (["WORDS", "broken"], "predictions.csv: damaged; evaluate the run again"),
        (["WORDS", "WORDS", "--split", "test"], "without --split"),
        (["WORDS", "WORDS", "--data", "nowhere"], "nowhere does not exist"),
        (["WORDS", "WORDS", "--robustness"], "without --robustness"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistake_is_answered_in_a_sentence(
    words_run: Path, voice_run: Path, workplace: Path, own_runs: Path, arguments, message, capsys
):
    for name in ("empty", "broken"):
        (workplace / "saved_models" / name).mkdir(exist_ok=True)
    (workplace / "saved_models" / "broken" / "predictions.csv").write_text("id,label\nu00,sad\n")
    names = {"WORDS": str(words_run), "VOICE": voice_run.name}
    typed = [names.get(entry, entry) for entry in arguments]
    assert command("evaluate", "--compare", *typed) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1


def test_comparing_needs_no_tensorflow(tmp_path: Path):
    write_answers(tmp_path / "first", 0.9, 0)
    write_answers(tmp_path / "second", 0.4, 1)
    code = (
        "import sys; from mmer_tf import cli, evaluate\n"
        f"arguments = ['--runs', {str(tmp_path)!r}, '--compare', 'first', 'second']\n"
        "assert cli.run(evaluate.main, evaluate.make_parser(), arguments) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
