"""The table tells what a classifier does under each condition, and what it does not concern."""

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from rich.console import Console

from mmer_tf.data.manifest import Dataset, DatasetError
from mmer_tf.evaluation.conditions import Heard, conditions
from mmer_tf.evaluation.robustness import bundle_robustness, robustness, robustness_table
from mmer_tf.recipe import recipe_from_mapping
from mmer_tf.types import SAMPLE_RATE, Utterance, Word

LABELS = ("loud", "soft")
SPEECH = [
    "noise at 20 dB", "noise at 10 dB", "noise at 0 dB", "telephone, 300–3400 Hz",
    "gain -20 dB", "gain -6 dB", "gain +6 dB", "gain +20 dB",
    "clipped 6 dB below the peak", "clipped 20 dB below the peak",
    "edges cropped, 10% each", "edges cropped, 25% each", "no recording",
]  # fmt: skip
TEXT = [
    "word error rate 10%", "word error rate 20%", "word error rate 30%", "word error rate 40%",
    "word error rate 50%", "no transcript",
]  # fmt: skip


def utterances(count: int = 20) -> list[Utterance]:
    return [
        Utterance(f"u{n}", LABELS[n % 2], transcript="Such a lot of words here.", duration=0.5)
        for n in range(count)
    ]


def voices(count: int = 20) -> list[np.ndarray]:
    """A tone of 1 kHz, loud and soft by turns."""
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    wave = np.sin(2 * np.pi * 1000 * time)
    return [np.float32((0.01 if n % 2 else 0.5) * wave) for n in range(count)]


def by_level(waveforms, transcripts, words) -> np.ndarray:
    """Loud where the voice is, or without a voice where there are many words."""
    answers = []
    for voice, text, _ in zip(waveforms, transcripts, words, strict=True):
        loud = len(text.split()) > 2 if voice is None else np.abs(voice).max() > 0.1
        answers.append((0.9, 0.1) if loud else (0.1, 0.9))
    return np.array(answers)


def table_of(rows) -> dict[str, tuple[float, float, float, int]]:
    return {r["condition"]: (r["ua"], r["wa"], r["unchanged"], r["n"]) for r in rows}


def test_rows_are_what_the_classifier_does():
    rows = robustness(by_level, utterances(), voices(), LABELS)
    assert [row["condition"] for row in rows] == ["clean", *SPEECH, *TEXT]
    assert [row["modality"] for row in rows] == ["none", *["speech"] * 13, *["text"] * 6]
    found = table_of(rows)
    right = (1.0, 1.0, 1.0, 20)
    assert found["clean"] == right
    assert found["gain -6 dB"] == right and found["telephone, 300–3400 Hz"] == right
    assert found["gain -20 dB"] == (0.5, 0.5, 0.5, 20)  # nobody is loud any more
    assert found["no recording"] == (0.5, 0.5, 0.5, 20)  # all have many words
    assert all(found[name] == right for name in TEXT)  # heard, not read


def test_ua_is_the_mean_of_recalls_and_unchanged_compares_with_the_clean_answer():
    """15 loud and 5 soft; the classifier says `soft` always, and `loud` without a recording."""

    def predict(waveforms, transcripts, words):
        return np.array([(0.8, 0.2) if voice is None else (0.3, 0.7) for voice in waveforms])

    rows = utterances()
    rows = [dataclasses.replace(u, label="loud" if n < 15 else "soft") for n, u in enumerate(rows)]
    found = table_of(robustness(predict, rows, voices(), LABELS))
    assert found["clean"] == (0.5, 0.25, 1.0, 20)
    assert found["no recording"] == (0.5, 0.75, 0.0, 20)
    assert found["no transcript"] == (0.5, 0.25, 1.0, 20)


def test_conditions_that_do_not_concern_the_model_are_left_out():
    nothing = [None] * 20
    heard = robustness(by_level, utterances(), voices(), LABELS, reads=False)
    assert [row["condition"] for row in heard] == ["clean", *SPEECH[:-1]]
    read = robustness(by_level, utterances(), nothing, LABELS, hears=False)
    assert [row["condition"] for row in read] == ["clean", *TEXT[:-1]]


def test_utterances_without_what_is_distorted():
    """Four have no recording, four no transcript, two neither."""
    rows, waves = utterances(), voices()
    for n in (0, 1, 2, 3, 8, 9):
        waves[n] = None
    for n in (4, 5, 6, 7, 8, 9):
        rows[n] = dataclasses.replace(rows[n], transcript="<sil>" if n == 4 else " ")
    found = table_of(robustness(by_level, rows, waves, LABELS))
    assert found["clean"][3] == 18
    assert found["noise at 0 dB"][3] == 14
    assert found["no recording"][3] == 11  # one of them says no word, but something
    assert found["word error rate 50%"][3] == 15
    assert found["no transcript"][3] == 11


def test_noise_and_errors_depend_on_the_seed_alone():
    def fingerprint(waveforms, transcripts, words):
        seen.append((float(sum(np.abs(v).sum() for v in waveforms if v is not None)), transcripts))
        return np.tile([0.5, 0.5], (len(waveforms), 1))

    found = []
    for seed in (0, 0, 1):
        seen = []
        robustness(fingerprint, utterances(), voices(), LABELS, seed=seed)
        found.append(seen)
    assert found[0] == found[1]
    differ = [a != b for a, b in zip(found[0], found[2], strict=True)]
    assert differ == [False, *[True] * 3, *[False] * 10, *[True] * 5, False]


def test_timings_move_with_the_crop():
    words = (Word("a", 0.0, 0.1), Word("b", 0.2, 0.6), Word("c", 0.8, 1.0))
    utterance = Utterance("u", "loud", transcript="a b c", words=words, duration=1.0)
    (crop,) = (c for c in conditions({}) if c.name == "edges cropped, 25% each")
    (cropped,) = crop.distort([Heard(utterance, np.ones(SAMPLE_RATE, np.float32))])
    assert len(cropped.waveform) == SAMPLE_RATE // 2
    assert cropped.utterance.words == (Word("b", 0.0, pytest.approx(0.35)),)
    assert (cropped.utterance.transcript, cropped.utterance.duration) == ("a b c", 0.5)


def test_mistakes():
    with pytest.raises(ValueError, match=r"`labels` must hold every class. Missing: soft"):
        robustness(by_level, utterances(), voices(), ("loud",))
    with pytest.raises(ValueError, match=r"`utterances` must hold one that can be judged"):
        robustness(by_level, utterances(), [None] * 20, LABELS, reads=False)


def test_classifier_that_is_handed_nothing_it_can_judge_says_so(tmp_path: Path):
    """A classifier is never asked about an utterance of which nothing is left."""

    def read(waveforms, transcripts, words):
        assert all(transcripts)
        return np.tile([0.9, 0.1], (len(transcripts), 1))

    rows = [dataclasses.replace(one, transcript="Never") for one in utterances()]
    rows[0] = dataclasses.replace(rows[0], transcript="Well")
    found = robustness(read, rows, [None] * 20, LABELS, hears=False)
    lost = [20 - row["n"] for row in found[1:]]
    assert lost == sorted(lost) and lost[-1] > 0


def dataset(folder: Path) -> Dataset:
    rows = utterances()
    for row, voice in zip(rows, voices(), strict=True):
        soundfile.write(folder / f"{row.id}.wav", voice, SAMPLE_RATE, "FLOAT")
    rows = [dataclasses.replace(row, audio=folder / f"{row.id}.wav") for row in rows]
    counts = ("options", "families", "dropped", "rejected", "conversions")
    return Dataset(
        folder=folder, name="tones", root=folder, labels=LABELS, rows=tuple(rows),
        records={}, digest="", **{name: {} for name in counts},
    )  # fmt: skip


def run_that_hears() -> SimpleNamespace:
    described = {"name": "voice", "summary": "", "speech": {"encoder": "blstm"}}
    recipe = recipe_from_mapping(described)
    return SimpleNamespace(recipe=recipe, labels=LABELS, predict_probabilities=by_level)


def test_run_on_a_data_set(tmp_path: Path):
    data, run = dataset(tmp_path), run_that_hears()
    ids = [row.id for row in data.rows[:10]]
    rows = bundle_robustness(run, data, ids)
    assert rows == robustness(by_level, utterances(10), voices(10), LABELS, reads=False)
    with pytest.raises(DatasetError, match="holds no utterance 'nobody'"):
        bundle_robustness(run, data, ["u1", "nobody"])
    data.rows[3].audio.unlink()
    with pytest.raises(DatasetError) as caught:
        bundle_robustness(run, data, ids)
    assert str(caught.value) == (
        f"{tmp_path}: distortions are made of the recordings, and {tmp_path}/u3.wav: missing "
        "file; check the path and the corpus root."
    )


def test_table():
    rows = robustness(by_level, utterances(4), voices(4), LABELS)
    console = Console(width=80, file=io.StringIO())
    console.print(robustness_table(rows, "run: test"))
    text = console.file.getvalue()
    assert all(row["condition"] in text for row in rows) and "0.500" in text
