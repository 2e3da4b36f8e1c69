"""The driver of all sections, and the page and the file that it writes."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import deployment  # noqa: E402
import profiles  # noqa: E402
import run  # noqa: E402
from contest import Line  # noqa: E402
from deployment_questions import Question, one_by_one, read_questions, together, write_questions  # noqa: E402
from training_epochs import read_history  # noqa: E402

OPPONENTS = BENCHMARKS.parent / ".opponents"
TORCH = OPPONENTS / "torch" / "bin" / "python"


def made_up(**fields) -> Line:
    values = {"what": "MFCC | a clip", "opponent": "librosa"}
    values |= {"unit": "clips/s", "ours": 1234.5, "theirs": 0.12345, "ratios": (2.0, 8.0, 4.0)}
    return Line(**(values | fields))


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """Runs the driver with sections that yield made-up lines; returns both files."""

    def start(lines: dict[str, list[Line]], *arguments: str) -> tuple[str, dict]:
        for name, own in lines.items():
            module = type(sys)(name)
            module.measure = lambda setting, own=own: iter(own)
            monkeypatch.setitem(sys.modules, name, module)
        out = tmp_path / "results" / "2026-01-31"
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        places = {"torch": sys.executable, "audio": sys.executable, "work": tmp_path, "out": out}
        given = [text for name, value in places.items() for text in (f"--{name}", str(value))]
        run.main([*arguments, *given])
        page = out.with_suffix(".md").read_text(encoding="utf-8")
        return page, json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))

    return start


def test_page_and_json(driver):
    lines = {
        "reading": [made_up(goal=10, difference="1e-3", note="of a kind")],
        "features": [made_up(), made_up(what="log-mel", ratios=(250.0, 100.4, 99.0))],
    }
    page, told = driver(lines, "--only", "reading, features")
    assert page.startswith("# Benchmarks, 2026-01-31\n")
    assert page.index("## Input pipeline") < page.index("## Features")
    row = "| MFCC \\| a clip | librosa | 1234 clips/s | 0.123 | 4 (2–8) | 10 | 1e-3 |"
    assert row in page
    assert "| 100 (99–250) |" in page
    assert "- MFCC | a clip: of a kind; missed: not profiled" in page
    assert page.count("\n- ") == 1  # no note, no line of it
    assert "python benchmarks/run.py --only 'reading, features'" in page
    assert "no result" not in page
    assert list(told["sections"]) == ["reading", "features"]
    first = told["sections"]["reading"]["lines"][0]
    assert first["ratio"] == 4.0 and first["ratios"] == [2.0, 8.0, 4.0] and first["goal"] == 10
    assert told["machine"] and "tensorflow" in told["versions"]
    assert told["opponents"] in page and f"numpy {np.__version__}" in told["opponents"]


def test_a_trial_says_so(driver):
    page, _ = driver({"features": [made_up()]}, "--only", "features", "--tiny")
    assert "no result" in page


def test_sections_that_are_done_stay(driver, tmp_path):
    def failing():
        yield made_up()
        raise SystemExit("theirs failed with exit code 3")

    with pytest.raises(SystemExit, match="a section failed"):
        driver({"features": [made_up()], "reading": failing()}, "--only", "features,reading")
    page = (tmp_path / "results" / "2026-01-31.md").read_text(encoding="utf-8")
    assert "## Features" in page and "**Stopped: theirs failed with exit code 3**" in page


@pytest.mark.parametrize(
    ("section", "what", "goal", "ratio", "said"),
    [
        ("training_step", "gmu, batches of 16", 1.5, 1.5, ""),
        ("training_step", "gmu, batches of 16", 1.5, 1.4, "missed: of 62 ms"),
        ("training_step", "another", 1.5, 1.4, "missed: not profiled"),
        ("deployment", "Keras: a batch", None, 0.9, "where the time goes: under the profiler"),
        ("deployment", "another", None, 0.9, ""),
        ("deployment", "Keras: a batch", None, 1.1, ""),
    ],
)
def test_missed_goals_are_explained(section, what, goal, ratio, said):
    found = profiles.missed(section, what, goal, ratio)
    assert found.startswith(said) and bool(found) == bool(said)


def test_unknown_section(capsys):
    with pytest.raises(SystemExit) as ended:
        run.main(["--only", "features,speed"])
    assert ended.value.code == 2
    assert "no section 'speed'; known are features, preparing" in capsys.readouterr().err


def test_missing_opponents(tmp_path):
    with pytest.raises(SystemExit, match="nothing is missing; `make benchmark` sets it up"):
        run.main(["--torch", str(tmp_path / "nothing")])


@pytest.mark.parametrize("name", run.SECTIONS)
def test_every_section_measures(name):
    assert callable(importlib.import_module(name).measure)


def test_questions_come_back(tmp_path):
    asked = [Question(np.float32([0.5, -1]), "so what"), Question(np.float32([0.25]), "")]
    write_questions(tmp_path, "single", asked)
    found = read_questions(tmp_path, "single")
    assert [one.words for one in found] == ["so what", ""]
    for one, other in zip(asked, found, strict=True):
        np.testing.assert_array_equal(one.waveform, other.waveform)


def test_work_on_questions():
    asked = [Question(np.zeros(3, "float32"), words) for words in "abc"]
    calls = []

    def answer(question: Question) -> np.ndarray:
        calls.append(question.words)
        return np.array([ord(question.words), 0.0])

    work = one_by_one(answer, asked, size=7)
    np.testing.assert_array_equal(work.answers["probabilities"][:, 0], [97, 98, 99])
    work.run()
    work.run()
    assert calls == list("abc" * 3)
    assert work.facts["bytes"] == 7 and len(work.facts["milliseconds"]) == 2
    batch = together(lambda questions: np.stack([answer(one) for one in questions]), asked)
    np.testing.assert_array_equal(batch.answers["probabilities"], work.answers["probabilities"])


def test_batches_of_one_length():
    """Three of two words, cut to the shortest of the two that are taken."""

    def tokenizer(texts):
        return None, type("Mask", (), {"numpy": lambda _: np.ones(len(texts[0].split()))})()

    texts = ("a b", "a", "c d", "a b c", "e f")
    asked = [Question(np.zeros(9 - n, "float32"), text) for n, text in enumerate(texts)]
    taken = deployment.of_one_length(asked, tokenizer, 2)
    assert [one.words for one in taken] == ["a b", "c d"]
    assert [len(one.waveform) for one in taken] == [7, 7]
    with pytest.raises(SystemExit, match="only 3 utterances have 2 tokens, 4 are needed"):
        deployment.of_one_length(asked, tokenizer, 4)


def test_history_of_a_training(tmp_path):
    (tmp_path / "stored").mkdir()
    rows = "epoch,loss,val_loss,val_ua,val_wa\n1,2.0,1.5,0.25,0.5\n2,1.0,1.25,0.5,0.75\n"
    (tmp_path / "stored" / "history.csv").write_text(rows)
    found = read_history(tmp_path, "stored")
    assert {name: list(values) for name, values in found.items()} == {
        "val_loss": [1.5, 1.25], "val_ua": [0.25, 0.5], "val_wa": [0.5, 0.75]
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("section", ["preparing", "stored_states", "scaling", "deployment"])
def test_a_trial_of_a_section(section, tmp_path):
    if section == "deployment" and not TORCH.is_file():
        pytest.skip("PyTorch's environment is not there; `make benchmark` sets it up")
    torch = TORCH if TORCH.is_file() else sys.executable
    command = [sys.executable, BENCHMARKS / "run.py", "--tiny", "--only", section]
    command += ["--torch", torch, "--audio", sys.executable]
    command += ["--work", tmp_path / "work", "--out", tmp_path / "page"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((tmp_path / "page.json").read_text(encoding="utf-8"))
    lines = told["sections"][section]["lines"]
    assert lines and all(len(line["ratios"]) >= 5 and line["ratio"] > 0 for line in lines)
    assert f"## {run.SECTIONS[section]}" in (tmp_path / "page.md").read_text(encoding="utf-8")
