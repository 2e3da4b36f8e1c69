"""The page: whole, self-contained, readable by all, and deaf to what names try to smuggle in."""

import base64
import html.parser
import io
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmer_tf.evaluation.analysis import Analysis, Block
from mmer_tf.evaluation.attention import Example, Stretch
from mmer_tf.evaluation.evaluate import make_report, write_report
from mmer_tf.evaluation.page import PACKAGES, commands, link_to, render_page
from mmer_tf.evaluation.pictures import draw_pictures
from mmer_tf.evaluation.plots import save_figure
from mmer_tf.evaluation.predictions import Predictions, load_predictions
from mmer_tf.testing import write_wav
from mmer_tf.types import Utterance

HOSTILE = "<script>alert(1)</script> & \"quoted\" $x_1$ 'so'"
LABELS = ("angry", HOSTILE, "sad")
VOID = {"meta", "img", "br", "link", "input"}
HISTORY = """stage,epoch,loss,ua,val_loss,val_ua
1-speech,1,1.0,0.5,1.1,0.4
1-speech,2,0.5,0.6,1.0,0.6
2-head,1,0.4,0.7,1.2,0.5
"""


class Page(html.parser.HTMLParser):
    """Every element with its attributes, and an error where one is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def of(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def predictions(count: int = 40) -> Predictions:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([1.0, 1.0, 1.0], count)
    ids = np.array([f"u{number:02d}<b>" for number in range(count)])
    return Predictions(ids, np.arange(count) % 3, probabilities, LABELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A report with everything that there can be."""
    folder = tmp_path_factory.mktemp("report") / "a run & more"
    folder.mkdir()
    answers = predictions()
    audio = write_wav(folder.parent / "recordings" / "a #1 & b.wav")
    utterances = [
        Utterance(
            id=str(id),
            label="x",
            transcript=f"{HOSTILE} said",
            speaker=f"speaker {number % 4} <i>",
            gender=("female", "male")[number % 2],
            audio=audio if number % 2 else Path("/nowhere/x.wav"),
        )
        for number, id in enumerate(answers.ids)
    ]
    finding = {"kind": "speaker", "severity": "leak", "message": HOSTILE, "count": 3}
    report = make_report(
        answers,
        run="a run <b>",
        data="tones",
        split="test",
        protocol="random",
        fold=0,
        seed=(0, 1),
        notes=["random split: the same speakers are in training and test"],
        utterances=utterances,
        audit={
            "verdict": "leak",
            "findings": [finding | {"examples": ["u1", HOSTILE]}],
            "unknown": [],
        },
        temperature=2.0,
    )
    report["robustness"] = [
        {"condition": HOSTILE, "modality": "none", "ua": 0.5, "wa": 0.5, "unchanged": 1.0, "n": 40}
    ]
    row = {"ua": 0.5, "wa": 0.5, "n": 40, "interval": [0.4, 0.6]}
    report["modalities"] = {"both": row, "speech": row | {"ua": 0.321}, "text": row}
    report["stages"] = [
        {"trains": "speech", "epochs": 2, "best_epoch": 2, "validation_ua": 0.6},
    ]
    report["summary"] = {"wa": {"mean": 0.5, "deviation": 0.1}}
    report["runs"] = ["one", HOSTILE]
    report["vote"], report["members"] = "mean", [{"run": HOSTILE, "wa": 0.5, "ua": 0.5, "n": 40}]
    (folder / "history.csv").write_text(HISTORY)
    (folder / "recipe.yaml").write_text(f"summary: {HOSTILE}\n")
    split = {"data": "data/to nes", "protocol": "random", "fold": 0, "seed": 1}
    (folder / "split.json").write_text(json.dumps(split))
    points = np.random.default_rng(0).normal(size=(40, 2))
    analysis = Analysis(
        blocks={"temporal": Block(answers.ids, answers.targets, points, points)},
        gate={HOSTILE: {"mean": 0.5, "deviation": 0.1, "n": 4}},
        examples=(
            Example("u1", HOSTILE, "sad", 0.9, HOSTILE, words=((HOSTILE, 0.9), ("so", 0.1))),
            Example("u2", "sad", "sad", 0.9, HOSTILE, voice=(Stretch(0.0, 0.1, 1.0),), gate=0.4),
        ),
        notes=(HOSTILE,),
    )
    write_report(report, answers, folder, analysis=analysis)
    return folder


@pytest.fixture(scope="module")
def source(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_page_is_whole_and_its_contents_lead_somewhere(page):
    anchors = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(anchors)) == len(anchors)
    inside = {link["href"][1:] for link in page.of("a") if link["href"].startswith("#")}
    assert inside <= set(anchors)
    assert inside == {section["id"] for section in page.of("section")}
    assert "the voice alone 0.321" in page.text and "[0.400, 0.600]" in page.text
    assert len(page.of("section")) == 15  # everything that there can be


def test_nothing_comes_from_outside(page, source):
    assert (
        "http:" not in source
        and "https:" not in source
        and "//" not in re.sub(r"base64,[^\"]*", "", source)
    )
    assert not page.of("script", "link", "iframe", "object")
    assert "url(" not in source and "@import" not in source
    sources = [image["src"] for image in page.of("img")]
    assert len(sources) == len(list(page.of("img"))) > 10
    for source_ in sources:
        header, content = source_.split(",")
        assert header == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            image.verify()


def test_pictures_are_those_of_the_folder(page, folder):
    embedded = {image["src"].split(",")[1] for image in page.of("img")}
    files = {base64.b64encode(file.read_bytes()).decode() for file in folder.glob("plots/*.png")}
    assert embedded == files
    for image in page.of("img"):
        assert len(image["alt"]) > 20 and int(image["width"]) > 300


def test_hostile_names_stay_text(page, source):
    assert "<script" not in source and "alert(1)&lt;/script&gt;" in source
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert page.text.count("<script>alert(1)</script>") > 10
    assert not page.of("b", "i")


def test_what_must_not_be_overlooked_comes_first(page):
    assert page.text.index("leak found") < page.text.index(" 0.")
    assert page.text.index("random split") < page.text.index("Figures")


def test_page_can_be_read_by_all(page):
    assert page.of("html")[0]["lang"] == "en"
    assert any(meta.get("name") == "viewport" for meta in page.of("meta"))
    assert all(heading.get("scope") in ("col", "row") for heading in page.of("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(sound.get("aria-label") for sound in page.of("audio"))


def test_recordings_are_linked_where_they_are(page, folder):
    linked = {sound["src"] for sound in page.of("audio")}
    assert linked == {"../recordings/a%20%231%20%26%20b.wav"}
    assert "its recording is not at /nowhere/x.wav" in page.text
    assert link_to(None, folder) is None


def test_the_same_again_and_with_what(page):
    assert "--data 'data/to nes' --protocol random --folds 0 --seed 1" in page.text
    assert all(package in page.text for package in PACKAGES)


def test_a_leaky_run_is_told_to_be_trained_leaky_again(folder, tmp_path):
    shutil.copy(folder / "recipe.yaml", tmp_path)
    stored = {"data": "d", "protocol": "speaker", "fold": 0, "seed": 1}
    for encoder_split, leaky in ((None, False), ({"train": ["u1"]}, True)):
        (tmp_path / "split.json").write_text(json.dumps(stored | {"encoder_split": encoder_split}))
        train, _ = commands({"data": "d"}, tmp_path)
        assert train.endswith("--seed 1 --leaky --overwrite" if leaky else "--seed 1 --overwrite")


def test_contrast_is_enough():
    """At least 4.5 : 1 (WCAG 2.1, 1.4.3), in the light and in the dark."""
    style = (Path(make_report.__code__.co_filename).parent / "page.css").read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    )

    def luminance(colour: str) -> float:
        values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(values <= 0.03928, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    pairs = [(text, ground) for text in ("text", "soft", "link") for ground in ("ground", "card")]
    pairs += [(f"{verdict}-text", verdict) for verdict in ("clean", "leak", "unknown")]
    for colours in (light, dark):
        for pair in pairs:
            dim, bright = sorted(luminance(colours[name]) for name in pair)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, pair


def test_the_same_report_gives_the_same_page_and_the_same_pictures(folder, tmp_path):
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    pages = []
    for number in range(2):
        pictures = {}
        for picture, figure in itertools.islice(draw_pictures(report, folder), 1):
            save_figure(figure, tmp_path / f"{number}.png")
            pictures[picture] = (tmp_path / f"{number}.png").read_bytes()
        pages.append(render_page(report, pictures, folder))
    assert pages[0] == pages[1]


def test_without_pictures_there_is_no_page_and_no_stale_one(folder, tmp_path):
    again = shutil.copytree(folder, tmp_path / "again")
    report = json.loads((again / "report.json").read_text(encoding="utf-8"))
    write_report(report, load_predictions(again / "predictions.csv"), again, pictures=False)
    assert not (again / "report.html").exists() and not list(again.glob("plots/*"))
    assert json.loads((again / "report.json").read_text(encoding="utf-8")) == report


def test_a_bare_report_has_a_page(tmp_path):
    answers = Predictions(np.array(["a"]), np.array([0]), np.array([[0.9, 0.1]]), ("x", "y"))
    report = make_report(
        answers, run="r", data="d", split="all", protocol="speaker", fold="all", seed=0
    )
    assert report["per_speaker"] == {} and report["worst_confusions"] == []
    assert report["intervals"]["over"] == "utterances" and "audit" not in report
    write_report(report, answers, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Not audited" in page.text
    assert "no evaluated utterance is y" in page.text
    assert "worst" not in {section["id"] for section in page.of("section")}
