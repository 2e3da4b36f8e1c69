"""One utterance as HTML: what was answered, how sure, and by looking at what."""

import html
from collections.abc import Sequence

import numpy as np

from mmer_tf.deploy.stream.writing import clock
from mmer_tf.deploy.web.utterance import Judgement
from mmer_tf.evaluation.attention import Stretch
from mmer_tf.types import SAMPLE_RATE

COLUMNS = 300
"""Of the drawing of a recording."""

WIDTH, HEIGHT = 900, 120

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#6b4fa0")
"""Of the classes in their order (Okabe and Ito, and two more); never without the name."""

UNSURE_COLOUR = "#8a9099"

SPECIAL = {"[CLS]": "start", "[SEP]": "end", "[UNK]": "unknown word"}


def escape(text: str) -> str:
    """Text as HTML, also where a page takes HTML for a template with ${…} and {{…}}."""
    text = html.escape(str(text), quote=True)
    for character in "{}$":
        text = text.replace(character, f"&#{ord(character)};")
    return text


def colour(labels: Sequence[str], label: str) -> str:
    """Of a class; grey where there is none."""
    return COLOURS[list(labels).index(label) % len(COLOURS)] if label in labels else UNSURE_COLOUR


def draw_message(text: str, kind: str = "problem") -> str:
    """A sentence in place of a result."""
    return f'<div class="mmer-{kind}" role="{"alert" if kind == "problem" else "status"}">' + (
        f"<p>{escape(text)}</p></div>"
    )


def draw_judgement(judged: Judgement) -> str:
    """Everything that is shown of an utterance."""
    parts = [_verdict(judged), *(draw_message(note, "note") for note in judged.notes)]
    parts.append(_probabilities(judged))
    if judged.looked.gate is not None:
        parts.append(_gate(judged.looked.gate))
    if judged.waveform is not None:
        parts.append(_voice(judged.waveform, judged.looked.voice))
    if judged.looked.words:
        parts.append(_words(judged.looked.words))
    parts.append(_times(judged))
    return f'<div class="mmer">{"".join(parts)}</div>'


def _verdict(judged: Judgement) -> str:
    label, share = escape(judged.answer.label), f"{judged.confidence:.0%}"
    if judged.sure:
        said = f"<strong>{label}</strong> <span>confidence {share}</span>"
        hue = colour(tuple(judged.answer.probabilities), judged.answer.label)
    else:
        said = (
            f"<strong>unsure</strong> <span>most likely {label}, but at {share} that is below "
            f"{judged.threshold:.0%}</span>"
        )
        hue = UNSURE_COLOUR
    return f'<p class="mmer-verdict" role="status" style="border-color:{hue}">{said}</p>'


def _probabilities(judged: Judgement) -> str:
    labels = tuple(judged.answer.probabilities)
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        f'<td class="mmer-bar"><span style="width:{share:.1%};background:{colour(labels, label)}">'
        f"</span></td><td>{share:.1%}</td></tr>"
        for label, share in sorted(judged.answer.probabilities.items(), key=lambda one: -one[1])
    )
    return (
        "<h3>How probable is each emotion?</h3>"
        f'<table class="mmer-bars"><caption>{_calibration(judged.temperature)}</caption>'
        f"<tbody>{rows}</tbody></table>"
    )


def _calibration(temperature: float) -> str:
    if temperature == 1.0:
        return "Not calibrated: models are often surer than they are right."
    return f"Calibrated on validation recordings (temperature {temperature:.2f})."


def _gate(voice: float) -> str:
    return (
        "<h3>Voice or words?</h3>"
        f'<div class="mmer-gate" role="img" aria-label="{voice:.0%} voice, {1 - voice:.0%} words">'
        f'<span style="width:{voice:.1%}">voice {voice:.0%}</span>'
        f"<span>words {1 - voice:.0%}</span></div>"
        '<p class="mmer-soft">How much of each the model let through, on average.</p>'
    )


def _voice(waveform: np.ndarray, attention: Sequence[Stretch]) -> str:
    seconds = len(waveform) / SAMPLE_RATE
    scale = WIDTH / seconds
    most = max((one.weight for one in attention), default=0.0) or 1.0
    bands = "".join(
        f'<rect x="{one.start * scale:.1f}" y="0" '
        f'width="{max(0.0, one.end - one.start) * scale:.1f}" '
        f'height="{HEIGHT}" opacity="{0.75 * one.weight / most:.3f}"/>'
        for one in attention
    )
    if attention:
        peak = max(attention, key=lambda one: one.weight)
        title = "Where in the voice did it listen?"
        said = f"The voice over {seconds:.1f} seconds; attention is strongest at {peak.start:.1f} s"
        below = "The stronger the colour, the more it counted."
    else:
        title, below = "The voice", "This model does not tell where in the voice it listened."
        said = f"The voice over {seconds:.1f} seconds"
    return (
        f"<h3>{title}</h3>"
        f'<svg class="mmer-voice" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'role="img" aria-label="{said}"><g class="mmer-attention">{bands}</g>'
        f'<path d="{outline(waveform)}"/></svg>'
        f'<p class="mmer-axis"><span>0:00</span><span>{clock(seconds)}</span></p>'
        f'<p class="mmer-soft">{below}</p>'
    )


def outline(waveform: np.ndarray, columns: int = COLUMNS) -> str:
    """The loudest and the lowest sample of each part of a waveform, as the path of an SVG.

    Args:
        waveform: float32 (samples,), at least one.
        columns: parts, at most one a sample.
    """
    parts = np.array_split(waveform, min(columns, len(waveform)))
    full = max(float(np.abs(waveform).max()), 1e-6)
    middle, reach = HEIGHT / 2, HEIGHT / 2 - 4
    step = WIDTH / len(parts)
    upper = [(n * step, middle - reach * float(one.max()) / full) for n, one in enumerate(parts)]
    lower = [(n * step, middle - reach * float(one.min()) / full) for n, one in enumerate(parts)]
    points = [*upper, *reversed(lower)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _words(words: Sequence[tuple[str, float]]) -> str:
    most = max(weight for _, weight in words) or 1.0
    spans = " ".join(
        f'<span{_class(word)} style="--weight:{weight / most:.2f}" title="{weight:.1%}">'
        f"{escape(SPECIAL.get(word, word))}</span>"
        for word, weight in words
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(SPECIAL.get(word, word))}</th><td>{weight:.1%}</td></tr>'
        for word, weight in words
    )
    return (
        "<h3>Which words did it look at?</h3>"
        f'<p class="mmer-words">{spans}</p>'
        "<details><summary>As numbers</summary>"
        '<table class="mmer-numbers"><caption>Share of the attention over the words.</caption>'
        f'<thead><tr><th scope="col">Word</th><th scope="col">Share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details>"
    )


def _class(word: str) -> str:
    return ' class="mmer-mark"' if word in SPECIAL else ""


def _times(judged: Judgement) -> str:
    if not judged.took:
        return ""
    steps = ", ".join(f"{step} {seconds * 1000:.0f} ms" for step, seconds in judged.took.items())
    return f'<p class="mmer-soft mmer-times">Time taken: {steps}.</p>'
