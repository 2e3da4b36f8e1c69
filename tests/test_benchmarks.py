"""The benchmarks: what they start, what they read, and the tables that they write."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from mmer_tf.evaluation.metrics import score
from mmer_tf.evaluation.predictions import Predictions, save_predictions
from mmer_tf.recipe import recipe_to_mapping, shipped_recipes
from mmer_tf.types import Utterance

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import emodb  # noqa: E402
import runs  # noqa: E402
import support_vector_machine  # noqa: E402
import synthetic  # noqa: E402
from markdown_table import markdown_table  # noqa: E402
from run import SECTIONS  # noqa: E402
from word_error_rate import word_errors  # noqa: E402

SCRIPTS = (
    "synthetic",
    "emodb",
    "support_vector_machine",
    "serving_load",
    "word_error_rate",
)
LABELS = ("anger", "happiness", "neutral", "sadness")


def answers(ids, seed: int) -> Predictions:
    """Random ones, a good part of them right."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 4, len(ids))
    probabilities = random.dirichlet([1.0] * 4, len(ids)) + 0.5 * np.eye(4)[targets]
    return Predictions(np.array(ids), targets, probabilities / 1.5, LABELS)


def write_run(folder: Path, predictions: Predictions) -> dict:
    folder.mkdir(parents=True)
    save_predictions(predictions, folder / "predictions.csv")
    report = score(predictions)
    (folder / "report.json").write_text(json.dumps(report))
    return report


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started, each of which leaves a report without training."""
    commands = []

    def start(command):
        commands.append(command)
        option = dict(itertools.pairwise(command))
        ids = [f"s{option['--folds']}-{i}" for i in range(30)]
        write_run(Path(option["--runs"], option["--run"]), answers(ids, len(commands)))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(runs.subprocess, "run", start)
    return commands


def cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{script}.py", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{script}.py" in done.stdout


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "", 3),
        ("", "a", 1),
        ("a b c", "a c d", 2),
        ("a b", "b a", 2),
    ],
)
def test_word_errors(said, heard, errors):
    assert word_errors(said.split(), heard.split()) == errors


def test_readme_tells_of_every_script():
    """By its name, or by the first word of the section that it belongs to."""
    text = (BENCHMARKS / "README.md").read_text()
    words = tuple(f"{name.partition('_')[0]}_" for name in SECTIONS)
    for file in BENCHMARKS.glob("*.py"):
        of_section = file.name.startswith(words)
        assert of_section or f"`{file.name}`" in text, file.name


def test_every_named_system_has_a_recipe_that_loads():
    recipes = shipped_recipes()
    assert set(synthetic.RECIPES) <= set(recipes)
    for system in emodb.SYSTEMS.values():
        if system.recipe:
            recipe = runs.load_recipe(recipes[system.recipe], system.overrides)
            assert recipe.text is None
            assert recipe.speech.weights is None  # everything starts from nothing


def test_table_escapes_and_counts_its_cells():
    assert markdown_table(("a", "b"), [("x|y", "1")]) == "| a | b |\n|---|---|\n| x\\|y | 1 |\n"
    with pytest.raises(ValueError, match="1 cells, the header 2"):
        markdown_table(("a", "b"), [("x",)])


def test_finished_trainings_are_not_repeated(started, tmp_path):
    arguments = {"data": None, "runs": tmp_path, "fold": 0}
    first = runs.train("gmu", "gmu", seed=0, **arguments)
    assert first.epochs == 20
    assert runs.train("gmu", "gmu", seed=0, **arguments) == first
    assert len(started) == 1
    others = [
        runs.train("gmu", "gmu", seed=1, **arguments),
        runs.train("gmu", "gmu", ["train.epochs=3"], seed=0, **arguments),
        runs.train("gmu", "gmu", seed=0, data=tmp_path / "emodb", fold=0, runs=tmp_path),
    ]
    assert len({first.folder, *(run.folder for run in others)}) == len(started) == 4
    assert others[1].epochs == 3
    assert "train.epochs=3" in started[2]
    assert "--data" in started[3] and "--data" not in started[0]


def test_interrupted_training_goes_on(started, tmp_path, monkeypatch):
    fail = SimpleNamespace(returncode=130)
    arguments = {"data": None, "runs": tmp_path, "fold": 0, "seed": 0}
    with monkeypatch.context() as patch:
        patch.setattr(runs.subprocess, "run", lambda command: fail)
        with pytest.raises(SystemExit, match="exit code 130; the same command goes on"):
            runs.train("gmu", "gmu", **arguments)
    assert (runs.train("gmu", "gmu", **arguments).folder / runs.REPORT).is_file()
    assert len(started) == 1


def test_what_a_recipe_says_of_itself_does_not_change_its_run(started, tmp_path, monkeypatch):
    first = runs.train("gmu", "gmu", data=None, runs=tmp_path, fold=0, seed=0)
    load = runs.load_recipe

    def reworded(*arguments):
        values = recipe_to_mapping(load(*arguments))
        return runs.replace(load(*arguments), summary=values["summary"] + ", reworded")

    monkeypatch.setattr(runs, "load_recipe", reworded)
    assert runs.train("gmu", "gmu", data=None, runs=tmp_path, fold=0, seed=0) == first


def test_synthetic_table(started, tmp_path):
    out = tmp_path / "table.md"
    arguments = ["--seeds", "0,1", "--recipes", "gmu,mm_b", "--runs", tmp_path, "--out", out]
    synthetic.main([str(entry) for entry in arguments])
    text = out.read_text()
    assert "no scientific result" in text and "python benchmarks/" in text and "keras" in text
    header, _, *rows = cells(text)
    assert header == list(synthetic.HEADER)
    assert [row[0] for row in rows] == ["`gmu`", "`mm_b`"]
    reports = [json.loads(file.read_text()) for file in tmp_path.glob("gmu-*/report.json")]
    was = np.array([report["wa"] for report in reports])
    assert len(was) == 2
    assert rows[0][2] == f"{was.mean():.3f} ± {abs(was[0] - was[1]) / 2**0.5:.3f}"
    assert rows[0][4] == "20"


def test_emodb_row(tmp_path):
    """Two folds of two speakers: means by fold, pooled figures, an interval around them."""
    folders, reports, parts = [tmp_path / "fold0", tmp_path / "fold1"], [], []
    for fold, folder in enumerate(folders):
        parts.append(answers([f"{'ab'[i % 2]}{fold}-{i:02d}" for i in range(60)], fold))
        reports.append(write_run(folder, parts[-1]))
    speakers = {str(id): str(id)[:2] for part in parts for id in part.ids}
    name, what, first, second, ua, pooled_ua, wa, pooled_wa = emodb.row(
        "system", "what it is", folders, speakers
    )
    assert (name, what) == ("`system`", "what it is")
    assert (first, second) == tuple(f"{report['ua']:.3f}" for report in reports)
    assert ua == f"{(reports[0]['ua'] + reports[1]['ua']) / 2:.3f}"
    assert wa == f"{(reports[0]['wa'] + reports[1]['wa']) / 2:.3f}"
    targets = np.concatenate([part.targets for part in parts])
    predicted = np.concatenate([part.predicted for part in parts])
    assert pooled_ua.startswith(f"{balanced_accuracy_score(targets, predicted):.3f} [")
    assert pooled_wa.startswith(f"{accuracy_score(targets, predicted):.3f} [")
    value, low, high = (float(part.strip("[],")) for part in pooled_ua.split())
    assert low < value < high


def test_emodb_table(started, tmp_path, monkeypatch):
    data = tmp_path / "emodb"
    data.mkdir()
    (data / "dataset.json").touch()
    rows = [SimpleNamespace(id=f"s{fold}-{i}", speaker=f"s{fold}{i % 2}")
            for fold in range(5) for i in range(30)]  # fmt: skip
    monkeypatch.setattr(emodb, "read_dataset", lambda folder: SimpleNamespace(rows=rows))
    arguments = ["--data", data, "--systems", "blstm_mean,alexnet_augmented", "--tiny"]
    arguments += ["--runs", tmp_path / "runs", "--out", tmp_path / "table.md"]
    emodb.main([str(entry) for entry in arguments])
    text = (tmp_path / "table.md").read_text()
    assert "150 utterances" in text and "no result" in text
    header, _, *lines = cells(text)
    assert header == list(emodb.HEADER)
    assert [line[0] for line in lines] == ["`blstm_mean`", "`alexnet_augmented`"]
    assert len(started) == 10
    assert [command[command.index("--folds") + 1] for command in started[:5]] == list("01234")
    assert set(emodb.AUGMENTED) < set(started[-1])


def test_statistics_of_a_clip_by_hand():
    frames = np.float32([[0, 10], [1, 10], [2, 10], [3, 10], [4, 10]])
    expected = [2, 10, 2**0.5, 0, 3.6, 10]
    np.testing.assert_allclose(support_vector_machine.statistics_of(frames), expected)


def test_machine_trains_on_six_speakers_and_judges_two():
    """Emotions far apart in one of the statistics: all right, but for what was labelled wrongly."""
    rows, statistics = [], []
    random = np.random.default_rng(0)
    for speaker in range(10):
        for i in range(12):
            # Speakers 2 and 7 are called by other labels than the ones that they sound like.
            said, meant = i % 4, (i + 1) % 4 if speaker in (2, 7) else i % 4
            rows.append(Utterance(id=f"{speaker}-{i:02d}", label=LABELS[meant],
                                  speaker=str(speaker)))  # fmt: skip
            statistics.append(random.normal(0, 0.1, 6) + 3 * np.eye(6)[said])
    dataset = SimpleNamespace(rows=rows, labels=LABELS)
    ids = [row.id for row in rows]

    def judged(fold: int) -> Predictions:
        return support_vector_machine.judge_fold(dataset, fold, ids, np.stack(statistics))

    first = judged(1)  # validates on 2 and 7, which are then not trained on
    assert {str(id)[0] for id in first.ids} == {"1", "6"}
    assert score(first)["ua"] == 1.0
    assert score(judged(2))["wa"] == 0.0
