"""What the page draws is HTML that says the same to eyes and to screen readers."""

import base64
import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.web.drawing import COLOURS, colour, draw_judgement, draw_message, outline
from mmer_tf.deploy.web.looking import Looked
from mmer_tf.deploy.web.timeline import draw_timeline
from mmer_tf.deploy.web.utterance import Judgement
from mmer_tf.evaluation.attention import Stretch
from mmer_tf.types import Answer, Word

EVIL = "<img src=x onerror=alert(1)> \"quoted\" 'x' & ${value} {{value}} </script>"
ANSWER = Answer("happy", {"angry": 0.2, "happy": 0.7, EVIL: 0.1})


def judged(**more) -> Judgement:
    looked = Looked(
        voice=(Stretch(0.0, 0.5, 0.25), Stretch(0.5, 1.0, 0.75)),
        words=(("[CLS]", 0.1), (EVIL, 0.6), ("now", 0.3)),
        gate=0.25,
    )
    wave = np.sin(np.arange(16_000) / 20).astype("float32")
    fields = {"waveform": wave, "looked": looked, "notes": (EVIL,), "took": {"decoding": 0.002}}
    return Judgement(ANSWER, 0.5, **(fields | more))


def parsed(html: str) -> ElementTree.Element:
    """Well-formed: every part is closed, nothing of the user's became one."""
    return ElementTree.fromstring(f"<body>{html}</body>")


def test_an_utterance():
    page = parsed(draw_judgement(judged()))
    text = "".join(page.itertext())
    for said in ("happy confidence 70%", "voice 25%", "words 75%", "start", "decoding 2 ms"):
        assert said in text
    bands = page.findall(".//svg/g/rect")
    assert [float(band.get("opacity")) for band in bands] == [0.25, 0.75]
    assert [float(band.get("x")) for band in bands] == [0.0, 450.0]
    assert page.find(".//svg").get("role") == "img"
    assert "strongest at 0.5 s" in page.find(".//svg").get("aria-label")
    shares = [row.findall("td")[-1].text for row in page.findall(".//details//tbody/tr")]
    assert shares == ["10.0%", "60.0%", "30.0%"]


@pytest.mark.parametrize("html", [draw_judgement(judged()), draw_message(EVIL)])
def test_text_stays_text(html: str):
    page = parsed(html)
    assert not page.findall(".//img") and not page.findall(".//script")
    assert EVIL in "".join(page.itertext())
    assert "${" not in html and "{{" not in html  # what the page would take for a template


def test_calibration_is_told():
    assert "Not calibrated" in draw_judgement(judged())
    assert "Calibrated on validation recordings (temperature 1.50)" in draw_judgement(
        judged(temperature=1.5)
    )


def test_an_outline_fits_its_frame():
    for wave in (np.zeros(1, "float32"), np.ones(7, "float32"), np.full(9999, -0.5, "float32")):
        points = [tuple(map(float, point.split())) for point in outline(wave)[1:-1].split("L")]
        assert all(0 <= x <= 900 and 0 <= y <= 120 for x, y in points)


def test_every_class_has_a_colour():
    labels = [str(number) for number in range(len(COLOURS) + 1)]
    assert colour(labels, "0") != colour(labels, "1") and colour(labels, "") not in COLOURS


SEGMENTS = [
    Segment(0.0, 2.0, "happy", 0.8, {"angry": 0.2, "happy": 0.8}, (Word(EVIL, 0.1, 0.5),)),
    Segment(3.0, 4.0, "", 0.6, {"angry": 0.6, "happy": 0.4}, (), "unsure"),
    Segment(5.0, 5.2, "", 0.0, {}, (), "too short to judge (0.20 s of speech)"),
]


def test_a_timeline():
    page = parsed(draw_timeline(SEGMENTS, ("angry", "happy"), 10.0, "call.wav"))
    boxes = page.findall(".//svg/rect")
    assert [float(box.get("x")) for box in boxes] == [0.0, 270.0, 450.0]
    assert "3 parts; the table below says the same" in page.find(".//svg").get("aria-label")
    rows = ["".join(row.itertext()) for row in page.findall(".//tbody/tr")]
    assert EVIL in rows[0] and "0:00.00 – 0:02.00" in rows[0] and "80%" in rows[0]
    assert "unsure (most likely angry, 60%)" in rows[1]
    assert "unsure" in rows[2] and "most likely" not in rows[2]
    assert "(too short to judge" in rows[2]


def test_a_timeline_can_be_kept():
    page = parsed(draw_timeline(SEGMENTS, ("angry", "happy"), 10.0, "call.wav"))
    kept = {}
    for link in page.findall(".//a"):
        kind, _, content = link.get("href").partition(";base64,")
        kept[kind] = base64.b64decode(content).decode()
        assert link.get("download").startswith("call-emotions.")
    rows = list(csv.DictReader(io.StringIO(kept["data:text/csv"])))
    assert [row["label"] for row in rows] == ["happy", "", ""] and rows[0]["words"] == EVIL
    lines = kept["data:application/x-ndjson"].splitlines()
    assert [Segment.from_json(json.loads(line)) for line in lines] == SEGMENTS


def test_a_growing_timeline():
    html = draw_timeline(SEGMENTS[:1], ("angry", "happy"), 4.0, "", SEGMENTS[1], "Listening")
    assert "Listening: now unsure (most likely angry, 60%)" in html and "download" not in html
    html = draw_timeline(SEGMENTS[:1], ("angry", "happy"), 4.0, "", None, "Listening")
    assert "Listening: last happy 80%" in html
    assert "nothing to judge yet" in draw_timeline([], ("angry",), 1.0, "", None, "Listening")
    assert "Nobody speaks in this recording" in draw_timeline([], ("angry",), 1.0)
