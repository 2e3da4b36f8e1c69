"""The synthetic corpus: its design, its timings, and that it is the same on every run."""

import dataclasses
import hashlib
import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmer_tf.corpora import espeak, synthetic
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.espeak import Espeak, place_words
from mmer_tf.corpora.synthetic import EMOTIONS, SPEAKERS, read, speak_corpus
from mmer_tf.corpora.synthetic_sentences import FRAMES, HINTS
from mmer_tf.types import MissingExtraError, Utterance

pytest.importorskip("espeakng_loader", reason="needs the extra 'synthetic'")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("small") / "synthetic"
    speak_corpus(root, utterances_per_cell=2)
    return root


@pytest.fixture(scope="module")
def design() -> list[dict]:
    """The whole corpus before it is spoken."""
    return [
        synthetic._draw(speaker, emotion, number)
        for speaker in SPEAKERS
        for emotion in EMOTIONS
        for number in range(synthetic.UTTERANCES_PER_CELL)
    ]


def _digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_ten_speakers_in_five_sessions_and_four_balanced_emotions(design):
    assert len(design) == 1000
    assert len({row["id"] for row in design}) == 1000
    assert set(Counter((row["speaker"], row["label"]) for row in design).values()) == {25}
    sessions = {(row["session"], row["gender"]): row["speaker"] for row in design}
    assert len(sessions) == len(set(sessions.values())) == 10  # one woman and one man in each
    assert len({speaker.voice for speaker in SPEAKERS}) == 10
    assert EMOTIONS == ("angry", "happy", "neutral", "sad")


def test_a_good_part_of_the_sentences_gives_no_hint(design):
    kinds = Counter(row["script"].split("-")[0] for row in design)
    assert kinds["any"] == 440
    assert kinds["negative"] + kinds["pleasant"] == 160
    for emotion in EMOTIONS:
        rows = [row for row in design if row["label"] == emotion]
        assert {row["script"].split("-")[0] for row in rows} == set(HINTS[emotion])
        shared = {row["script"] for row in rows if row["script"].startswith("any")}
        assert len(shared) == len(FRAMES["any"])


def test_voice_and_words_are_drawn_independently(design):
    """Within an emotion, the kind of sentence says nothing about the manner."""
    for emotion in EMOTIONS:
        rows = [row for row in design if row["label"] == emotion]
        clear = np.array([row["script"].startswith(emotion) for row in rows])
        manners = np.array([dataclasses.astuple(row["manner"]) for row in rows], dtype=float)
        gap = np.abs(manners[clear].mean(0) - manners[~clear].mean(0)) / manners.std(0)
        assert (gap < 0.45).all()  # three standard errors


def test_the_manners_overlap(design):
    for quantity in ("rate", "pitch", "pitch_range", "volume"):
        values = {
            emotion: [getattr(row["manner"], quantity) for row in design if row["label"] == emotion]
            for emotion in EMOTIONS
        }
        by_mean = sorted(values.values(), key=np.mean)
        for low, high in itertools.pairwise(by_mean):
            assert np.percentile(low, 90) > np.percentile(high, 10), quantity


def test_every_utterance_is_complete(small):
    utterances = list(read(small))
    assert len(utterances) == 80
    assert [utterance.id for utterance in utterances] == sorted(u.id for u in utterances)
    for utterance in utterances:
        assert isinstance(utterance, Utterance)
        assert 0.8 < utterance.duration < 4
        assert utterance.audio.is_file()
        assert utterance.script


def test_the_recordings_are_speech_without_clipping(small):
    for utterance in read(small):
        samples, rate = soundfile.read(utterance.audio, dtype="int16")
        assert (rate, samples.ndim) == (22050, 1)
        assert np.abs(samples.astype(int)).max() > 2_000
        assert np.mean(np.abs(samples.astype(int)) >= 32767) < 1e-3


def test_word_timings_cover_the_words_in_order(small):
    for utterance in read(small):
        assert [word.text for word in utterance.words] == utterance.transcript.split()
        edges = [edge for word in utterance.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= utterance.duration + 1e-3
        assert all(word.end > word.start for word in utterance.words)


def test_words_that_are_spoken_as_one_share_its_time():
    words = place_words(
        "sit on the mat. Go", [(0, 0.0), (4, 0.3), (11, 0.8), (16, 1.5)], [1.2, 2.0]
    )
    assert [(word.text, word.start, word.end) for word in words] == [
        ("sit", 0.0, 0.3),
        ("on", 0.3, 0.5),
        ("the", 0.5, 0.8),
        ("mat.", 0.8, 1.2),  # the clause ends before the next word starts
        ("Go", 1.5, 2.0),
    ]


def test_the_same_bytes_on_every_run(small, tmp_path):
    code = (
        "import sys, pathlib\n"
        "from mmer_tf.corpora.synthetic import speak_corpus\n"
        "if __name__ == '__main__':\n"
        "    speak_corpus(pathlib.Path(sys.argv[1]), utterances_per_cell=2)\n"
    )
    script = tmp_path / "speak.py"
    script.write_text(code)
    subprocess.run([sys.executable, script, tmp_path / "again"], check=True)
    assert _digests(tmp_path / "again") == _digests(small)


def test_a_spoken_corpus_is_not_spoken_again(small, monkeypatch):
    monkeypatch.setattr(synthetic, "_speak_all", lambda *_: pytest.fail("spoken again"))
    speak_corpus(small, utterances_per_cell=2)


def test_progress_is_told(tmp_path):
    told = []
    speak_corpus(tmp_path / "c", 1, progress=lambda done, total: told.append((done, total)))
    assert told == [(4 * (k + 1), 40) for k in range(10)]


def test_a_run_that_dies_leaves_nothing_behind(tmp_path, monkeypatch):
    def die(folder, *_):
        (folder / "wav").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "_speak_all", die)
    with pytest.raises(KeyboardInterrupt):
        speak_corpus(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_what_it_is(small):
    header = json.loads((small / "synthetic.jsonl").read_text().splitlines()[0])
    assert "never a scientific result" in header["note"]
    assert header["version"] == synthetic.VERSION


def test_wrong_folders_are_answered(small, tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="missing: no such folder"):
        list(read(tmp_path / "missing"))
    with pytest.raises(CorpusError, match=r"synthetic\.jsonl"):
        list(read(tmp_path))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CorpusError, match=r"synthetic\.jsonl"):
        speak_corpus(tmp_path)  # never overwrites what it does not know
    with pytest.raises(CorpusError, match="another version or size"):
        speak_corpus(small, utterances_per_cell=3)
    monkeypatch.setattr(synthetic, "VERSION", -1)
    with pytest.raises(CorpusError, match="another version or size"):
        list(read(small))
    for content in (b"", b"{", b"\xff"):
        (tmp_path / "synthetic.jsonl").write_bytes(content)
        with pytest.raises(CorpusError, match="damaged"):
            list(read(tmp_path))
    with pytest.raises(CorpusError, match="a file where"):
        speak_corpus(tmp_path / "letter.txt")
    with pytest.raises(ValueError, match=r"must be >= 1\. Received: utterances_per_cell=0"):
        speak_corpus(tmp_path / "none", utterances_per_cell=0)


def test_without_espeak_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mmer-tf\[synthetic\]"'):
        Espeak()


def test_an_unknown_voice_is_named():
    manner = espeak.Manner(rate=170, pitch=50, pitch_range=50, volume=80)
    with pytest.raises(ValueError, match="no voice 'xx\\+nobody'"):
        Espeak().say("Hello.", "xx+nobody", manner)
