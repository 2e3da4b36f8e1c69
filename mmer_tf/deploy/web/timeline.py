"""Emotion over time as HTML: a drawing, a table beneath, and both forms to be kept."""

import base64
import io
from collections.abc import Sequence

from mmer_tf.deploy.stream.segment import Segment
from mmer_tf.deploy.stream.smoothing import UNSURE
from mmer_tf.deploy.stream.writing import Form, clock, write_timeline
from mmer_tf.deploy.web.drawing import colour, draw_message, escape
from mmer_tf.types import Seconds

WIDTH, HEIGHT = 900, 60

_TYPES = {"csv": "text/csv", "json": "application/x-ndjson"}


def draw_timeline(
    segments: Sequence[Segment],
    labels: Sequence[str],
    seconds: Seconds,
    name: str = "",
    current: Segment | None = None,
    running: str = "",
) -> str:
    """A timeline.

    Args:
        segments: those that are finished.
        labels: the classes.
        seconds: of the recording so far.
        name: of the recording.
        current: not finished yet.
        running: what goes on, while the recording does; it is not offered to be kept before it
            is whole.
    """
    shown = [*segments, *([current] if current else [])]
    said = ""
    if running:
        # With a recogniser a phrase is judged when it is over, so that there is no present one.
        now = "nothing to judge yet"
        if shown:
            now = f"{'now' if current else 'last'} {spoken(shown[-1])}"
        said = f'<p class="mmer-verdict" role="status">{escape(running)}: {escape(now)}</p>'
    if not shown:
        empty = "" if running else draw_message("Nobody speaks in this recording.", "note")
        return f'<div class="mmer">{said}{empty}</div>'
    parts = [said, _drawing(shown, labels, seconds), _legend(shown, labels)]
    if not running:
        parts.append(_downloads(segments, labels, name))
    parts.append(_table(shown))
    return f'<div class="mmer">{"".join(parts)}</div>'


def _drawing(segments: Sequence[Segment], labels: Sequence[str], seconds: Seconds) -> str:
    scale = WIDTH / max(seconds, segments[-1].end, 1e-3)
    boxes = "".join(
        f'<rect x="{one.start * scale:.1f}" y="{HEIGHT * (1 - height):.1f}" '
        f'width="{max(1.5, (one.end - one.start) * scale - 1):.1f}" '
        f'height="{HEIGHT * height:.1f}" fill="{colour(labels, one.label)}">'
        f"<title>{clock(one.start)} to {clock(one.end)}: {escape(spoken(one))}</title></rect>"
        for one in segments
        for height in [0.25 + 0.75 * one.confidence]
    )
    return (
        f'<svg class="mmer-timeline" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="Emotion over {clock(seconds)}, {len(segments)} parts; '
        f'the table below says the same">{boxes}</svg>'
        f'<p class="mmer-axis"><span>0:00</span><span>{clock(seconds)}</span></p>'
    )


def _legend(segments: Sequence[Segment], labels: Sequence[str]) -> str:
    found = {one.label for one in segments}
    names = [label for label in labels if label in found] + [UNSURE] * (UNSURE in found)
    keys = "".join(
        f'<li><span style="background:{colour(labels, name)}"></span>'
        f"{escape(name or 'unsure')}</li>"
        for name in names
    )
    return f'<ul class="mmer-legend">{keys}<li>taller: more confident</li></ul>'


def _table(segments: Sequence[Segment]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{clock(one.start)} – {clock(one.end)}</th>'
        f"<td>{escape(spoken(one))}</td>"
        f'<td class="mmer-text">{escape(one.text)}{_note(one)}</td></tr>'
        for one in segments
    )
    return (
        '<div class="mmer-scroll" tabindex="0" role="region" aria-label="Table of the timeline">'
        '<table class="mmer-numbers">'
        "<caption>From when to when which emotion, and how confident.</caption>"
        '<thead><tr><th scope="col">Time</th><th scope="col">Emotion</th>'
        '<th scope="col">Words</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _downloads(segments: Sequence[Segment], labels: Sequence[str], name: str) -> str:
    """Links that hold the files themselves, so that none of them lies on the server."""
    stem = name.rsplit(".", 1)[0] or "timeline"
    links = "".join(
        f'<a class="mmer-button" download="{escape(stem)}-emotions.{ending}" '
        f'href="data:{_TYPES[form]};base64,{as_file(form, segments, labels, name)}">'
        f"Download {title}</a>"
        for form, ending, title in (("csv", "csv", "CSV"), ("json", "jsonl", "JSON lines"))
    )
    return f'<p class="mmer-downloads">{links}</p>'


def as_file(form: Form, segments: Sequence[Segment], labels: Sequence[str], name: str) -> str:
    """A timeline as `write_timeline` writes it, in base64."""
    stream = io.StringIO()
    write_timeline(form, stream, labels, segments, name or None)
    return base64.b64encode(stream.getvalue().encode("utf-8", "replace")).decode("ascii")


def spoken(segment: Segment) -> str:
    """Label and confidence of a segment; where it is unsure, what is most likely."""
    if not segment.probabilities:
        return segment.label or "unsure"
    if segment.label != UNSURE:
        return f"{segment.label} {segment.confidence:.0%}"
    label, share = max(segment.probabilities.items(), key=lambda one: one[1])
    return f"unsure (most likely {label}, {share:.0%})"


def _note(segment: Segment) -> str:
    if segment.note in ("", "unsure"):
        return ""
    return f' <span class="mmer-soft">({escape(segment.note)})</span>'
