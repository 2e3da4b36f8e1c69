"""Recordings as they come from elsewhere: what is read, and what is rejected by name."""

import soundfile

from mmer_tf.corpora.load import load_corpus
from mmer_tf.testing import write_text, write_wav


def test_unusual_recordings_are_read(tmp_path):
    write_wav(tmp_path / "03a01Fa.wav", sample_rate=96_000)
    write_wav(tmp_path / "03a01Fb.wav", subtype="FLOAT")
    write_wav(tmp_path / "03a01Fc.wav", channels=2)
    write_wav(tmp_path / "03a01Fd.wav", subtype="PCM_U8")
    write_wav(tmp_path / "03a01Fe.WAV", sample_rate=8_000)
    wave, rate = soundfile.read(tmp_path / "03a01Fa.wav")
    soundfile.write(tmp_path / "aiff.wav", wave, rate, format="AIFF", subtype="PCM_16")
    (tmp_path / "aiff.wav").rename(tmp_path / "03a01Ff.wav")
    corpus = load_corpus("emodb", tmp_path)
    assert corpus.rejected == ()
    assert {round(utterance.duration, 6) for utterance in corpus.utterances} == {0.3}
    assert len(corpus.utterances) == 6


def test_broken_recordings_are_rejected_by_name(tmp_path):
    write_wav(tmp_path / "03a01Fa.wav")
    (tmp_path / "03a01Wa.wav").write_bytes(b"")
    write_text(tmp_path / "03a01Wb.wav", ["this is not a recording", "but a text of two lines"])
    whole = write_wav(tmp_path / "03a01Wc.wav").read_bytes()
    (tmp_path / "03a01Wc.wav").write_bytes(whole[: len(whole) // 2])
    write_wav(tmp_path / "03a01Wd.wav", seconds=0)
    corpus = load_corpus("emodb", tmp_path)
    assert len(corpus.utterances) == 1
    reasons = {row.source: (row.reason, row.kind) for row in corpus.rejected}
    assert reasons == {
        str(tmp_path / "03a01Wa.wav"): ("empty file", "rejected"),
        str(tmp_path / "03a01Wb.wav"): ("not audio", "rejected"),
        str(tmp_path / "03a01Wc.wav"): ("truncated file", "rejected"),
        str(tmp_path / "03a01Wd.wav"): ("no samples", "rejected"),
    }
