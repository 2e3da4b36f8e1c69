"""A training that hears another take of each recording in every epoch."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from workplace import command, read_json

from mmer_tf import cli
from mmer_tf.assembly import shard_features
from mmer_tf.data.features import FEATURES, follows_waveform
from mmer_tf.data.manifest import read_dataset
from mmer_tf.feasibility import NOT_COMPUTED_IN_TRAINING
from mmer_tf.recipe import load_recipe

GAIN = "train.waveform_augment.max_gain_db=6"


@pytest.fixture
def own_data(shared: Path, tmp_path: Path) -> Path:
    """The tones, with log-mel alone, for a training that adds to them."""
    return Path(shutil.copytree(shared / "data" / "tones", tmp_path / "tones"))


def losses(run: Path) -> list[float]:
    with (run / "history.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_training_hears_other_takes(
    workplace: Path, own_data: Path, own_runs: Path, voice_run: Path
):
    typed = ("--config", "voice.yaml", "--data", own_data, "--runs", own_runs, "--folds", "1")
    assert command("train", *typed, "--run", "louder", GAIN) == 0
    assert "waveform" in read_dataset(own_data).families
    assert read_json(own_runs / "louder" / "report.json")["n"] > 0
    heard, as_stored = losses(own_runs / "louder"), losses(voice_run)  # of the same seed
    assert np.isfinite(heard).all() and len(heard) == len(as_stored) == 2
    assert heard[0] != as_stored[0]


def test_mistakes_are_told_of_every_feature_that_training_cannot_compute():
    expected = {name for name in FEATURES if not follows_waveform(name)}
    assert set(NOT_COMPUTED_IN_TRAINING) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([GAIN, "speech.feature=lld"], "data.augmented_copies"),
        (["train.waveform_augment.min_snr_db=50"], "train.waveform_augment.min_snr_db: Input"),
        (["train.waveform_augment.gain=6"], "train.waveform_augment.gain: Unexpected"),
    ],
)
def test_impossible_augmentation_is_told(workplace: Path, own_runs: Path, changes, message, capsys):
    typed = ("--config", "voice.yaml", "--data", "data/tones", "--runs", own_runs)
    assert command("train", *typed, *changes) == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert not own_runs.exists()


def test_words_hear_nothing(workplace: Path, own_runs: Path, capsys):
    typed = ("--config", "words.yaml", "--data", "data/tones", "--runs", own_runs)
    assert command("train", *typed, GAIN) == cli.USER_ERROR
    assert "train.waveform_augment changes recordings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "families"),
    [
        ([], ["log_mel"]),
        (["data.augmented_copies=1"], ["log_mel", "log_mel_copy1"]),
        ([GAIN], ["log_mel", "waveform"]),
        ([GAIN, "data.augmented_copies=1"], ["log_mel", "waveform", "waveform_copy1"]),
    ],
)
def test_shards_hold_what_training_reads(shared: Path, changes, families):
    recipe = load_recipe(shared / "voice.yaml", changes)
    assert sorted({family.name for family in shard_features(recipe)}) == families


def test_one_stage_may_hear_other_takes_than_another(shared: Path):
    stages = "stages=[{trains: all, train: {waveform_augment: {max_gain_db: 6}}}, {trains: all}]"
    recipe = load_recipe(shared / "voice.yaml", [stages, "data.augmented_copies=1"])
    names = {family.name for family in shard_features(recipe)}
    assert names == {"log_mel", "log_mel_copy1", "waveform", "waveform_copy1"}
