"""What every corpus must do, on its fake tree; a new entry of `CORPORA` is tested as it is."""

from pathlib import Path

import pytest

from mmer_tf.audio.decode import AudioError, decode
from mmer_tf.corpora import CORPORA
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.corpora.load import Corpus, load_corpus
from mmer_tf.testing import FAKE_CORPORA
from mmer_tf.types import Rejected, Utterance

WITHOUT_SPEAKER = {"goemotions"}


@pytest.fixture(params=sorted(CORPORA))
def name(request) -> str:
    return request.param


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    root.mkdir()
    FAKE_CORPORA[name](root)
    return root


@pytest.fixture
def corpus(name: str, root: Path) -> Corpus:
    return load_corpus(name, root)


def test_ids_are_unique_and_sorted(corpus: Corpus):
    ids = [utterance.id for utterance in corpus.utterances]
    assert len(ids) >= 2
    assert ids == sorted(set(ids))


def test_two_readings_agree(corpus: Corpus, name: str, root: Path):
    assert load_corpus(name, root) == corpus


def test_labels_are_known_and_used(corpus: Corpus, name: str):
    used = {utterance.label for utterance in corpus.utterances}
    assert used == set(corpus.labels)
    assert len(used) >= 2
    declared = CORPORA[name].labels
    assert declared is None or used <= set(declared)


def test_soft_labels_are_shares_of_known_labels(corpus: Corpus):
    for utterance in corpus.utterances:
        if utterance.soft_label is not None:
            assert set(utterance.soft_label) <= set(corpus.labels)
            assert sum(utterance.soft_label.values()) == pytest.approx(1)


def test_audio_has_a_duration_and_text_has_words(corpus: Corpus):
    for utterance in corpus.utterances:
        if utterance.audio is None:
            assert utterance.transcript and utterance.duration is None
        else:
            assert utterance.duration is not None and utterance.duration > 0
            assert utterance.audio.is_file()


def test_words_are_timed_in_order_within_the_clip(corpus: Corpus):
    for utterance in corpus.utterances:
        times = [time for word in utterance.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert not times or times[-1] <= utterance.duration + 0.05


def test_speaker_is_present(corpus: Corpus, name: str):
    if name in WITHOUT_SPEAKER:
        pytest.skip(f"{name} tells no speakers")
    assert all(utterance.speaker for utterance in corpus.utterances)
    assert len({utterance.speaker for utterance in corpus.utterances}) >= 2


def test_every_row_is_an_utterance_or_has_a_reason(corpus: Corpus, name: str, root: Path):
    rows = list(CORPORA[name].read(root))
    assert all(isinstance(row, Utterance | Rejected) for row in rows)
    assert len(rows) == len(corpus.utterances) + len(corpus.rejected)
    assert all(row.source and row.reason for row in corpus.rejected)
    assert corpus.reasons().total() == len(corpus.rejected)


def test_unselected_classes_are_counted(corpus: Corpus, name: str, root: Path):
    kept, *others = corpus.labels
    selected = load_corpus(name, root, labels=kept)
    unselected = sum(utterance.label in others for utterance in corpus.utterances)
    assert selected.reasons()["label not selected"] == unselected > 0
    assert selected.labels == (kept,)


def test_a_broken_recording_is_rejected_and_named(corpus: Corpus, name: str, root: Path):
    recorded = [utterance for utterance in corpus.utterances if utterance.audio]
    if not recorded:
        pytest.skip(f"{name} is text")
    victim = recorded[-1]
    victim.audio.write_bytes(b"")
    broken = load_corpus(name, root)
    (row,) = set(broken.rejected) - set(corpus.rejected)
    assert row.kind == "rejected"
    assert row.reason == "empty file"
    assert victim.audio.name in row.source + row.detail
    assert {u.id for u in corpus.utterances} - {u.id for u in broken.utterances} == {victim.id}


def test_a_file_lost_after_reading_is_named(corpus: Corpus, name: str):
    victim = next((u.audio for u in corpus.utterances if u.audio), None)
    if victim is None:
        pytest.skip(f"{name} is text")
    victim.unlink()
    with pytest.raises(AudioError, match=victim.name):
        decode(victim)


def test_a_missing_root_is_named(name: str, tmp_path: Path):
    with pytest.raises(CorpusError, match="nowhere"):
        load_corpus(name, tmp_path / "nowhere")


def test_an_empty_folder_is_named_with_what_was_expected(name: str, tmp_path: Path):
    (tmp_path / "hollow").mkdir()
    with pytest.raises(CorpusError, match="hollow") as error:
        load_corpus(name, tmp_path / "hollow")
    assert "expected" in str(error.value)


def test_an_unknown_option_is_named(name: str, root: Path):
    with pytest.raises(CorpusError, match="no option 'colour'"):
        load_corpus(name, root, colour="red")
