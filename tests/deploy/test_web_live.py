"""Long recordings and microphones of the page, without a browser."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_bundle import SPEECH, TEXT, make_bundle
from stream_fakes import join, room, voice
from web_fakes import make_desk

from mmer_tf.bundle import Bundle
from mmer_tf.deploy.web.desk import Desk
from mmer_tf.deploy.web.live import Microphones

WAVE = join(room(1), voice(3.5), room(1.5, 1), voice(2.5, seed=2), room(1, 3))
RATE = 48_000


@pytest.fixture
def desk(small_bundle: Bundle) -> Desk:
    return make_desk(small_bundle, threshold=0.3)


@pytest.fixture
def recording(tmp_path: Path) -> str:
    soundfile.write(tmp_path / "call.flac", WAVE, 16_000)
    return str(tmp_path / "call.flac")


def test_a_long_recording(desk: Desk, recording: str):
    *_, html = desk.follow("small", "pocketsphinx", recording)
    assert html.count('<th scope="row">') >= 2 and "never again" in html
    assert 'download="call-emotions.csv"' in html and "0:09.50" in html


def test_a_long_recording_without_words(desk: Desk, recording: str):
    *_, html = desk.follow("small", "none", recording)
    assert "never" not in html and html.count('<th scope="row">') >= 2


def test_nobody_speaks(desk: Desk, tmp_path: Path):
    soundfile.write(tmp_path / "room.wav", room(3), 16_000)
    *_, html = desk.follow("small", "none", str(tmp_path / "room.wav"))
    assert "Nobody speaks in this recording" in html


def test_a_recording_that_cannot_be_read(desk: Desk, tmp_path: Path):
    (tmp_path / "call.wav").write_bytes(b"nothing to hear")
    (html,) = desk.follow("small", "none", str(tmp_path / "call.wav"))
    assert "call.wav: not audio" in html and str(tmp_path) not in html
    (html,) = desk.follow("small", "none", None)
    assert "There is no recording" in html


def test_a_model_that_reads_needs_a_recogniser(recording: str):
    desk = make_desk(make_bundle(text=TEXT))
    (html,) = desk.follow("small", "none", recording)
    assert "this model reads only the words" in html
    *_, html = desk.follow("small", "pocketsphinx", recording)
    assert "never again" in html
    microphones = Microphones(desk)
    html = microphones.push("a", "small", "none", RATE, np.zeros(480, "float32"), last=False)
    assert "this model reads only the words" in html and len(microphones) == 0


def push(microphones: Microphones, key: str, wave: np.ndarray, size: int = 8000) -> list[str]:
    parts = [wave[first : first + size] for first in range(0, len(wave), size)]
    return [
        microphones.push(key, "small", "pocketsphinx", 16_000, part, last=number == len(parts) - 1)
        for number, part in enumerate(parts)
    ]


def test_a_microphone_says_what_a_file_says(desk: Desk, recording: str):
    microphones = Microphones(desk)
    *growing, whole = push(microphones, "a", WAVE)
    assert "Listening: nothing to judge yet" in growing[0]
    assert any("Listening: last " in one for one in growing)
    assert "download" not in growing[-1] and "download" in whole
    *_, followed = desk.follow("small", "pocketsphinx", recording)
    assert rows(whole) == rows(followed)
    assert len(microphones) == 0  # nothing of it is left


def rows(html: str) -> str:
    return html[html.index("<tbody>") : html.index("</tbody>")]


def test_without_a_recogniser_the_present_is_told(desk: Desk):
    microphones = Microphones(desk)
    html = microphones.push("a", "small", "none", 16_000, voice(5), last=False)
    assert "Listening: now " in html


def test_two_browsers_do_not_hear_each_other(desk: Desk):
    microphones = Microphones(desk)
    a, b = voice(4), room(4)
    for first in range(0, len(a), 8000):
        said = microphones.push(
            "a", "small", "pocketsphinx", 16_000, a[first : first + 8000], first + 8000 >= len(a)
        )
        silent = microphones.push(
            "b", "small", "pocketsphinx", 16_000, b[first : first + 8000], first + 8000 >= len(b)
        )
    assert "never again" in said and "Nobody speaks" in silent


def test_another_model_begins_anew(small_bundle: Bundle):
    desk = make_desk(small_bundle, voice=make_bundle(speech=SPEECH))
    microphones = Microphones(desk)
    microphones.push("a", "small", "none", 16_000, voice(4), last=False)
    html = microphones.push("a", "voice", "none", 16_000, room(0.5), last=False)
    assert "<svg" not in html and len(microphones) == 1


def test_silent_ones_are_forgotten_and_too_many_refused(desk: Desk):
    now = [0.0]
    microphones = Microphones(desk, silent=60, most=2, clock=lambda: now[0])
    none = np.zeros(0, "float32")
    for key in ("a", "b"):
        assert "problem" not in microphones.push(key, "small", "none", RATE, none, last=False)
    html = microphones.push("c", "small", "none", RATE, none, last=False)
    assert "2 microphones are on already" in html and len(microphones) == 2
    now[0] = 61
    assert "problem" not in microphones.push("c", "small", "none", RATE, none, last=False)
    assert len(microphones) == 1
    now[0] = 200
    microphones.forget()
    assert len(microphones) == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("nobody", "none", RATE), "unknown run"),
        (("small", "siri", RATE), "unknown recogniser"),
        (("small", "none", 12), "rate of 12 Hz is implausible"),
    ],
)
def test_settings_that_make_no_sense(desk: Desk, settings, told: str):
    html = Microphones(desk).push("a", *settings, np.zeros(480, "float32"), last=False)
    assert told in html
