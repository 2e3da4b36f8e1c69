"""What the page asks for and gets: HTML always, an error as a sentence in it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmer_tf.deploy.asr import Recogniser
from mmer_tf.deploy.web.classifiers import Classifiers
from mmer_tf.deploy.web.drawing import draw_judgement, draw_message, escape
from mmer_tf.deploy.web.recognisers import NONE, Recognisers
from mmer_tf.deploy.web.recordings import follow_recording
from mmer_tf.deploy.web.telling import NothingGivenError, sentence
from mmer_tf.deploy.web.utterance import judge
from mmer_tf.types import Word


@dataclass(frozen=True)
class Shown:
    """A result.

    Args:
        html: what is shown.
        transcript: what was judged; None leaves what stands there.
        heard: the words with their times, as they were recognised.
    """

    html: str
    transcript: str | None = None
    heard: tuple[Word, ...] = ()


class Desk:
    """Answers the page; knows nothing of the browser that asks.

    Args:
        classifiers: the runs.
        recognisers: of speech.
        threshold: below this probability the page is unsure.
    """

    def __init__(self, classifiers: Classifiers, recognisers: Recognisers, threshold: float):
        self.classifiers, self.recognisers, self.threshold = classifiers, recognisers, threshold

    def hear(self, run: str, asr: str, recording: str | None, typed: str = "") -> Shown:
        """A new recording: its words are heard, and it is classified.

        Args:
            run: name of the run.
            asr: name of the recogniser; where that is none, the typed words are judged.
            recording: file.
            typed: words that stand there.
        """
        if asr == NONE and recording is not None:
            return self.read(run, recording, typed)
        return self._judged(run, asr, recording, None)

    def read(
        self, run: str, recording: str | None, transcript: str, heard: tuple[Word, ...] = ()
    ) -> Shown:
        """The recording with the words that stand there now, or the words alone."""
        shown = self._judged(run, NONE, recording, transcript, heard)
        return replace(shown, transcript=None)

    def _judged(
        self,
        run: str,
        asr: str,
        recording: str | None,
        transcript: str | None,
        heard: tuple[Word, ...] = (),
    ) -> Shown:
        try:
            if recording is None and transcript is None:
                raise NothingGivenError("There is no recording: record one or choose a file.")
            classifier = self.classifiers.get(run)
            recogniser, missing = None, None
            if transcript is None:
                recogniser, missing = self.recogniser(asr)
            judged = judge(
                classifier,
                recogniser,
                None if recording is None else Path(recording),
                transcript,
                self.threshold,
                heard,
            )
        except Exception as error:
            return Shown(draw_message(sentence(error)), "" if transcript is None else None, heard)
        html = (draw_message(missing, "note") if missing else "") + draw_judgement(judged)
        html += self._named(run)
        return Shown(html, judged.transcript, judged.words)

    def _named(self, run: str) -> str:
        return f'<p class="mmer-soft">Model: {escape(self.classifiers.runs[run].title)}</p>'

    def recogniser(self, asr: str) -> tuple[Recogniser | None, str | None]:
        """A recogniser; or none, and why the voice alone is judged."""
        try:
            return self.recognisers.get(asr), None
        except Exception as error:
            told = sentence(error)
            return None, f"No speech recognition, so the voice alone is judged: {told}"

    def follow(self, run: str, asr: str, recording: str | None) -> Iterator[str]:
        """The timeline of a recording while it grows."""
        if recording is None:
            yield draw_message("There is no recording: record one or choose a file.")
            return
        warned = ""
        try:
            classifier = self.classifiers.get(run)
            recogniser, missing = self.recogniser(asr)
            warned = draw_message(missing, "note") if missing else ""
            warned = self._named(run) + warned
            for html in follow_recording(classifier, recogniser, Path(recording), self.threshold):
                yield warned + html
        except Exception as error:
            yield warned + draw_message(sentence(error))
