"""The page itself: what stands where, and which part asks for what."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from mmer_tf.deploy.web.desk import Desk
from mmer_tf.deploy.web.examples import Example, read_examples
from mmer_tf.deploy.web.recognisers import NONE
from mmer_tf.deploy.web.turns import Turns
from mmer_tf.deploy.web.uploads import SCRIPT as UPLOADS
from mmer_tf.types import Seconds, Word

TITLE = "Emotion in voice and words"
PURPOSE = (
    "A demonstration of trained classifiers. It guesses how acted or read speech sounds, is often "
    "wrong, and must not be used to judge people: docs/demo.md says what it may be used for. "
    "Nothing you record leaves this machine or is kept."
)
NAMES = {
    "pocketsphinx": "pocketsphinx (English)",
    "whisper": "Whisper",
    "none": "none: I type the words",
}

KEPT: Seconds = 1800
"""Recordings are removed after so long, and when the demo ends."""

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

SCRIPT = (Path(__file__).parent / "live.js").read_text(encoding="utf-8") + UPLOADS

LIVE = """<div class="mmer">
<p class="mmer-soft">What is said is judged at once, in memory; the sound itself is not stored.</p>
<button type="button" id="mmer-live-button" class="mmer-button">Start the microphone</button>
<p id="mmer-live-state" role="status" class="mmer-soft"></p>
<div id="mmer-now"></div>
</div>"""

_SETTINGS = "(run, asr) => { window.mmerSettings = { run, asr }; return []; }"
"""Tells `live.js` what is chosen."""

_quiet = {"api_visibility": "private", "queue": True}


def make_page(desk: Desk) -> gr.Blocks:
    """The page; `app.make_app` serves it."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, int(KEPT))) as page:
        gr.HTML(f"<h1>{TITLE}</h1><p>{PURPOSE}</p>", elem_id="mmer-head")
        with gr.Row():
            run = gr.Dropdown(
                [(one.title, name) for name, one in desk.classifiers.runs.items()],
                value=next(iter(desk.classifiers.runs)),
                label="Model",
                filterable=False,
                min_width=300,
            )
            asr = gr.Radio(
                [(NAMES[name], name) for name in desk.recognisers.names],
                value=desk.recognisers.names[0],
                label="Speech recognition",
                min_width=300,
            )
        with gr.Tabs():
            with gr.Tab("One utterance"):
                _utterance_tab(desk, run, asr)
            with gr.Tab("Over time"):
                _timeline_tab(desk, run, asr)
            with gr.Tab("Live"):
                _live_tab(page, run, asr)
    page.queue(default_concurrency_limit=4, max_size=64)
    return page


def _utterance_tab(desk: Desk, run: gr.Dropdown, asr: gr.Radio) -> None:
    heard, turns = gr.State(()), gr.State(Turns)
    with gr.Row():
        with gr.Column(min_width=320):
            recording = _recorder(
                "Voice: record or upload", ["microphone", "upload"], "mmer-recording"
            )
            gr.HTML('<p class="mmer-soft">Or try a synthetic voice:</p>', elem_classes="mmer")
            with gr.Row(elem_id="mmer-examples"):
                examples = [
                    (one, gr.Button(one.manner.capitalize(), size="sm", min_width=70))
                    for one in read_examples()
                ]
            transcript = gr.Textbox(
                label="Words: heard or typed; correct them and classify again",
                lines=2,
                elem_id="mmer-transcript",
            )
            with gr.Row():
                classify = gr.Button("Classify again", variant="primary", size="md", min_width=150)
                clear = gr.Button("Clear", size="md", min_width=80)
        with gr.Column(min_width=320):
            result = gr.HTML(_placeholder("The result appears here."), elem_id="mmer-result")
    everything = [recording, result, transcript, heard]
    given = [run, recording, transcript, heard, turns]
    more = {"show_progress_on": [result, transcript], "trigger_mode": "multiple", **_quiet}
    hear, read = _hearing(desk), _reading(desk)
    for event in (recording.stop_recording, recording.upload):
        event(hear, [asr, *given], everything, **more)
    gr.on([classify.click, transcript.submit], read, given, everything, **more)
    run.change(_judged_anew(desk), given, everything, **more)
    for one, button in examples:
        button.click(_example(desk, one), [run, turns], everything, **more)
    recording.clear(_without_recording, [asr, turns], everything, **more)
    clear.click(_cleared, turns, everything, **more)


def _timeline_tab(desk: Desk, run: gr.Dropdown, asr: gr.Radio) -> None:
    turns = gr.State(Turns)
    recording = _recorder(
        "A long recording: record or upload", ["upload", "microphone"], "mmer-long"
    )
    follow = gr.Button("Follow the emotion", variant="primary", size="md")
    timeline = gr.HTML(_placeholder("The timeline appears here."), elem_id="mmer-timeline")

    def followed(run: str, asr: str, recording: str | None, turns: Turns) -> Iterator[Any]:
        number = turns.begin(followed)
        for html in desk.follow(run, asr, recording):
            if not turns.is_newest(number):
                yield gr.skip()  # the last one is shown once more at the end
                return
            yield html
        turns.end(number)

    def followed_anew(run: str, asr: str, recording: str | None, turns: Turns) -> Iterator[Any]:
        if turns.pending is None:
            yield gr.skip()
        else:
            yield from followed(run, asr, recording, turns)

    def emptied(turns: Turns) -> str:
        turns.begin()
        return _placeholder("The timeline appears here.")

    given = [run, asr, recording, turns]
    more = {"show_progress": "minimal", "trigger_mode": "multiple", **_quiet}
    follow.click(followed, given, timeline, **more)
    gr.on([run.change, asr.change], followed_anew, given, timeline, **more)
    recording.clear(emptied, turns, timeline, **more)


def _live_tab(page: gr.Blocks, run: gr.Dropdown, asr: gr.Radio) -> None:
    gr.HTML(LIVE)
    for event in (page.load, run.change, asr.change):
        event(None, [run, asr], None, js=_SETTINGS, **_quiet)


def _recorder(label: str, sources: list[str], name: str) -> gr.Audio:
    """A player that hands over files as they came; the first source is offered first."""
    return gr.Audio(
        label=label, sources=sources, type="filepath", buttons=[], editable=False, elem_id=name
    )


def _placeholder(text: str) -> str:
    return f'<div class="mmer"><p class="mmer-soft">{text}</p></div>'


def _answer(turns: Turns, run: str, job: Callable[[str], tuple]) -> tuple:
    """What a job says of a run; nothing where something else was asked meanwhile."""
    number = turns.begin(job)
    values = job(run)
    return values if turns.end(number) else _nothing()


def _nothing() -> tuple:
    return gr.skip(), gr.skip(), gr.skip(), gr.skip()


def _hearing(desk: Desk) -> Callable:
    def hear(
        asr: str, run: str, recording: str | None, transcript: str, _: tuple, turns: Turns
    ) -> tuple:
        def job(run: str) -> tuple:
            shown = desk.hear(run, asr, recording, transcript)
            words = gr.skip() if shown.transcript is None else shown.transcript
            return gr.skip(), shown.html, words, shown.heard

        return _answer(turns, run, job)

    return hear


def _reading(desk: Desk) -> Callable:
    def read(
        run: str, recording: str | None, transcript: str, heard: tuple[Word, ...], turns: Turns
    ) -> tuple:
        def job(run: str) -> tuple:
            shown = desk.read(run, recording, transcript, heard)
            # What the user typed stays as it is, blanks included.
            return gr.skip(), shown.html, gr.skip(), shown.heard

        return _answer(turns, run, job)

    return read


def _judged_anew(desk: Desk) -> Callable:
    read = _reading(desk)

    def judge(
        run: str, recording: str | None, transcript: str, heard: tuple[Word, ...], turns: Turns
    ) -> tuple:
        if turns.pending is not None:  # its words are not there yet
            return _answer(turns, run, turns.pending)
        if recording is None and not transcript.strip():
            return _nothing()
        return read(run, recording, transcript, heard, turns)

    return judge


def _example(desk: Desk, one: Example) -> Callable:
    def job(run: str) -> tuple:
        shown = desk.read(run, str(one.path), one.transcript)
        return str(one.path), shown.html, one.transcript, shown.heard

    def show(run: str, turns: Turns) -> tuple:
        return _answer(turns, run, job)

    return show


def _cleared(turns: Turns) -> tuple:
    turns.begin()
    return None, _placeholder("The result appears here."), "", ()


def _without_recording(asr: str, turns: Turns) -> tuple:
    _, result, words, heard = _cleared(turns)
    return gr.skip(), result, gr.skip() if asr == NONE else words, heard
