"""A Beam pipeline writes what the processes of one machine write, byte for byte."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("apache_beam")

from prepare_runs import Killed, contents, identities, kill_after, run

from mmer_tf.data import beam, writer
from mmer_tf.data.beam import BeamOptionError, check_options, run_pipeline
from mmer_tf.data.manifest import DatasetError, read_dataset
from mmer_tf.data.prepare import ensure_features


@pytest.fixture(scope="module")
def mixed_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Usable recordings of two rates, words alone, and recordings that are none."""
    folder = tmp_path_factory.mktemp("mixed")
    random = np.random.default_rng(0)
    for number in range(9):
        samples = random.uniform(-0.5, 0.5, (4000 + 700 * number, 1 + number % 2))
        soundfile.write(folder / f"{number}.wav", samples, 48_000 if number % 3 == 0 else 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(8000), 16_000)
    (folder / "text.wav").write_text("not a recording")
    files = [f"{number}.wav" for number in range(9)] + ["silence.wav", "text.wav"]
    rows = [{"file": file, "text": f"word {file}", "label": "sad"} for file in files]
    rows.append({"id": "text", "text": "Only words", "label": "glad"})
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bert = folder / "bert"
    bert.mkdir()
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "word", "only")
    (bert / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    return folder


def test_pipeline_writes_what_one_process_writes(mixed_corpus: Path, tmp_path: Path):
    features = ("log_mel", "waveform", "mel_image")
    settings = {"tokenizer": mixed_corpus / "bert", "utterances_per_shard": 3}
    alone = run(mixed_corpus, tmp_path / "alone", features, **settings)
    parallel = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    together = run(
        mixed_corpus,
        tmp_path / "together",
        features,
        runner=lambda jobs: run_pipeline(jobs, parallel),
        **settings,
    )
    assert contents(alone.folder) == contents(together.folder)
    assert together.rejected == {"not audio": 1, "pure silence": 1}
    assert len(together.rows) == 10 and "token_ids" in together.families


def test_pipeline_goes_on_where_a_killed_run_stopped(corpus: Path, tmp_path: Path):
    out = tmp_path / "data"
    with pytest.raises(Killed):
        run(corpus, out, progress=kill_after(20), runner=run_pipeline)
    (out / "shards" / "log_mel-00001-of-00006.tfrecord").unlink()
    before = identities(out)
    run(corpus, out, runner=run_pipeline)
    kept = {name: state for name, state in before.items() if "-00001-" not in name}
    assert len(kept) == 2 * 5 and kept.items() <= identities(out).items()
    assert contents(out) == contents(run(corpus, tmp_path / "undisturbed").folder)


def test_finished_work_is_not_done_again(corpus: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "data"
    first = run(corpus, out, runner=run_pipeline)
    before = identities(out)
    assert run(corpus, out, runner=None) == first  # nothing is asked of any runner
    extended = ensure_features(out, ["mfcc"], runner=run_pipeline)
    assert extended.features == ("log_mel", "mfcc")
    assert before.items() <= identities(out).items()


def test_failed_pipeline_is_told_and_keeps_what_it_finished(
    corpus: Path, tmp_path: Path, monkeypatch
):
    def fail_at_the_third(job):
        if job.stem.startswith("00002"):
            raise OSError("the disk of the worker is full")
        return writer.write_shard(job)

    monkeypatch.setattr(beam, "write_shard", fail_at_the_third)
    with pytest.raises(DatasetError, match=r"the pipeline failed .*the disk of the worker is full"):
        run(corpus, tmp_path / "data", runner=run_pipeline)
    with pytest.raises(DatasetError, match="is not finished"):
        read_dataset(tmp_path / "data")


def test_worker_that_writes_elsewhere_is_told(corpus: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(beam, "write_shard", lambda job: None)
    with pytest.raises(DatasetError, match=r"left no .*report.json; every worker must be able"):
        run(corpus, tmp_path / "data", runner=run_pipeline)


def test_strict_names_the_broken_recording(mixed_corpus: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"(silence.wav: pure silence|text.wav: not audio)"):
        run(mixed_corpus, tmp_path / "data", runner=run_pipeline, strict=True)
    assert not (tmp_path / "data" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["runer=FlinkRunner"], "Beam has no option 'runer'; did you mean 'runner'?"),
        (["runner=flink", "paralelism=4"], "did you mean 'parallelism'?"),
        (["runner=FlinkRuner"], "Beam has no runner 'FlinkRuner'; did you mean 'FlinkRunner'?"),
        (["quite_another=1"], "Beam has no option 'quite_another'"),
        (["--runner=FlinkRunner"], "Beam has no option '--runner'"),
        (["direct_num_workers=two"], "direct_num_workers: invalid int value: 'two'"),
        (["runner"], "argument runner: expected one argument"),
    ],
)
def test_options_that_beam_would_discard_are_refused(options: list[str], said: str):
    with pytest.raises(BeamOptionError, match=f"^--beam-options: .*{re.escape(said)}"):
        check_options([f"--{option}" for option in options])


@pytest.mark.parametrize("runner", ["FlinkRunner", "dataflow", "spark", "mine.MyRunner"])
def test_options_that_beam_knows_are_taken(runner: str):
    check_options([f"--runner={runner}", "--save_main_session", "--experiments=use_runner_v2"])
    check_options([])
