"""The demo as somebody uses it: with a microphone, files, words; on a desktop and on a phone."""

import base64
import csv
import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from screens import DESKTOP, PATIENCE, PHONE

RESULT, TRANSCRIPT = "#mmer-result", "#mmer-transcript textarea"


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def upload(page, place: str, file: Path) -> None:
    page.locator(place).get_by_role("button", name="Upload file").click()
    page.locator(f"{place} input[type=file]").set_input_files(file)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_page_opens_and_fits(open_page, size: tuple[int, int]):
    page = open_page(size)
    for name in ("Angry", "Happy", "Neutral", "Sad", "Classify again"):
        page.get_by_role("button", name=name).wait_for()
    page.get_by_text("The result appears here.").wait_for()
    assert page.locator(TRANSCRIPT).is_editable() and fits(page)


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_an_example_and_words_alone(open_page, size: tuple[int, int]):
    page = open_page(size)
    page.get_by_role("button", name="Happy").click()
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    assert page.locator(TRANSCRIPT).input_value() == "We won, let's celebrate tonight!"
    shown = page.locator(RESULT).inner_text()
    for part in ("How probable", "Voice or words?", "Where in the voice", "Which words", "ms"):
        assert part in shown
    assert fits(page)
    page.get_by_role("button", name="Clear", exact=True).last.click()
    page.get_by_text("The result appears here.").wait_for()
    page.locator(TRANSCRIPT).fill("Never again. <b>bold</b> ${1 + 1} {{value}}")
    page.get_by_role("button", name="Classify again").click()
    page.get_by_text("answered from the words alone").wait_for()
    page.locator(f"{RESULT} summary").click()
    assert "never" in page.locator(f"{RESULT} table.mmer-numbers").inner_text()
    assert page.locator(f"{RESULT} b").count() == 0 and fits(page)
    for tab in ("Over time", "Live"):
        page.get_by_role("tab", name=tab).click()
        assert fits(page)


@pytest.mark.slow
def test_every_control_has_a_name(open_page):
    page = open_page()
    page.get_by_role("button", name="Sad").click()
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    for tab in ("One utterance", "Over time", "Live"):
        page.get_by_role("tab", name=tab).click()
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, input, textarea, select, [role=img]")]
              .filter((one) => one.checkVisibility() && one.type !== "file")
              .filter((one) => !(one.ariaLabel || one.innerText?.trim() || one.title
                || one.labels?.length || one.getAttribute("aria-labelledby")))
              .map((one) => one.outerHTML.slice(0, 200))"""
        )
        assert unnamed == []
    small = page.evaluate(
        """() => [...document.querySelectorAll(".mmer *")]
          .filter((one) => one.checkVisibility() && parseFloat(getComputedStyle(one).fontSize) < 12)
          .length"""
    )
    assert small == 0


@pytest.mark.slow
def test_speaking(open_page):
    page = open_page()
    recorder = page.locator("#mmer-recording")
    recorder.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(4000)
    recorder.get_by_role("button", name="Stop", exact=True).first.click()
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    assert page.locator(TRANSCRIPT).input_value() != ""
    assert "speech recognition" in page.locator(RESULT).inner_text()
    page.locator(TRANSCRIPT).fill("Good morning!")
    page.get_by_role("button", name="Classify again").click()
    page.locator(RESULT).get_by_text("morning").first.wait_for()
    assert "Where in the voice" in page.locator(RESULT).inner_text()


@pytest.mark.slow
def test_files_and_broken_ones(open_page, tmp_path: Path, speech: Path):
    page = open_page(PHONE)
    (tmp_path / "broken.wav").write_bytes(b"no sound " * 1000)
    upload(page, "#mmer-recording", tmp_path / "broken.wav")
    alert = page.locator(f"{RESULT} [role=alert]")
    alert.wait_for()
    assert "broken.wav: not audio" in alert.inner_text() and "/tmp" not in alert.inner_text()
    assert page.locator(".toast-wrap .error").count() == 0 and fits(page)
    page.get_by_role("button", name="Clear", exact=True).last.click()
    page.get_by_text("The result appears here.").wait_for()
    wave, rate = soundfile.read(speech, dtype="float32")
    soundfile.write(tmp_path / "voice.mp3", wave[: 3 * rate], rate)
    upload(page, "#mmer-recording", tmp_path / "voice.mp3")
    page.locator(f"{RESULT} .mmer-verdict").wait_for()


def write_film(path: Path, codec: str, speech: Path, seconds: int) -> Path:
    """Sound alone in a file that browsers take for a film."""
    wave, rate = soundfile.read(speech, dtype="float32")
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=960)
        frame = av.AudioFrame.from_ndarray(wave[None, : seconds * rate], "fltp", "mono")
        frame.rate = rate
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            out.mux(stream.encode(part))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "codec"), [("webm", "libopus"), ("mp4", "aac")])
def test_sound_that_browsers_take_for_a_film(
    open_page, tmp_path: Path, speech: Path, ending: str, codec: str
):
    file = write_film(tmp_path / f"voice.{ending}", codec, speech, 4)
    page = open_page()
    page.get_by_text("none: I type the words").click()
    upload(page, "#mmer-recording", file)
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    player = page.locator("#mmer-recording")
    player.get_by_role("button", name="Play", exact=True).wait_for()
    page.get_by_role("tab", name="Over time").click()
    drop(page, "#mmer-long button", file)
    page.locator("#mmer-long").get_by_role("button", name="Play", exact=True).wait_for()
    page.get_by_role("button", name="Follow the emotion").click()
    page.get_by_role("link", name="Download CSV").wait_for()
    assert page.locator(".toast-body").count() == 0


def drop(page, place: str, file: Path) -> None:
    """As the mouse does."""
    content = base64.b64encode(file.read_bytes()).decode()
    page.locator(place).first.evaluate(
        """(place, [content, name, type]) => {
          const dataTransfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
          dataTransfer.items.add(new File([bytes], name, { type }));
          const dropped = { bubbles: true, cancelable: true, dataTransfer };
          place.dispatchEvent(new DragEvent("drop", dropped));
        }""",
        [content, file.name, f"video/{file.suffix[1:]}"],
    )


@pytest.mark.slow
def test_another_model(open_page):
    page = open_page()
    page.get_by_role("button", name="Angry").click()
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    page.get_by_label("Model").click()
    page.get_by_role("option", name="acoustic: voice").click()
    page.get_by_text("hears only the voice: the transcript is not used").wait_for()


@pytest.mark.slow
def test_another_model_while_the_words_are_heard(open_page, speech: Path):
    page = open_page()
    upload(page, "#mmer-recording", speech)
    page.wait_for_timeout(1500)
    page.get_by_label("Model").click()
    page.get_by_role("option", name="acoustic: voice").click()
    page.locator(RESULT).get_by_text("Model: acoustic: voice").wait_for()
    assert page.locator(TRANSCRIPT).input_value() != ""
    page.wait_for_timeout(5000)  # in which another answer would come
    assert page.locator(RESULT).get_by_text("Model: acoustic: voice").is_visible()


@pytest.mark.slow
def test_what_was_cleared_does_not_come_back(open_page, speech: Path):
    page = open_page()
    upload(page, "#mmer-recording", speech)
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Clear", exact=True).last.click()
    page.wait_for_timeout(15_000)
    assert page.locator(RESULT).inner_text().strip() == "The result appears here."
    assert page.locator(TRANSCRIPT).input_value() == ""
    page.get_by_role("button", name="Sad").click()
    page.locator(f"{RESULT} .mmer-verdict").wait_for()
    page.locator("#mmer-recording").get_by_role("button", name="Clear").first.click()
    page.get_by_text("The result appears here.").wait_for()
    assert page.locator(TRANSCRIPT).input_value() == ""


@pytest.mark.slow
def test_typed_words_stay(open_page, tmp_path: Path, speech: Path):
    wave, rate = soundfile.read(speech, dtype="float32")
    soundfile.write(tmp_path / "voice.wav", wave[: 3 * rate], rate)
    page = open_page()
    page.get_by_text("none: I type the words").click()
    page.locator(TRANSCRIPT).fill("Good morning!")
    upload(page, "#mmer-recording", tmp_path / "voice.wav")
    page.locator(RESULT).get_by_text("morning").first.wait_for()
    assert "Where in the voice" in page.locator(RESULT).inner_text()
    page.locator("#mmer-recording").get_by_role("button", name="Clear").first.click()
    page.get_by_text("The result appears here.").wait_for()
    assert page.locator(TRANSCRIPT).input_value() == "Good morning!"


@pytest.mark.slow
def test_two_minutes_over_time(open_page, tmp_path: Path, speech: Path):
    page = open_page(PHONE)
    wave, rate = soundfile.read(speech, dtype="float32")
    times = -(-120 * rate // len(wave))
    soundfile.write(tmp_path / "talk.flac", np.tile(wave, times)[: 120 * rate], rate)
    page.get_by_text("none: I type the words").click()  # whose speed is not what is tested
    page.get_by_role("tab", name="Over time").click()
    page.locator("#mmer-long input[type=file]").set_input_files(tmp_path / "talk.flac")
    page.locator("#mmer-long").get_by_role("button", name="Play", exact=True).wait_for()
    page.get_by_role("button", name="Follow the emotion").click()
    link = page.get_by_role("link", name="Download CSV")
    link.wait_for(timeout=2 * PATIENCE)
    assert fits(page)
    timeline = page.locator("#mmer-timeline svg")
    assert "Emotion over 2:00.00" in timeline.get_attribute("aria-label")
    rows = page.locator("#mmer-timeline tbody tr").count()
    assert rows >= 20
    with page.expect_download() as downloading:
        link.click()
    assert downloading.value.suggested_filename == "talk-emotions.csv"
    kept = list(csv.DictReader(io.StringIO(Path(downloading.value.path()).read_text())))
    assert len(kept) == rows and kept[0]["file"] == "talk.flac"
    lines = page.get_by_role("link", name="Download JSON lines").get_attribute("href")
    assert base64.b64decode(lines.partition("base64,")[2]).count(b"\n") == rows


@pytest.mark.slow
def test_a_live_microphone(open_page):
    page, other = open_page(), open_page(PHONE)
    for one in (page, other):
        one.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Start the microphone").click()
    page.locator("#mmer-now svg").wait_for()
    page.get_by_role("button", name="Stop the microphone").click()
    page.locator("#mmer-now").get_by_role("link", name="Download CSV").wait_for()
    assert page.locator("#mmer-now tbody tr").count() >= 1
    assert other.locator("#mmer-now").inner_text() == ""
    assert page.get_by_text("The microphone is off.").is_visible() and fits(page)
