"""The ladder of made-up reports, worked out by hand."""

import json
from io import StringIO

import pytest
from PIL import Image
from rich.console import Console

from mmer_tf.evaluation.ladder import (
    draw_ladder,
    ladder_markdown,
    ladder_table,
    make_ladder,
    write_ladder,
)


def report(ua: float, fold: int = 0, **changes) -> dict:
    return {
        "run": f"m-{ua}-fold{fold}", "fold": fold, "seed": 0, "ua": ua, "wa": ua - 0.1,
        "macro_f1": ua - 0.2, "weighted_f1": ua, "loss": 1.0, "n": 20,
        "labels": ["a", "b", "c", "d"], "notes": [],
    } | changes  # fmt: skip


def audit(verdict: str, *findings: tuple[str, str]) -> dict:
    return {
        "verdict": verdict,
        "findings": [{"severity": severity, "kind": kind} for severity, kind in findings],
        "unknown": [],
    }


def ladder(reports: dict, refused: dict | None = None, trained: dict | None = None) -> dict:
    about = {"run": "m-corpus-ladder-folds-seed0", "data": "corpus", "fold": "all", "seed": (0,)}
    trained = {name: [60] * len(of_name) for name, of_name in reports.items()} | (trained or {})
    return make_ladder(reports, trained, refused or {}, **about)


@pytest.fixture
def three_rungs() -> dict:
    leaky = audit("leak", ("leak", "audio"), ("note", "speaker"), ("note", "transcript"))
    drawn = "random split: the same speakers are in training and test"
    return ladder(
        {
            "session": [report(0.5, audit=audit("clean")), report(0.7, 1, audit=audit("clean"))],
            "random": [
                report(0.9, audit=leaky, notes=[drawn]),
                report(0.8, 1, audit=audit("clean", ("note", "speaker")), notes=[drawn, "odd"]),
            ],
            "speaker": [report(0.7), report(0.6, 1)],
        },
        {"script": "12 of 40 utterances have no script"},
    )


def test_rungs_go_from_the_leakiest_to_the_strictest(three_rungs: dict):
    rungs = three_rungs["rungs"]
    assert [rung["protocol"] for rung in rungs] == ["random", "speaker", "session"]
    assert [rung["promises"] for rung in rungs] == [[], ["speaker"], ["session"]]
    assert [rung["n"] for rung in rungs] == [40, 40, 40]
    assert rungs[0]["ua"] == [0.9, 0.8] and rungs[0]["runs"] == ["m-0.9-fold0", "m-0.8-fold1"]


def test_worth_is_what_a_protocol_gains_over_the_lowest(three_rungs: dict):
    means = [rung["summary"]["ua"]["mean"] for rung in three_rungs["rungs"]]
    assert means == pytest.approx([0.85, 0.65, 0.6])
    assert [rung["worth"] for rung in three_rungs["rungs"]] == pytest.approx([0.25, 0.05, 0])
    assert "leak worth: how much more UA than under 'session'" in three_rungs["notes"][0]
    unheard = ladder({"script": [report(0.4)], "speaker": [report(0.7)]})
    assert [rung["worth"] for rung in unheard["rungs"]] == pytest.approx([0, 0.3])
    # Sample deviation of two values: their difference over the square root of two.
    deviation = three_rungs["rungs"][0]["summary"]["ua"]["deviation"]
    assert deviation == pytest.approx(0.1 / 2**0.5)
    assert three_rungs["chance"] == 0.25


def test_the_worst_verdict_stands_for_all_runs_with_the_kinds_that_they_found(three_rungs: dict):
    assert [rung["audit"] for rung in three_rungs["rungs"]] == [
        {"verdict": "leak", "leaks": 1, "notes": 2},
        None,
        {"verdict": "clean", "leaks": 0, "notes": 0},
    ]
    clean, unknown = (report(0.5, audit=audit(verdict)) for verdict in ("clean", "unknown"))
    rungs = ladder({"random": [clean, unknown], "speaker": [clean, report(0.5)]})["rungs"]
    assert rungs[0]["audit"]["verdict"] == "unknown" and rungs[1]["audit"] is None


def test_notes_name_their_protocol_and_single_runs_are_warned_of(three_rungs: dict):
    notes = three_rungs["notes"]
    assert "random: random split: the same speakers are in training and test" in notes
    assert "random: fold 1, seed 0: odd" in notes
    assert not any("one run of each protocol" in note for note in notes)
    single = ladder({"random": [report(0.5)], "speaker": [report(0.4)]})
    assert any("one run of each protocol" in note for note in single["notes"])


def test_unequal_amounts_of_training_data_are_told():
    reports = {"random": [report(0.5)], "speaker": [report(0.4), report(0.4, 1)]}
    assert not any("training data" in note for note in ladder(reports)["notes"])
    uneven = ladder(reports, trained={"speaker": [80, 81]})
    note = "more training data helps too; utterances to train on: random 60, speaker 80"
    assert note in uneven["notes"]
    assert uneven["rungs"][1]["trained_on"] == [80, 81]


def test_a_terminal_of_80_columns_shows_every_figure(three_rungs: dict):
    console = Console(file=StringIO(), width=80)
    console.print(ladder_table(three_rungs))
    printed = console.file.getvalue()
    row = next(line for line in printed.splitlines() if "random" in line)
    figures = "random 2 0.850 ± 0.071 +0.250 0.750 ± 0.071 1 leak, 2"
    assert " ".join(row.split()).startswith(figures)
    assert "not audited" in printed
    assert "not on the ladder: script: 12 of 40 utterances have no script" in printed


def test_markdown_holds_a_row_for_each_protocol(three_rungs: dict):
    page = ladder_markdown(three_rungs)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    heading, _, random, speaker, session = rows
    assert dict(zip(heading, random, strict=True)) == {
        "protocol": "random", "runs": "2", "UA": "0.850 ± 0.071", "leak worth": "+0.250",
        "WA": "0.750 ± 0.071", "macro F1": "0.650 ± 0.071", "audit": "1 leak, 2 notes",
        "trained on": "60",
        "test shares no": "(nothing is promised)",
    }  # fmt: skip
    assert (speaker[-1], session[-1]) == ("speaker", "session")
    assert session[3] == "+0.000"
    assert "![The ladder](ladder.png)" in page
    assert "- not on the ladder: script: 12 of 40 utterances have no script\n" in page


def test_one_run_has_no_deviation():
    page = ladder_markdown(ladder({"random": [report(0.5)], "speaker": [report(0.4)]}))
    assert "±" not in page and "| random | 1 | 0.500 | +0.100 | 0.400 |" in page


def test_everything_is_written(three_rungs: dict, tmp_path):
    write_ladder(three_rungs, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"ladder.png", "ladder.md", "report.json"}
    assert json.loads((tmp_path / "report.json").read_text()) == three_rungs
    assert (tmp_path / "ladder.md").read_text() == ladder_markdown(three_rungs)
    with Image.open(tmp_path / "ladder.png") as picture:
        assert picture.format == "PNG" and picture.width > 500


def test_the_plot_shows_means_deviations_and_chance(three_rungs: dict):
    (axes,) = draw_ladder(three_rungs).axes
    ua, wa = axes.containers
    assert list(ua.lines[0].get_ydata()) == pytest.approx([0.85, 0.65, 0.6])
    assert list(wa.lines[0].get_ydata()) == pytest.approx([0.75, 0.55, 0.5])
    (bars,) = ua.lines[2]
    (low, high) = bars.get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.85 - 0.0707, 0.85 + 0.0707), abs=1e-3)
    assert set(axes.get_legend_handles_labels()[1]) == {"UA", "WA", "UA of guessing"}
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["random", "speaker", "session"]
