"""Which runs the page offers, and how many it holds."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_bundle import SPEECH, TEXT, make_bundle, noise

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.web.classifiers import Classifiers
from mmer_tf.deploy.web.desk import Desk
from mmer_tf.deploy.web.recognisers import Recognisers
from mmer_tf.deploy.web.runs import NoRunError, Run, find_runs
from mmer_tf.registry import UnknownNameError


@pytest.fixture(scope="module")
def runs(small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make_bundle(speech=SPEECH).save(folder / "voice")
    time.sleep(0.02)  # the newest is shown first
    make_bundle(text=TEXT).save(folder / "words")
    time.sleep(0.02)
    small_bundle.save(folder / "both")
    (folder / "unfinished").mkdir()
    (folder / "strange").mkdir()
    for name in ("model.keras", "labels.json"):
        (folder / "strange" / name).write_text("{}")
    (folder / "strange" / "recipe.yaml").write_text("nonsense: true")
    (folder / "file").write_text("")
    return folder


def test_finished_runs_with_what_they_take(runs: Path):
    titles = [run.title for run in find_runs(runs).values()]
    assert titles == ["multimodal: both", "lexical: words", "acoustic: voice"]


def test_the_named_one_comes_first(runs: Path, small_bundle: Bundle, tmp_path: Path):
    assert list(find_runs(runs, runs / "voice")) == ["voice", "both", "words"]
    small_bundle.save(tmp_path / "elsewhere")
    assert next(iter(find_runs(runs, tmp_path / "elsewhere"))) == "elsewhere"


@pytest.mark.parametrize("name", ["nowhere", "unfinished", "strange"])
def test_a_run_that_is_none_is_told(runs: Path, name: str):
    with pytest.raises(NoRunError, match=f"{name}: no finished run; `ls"):
        find_runs(runs, runs / name)


def test_no_run_at_all_is_told(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoRunError, match="train one with `make train`, or name --runs"):
            find_runs(folder)


def test_two_are_held(runs: Path):
    read: list[str] = []

    def load(folder: Path) -> Bundle:
        read.append(folder.name)
        return Bundle.load(folder)

    classifiers = Classifiers(find_runs(runs), held=2, load=load)
    assert read == []  # lazily
    for name in ("both", "voice", "both", "words", "both"):
        assert classifiers.get(name).labels == ("angry", "happy", "sad")
    assert read == ["both", "voice", "words"] and classifiers.in_memory == ("words", "both")
    with pytest.raises(UnknownNameError, match="unknown run 'bth'; did you mean 'both'"):
        classifiers.get("bth")


def test_a_damaged_run_is_told_on_the_page(runs: Path, small_bundle: Bundle, tmp_path: Path):
    small_bundle.save(tmp_path / "damaged")
    (tmp_path / "damaged" / "model.keras").write_bytes(b"nothing")
    desk = Desk(Classifiers(find_runs(runs, tmp_path / "damaged")), Recognisers(), 0.5)
    shown = desk.read("damaged", None, "Never again.")
    assert "damaged or of another version; copy the run again" in shown.html
    assert "mmer-problem" not in desk.read("both", None, "Never again.").html


def test_one_answer_at_a_time(small_bundle: Bundle):
    inside, most = [], []

    class Slow:
        labels, hears, reads = small_bundle.labels, True, True

        def predict(self, *given):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            return small_bundle.predict(*given)

    classifiers = Classifiers({"a": Run("a", Path("a"), True, True)}, load=lambda folder: Slow())
    classifier = classifiers.get("a")
    answers: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        (answer,) = classifier.predict([noise(0.5, number)], [""])
        answers[number] = np.array(list(answer.probabilities.values()))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    for number, answer in answers.items():
        (alone,) = small_bundle.predict([noise(0.5, number)], [""])
        np.testing.assert_allclose(answer, list(alone.probabilities.values()), atol=1e-6)
