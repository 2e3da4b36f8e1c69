"""The train command on recipes in stages: what each trains, kills, and the leaky variant."""

import csv
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console
from workplace import FIGURES, command, read_json, write_recipe

from mmer_tf import cli, experiment, fitting
from mmer_tf.bundle import Bundle
from mmer_tf.data.pipeline import make_dataset
from mmer_tf.recipe import list_models
from mmer_tf.training.fit import fit
from mmer_tf.training.progress import EpochProgress
from mmer_tf.training.stages import hand_over

DATA = ("--data", "data/tones")
STAGES = [
    {"trains": "speech", "train": {"epochs": 1}},
    {"trains": "text", "train": {"epochs": 2}},
    {"trains": "head", "train": {"optimizer": "adam", "schedule": "step", "step_epochs": 1}},
    {"trains": "all", "train": {"epochs": 2, "schedule": "one_cycle",
                                "lowest_learning_rate": 1e-4}},
]  # fmt: skip
NAMES = ("1-speech", "2-text", "3-head", "4-all")
EPOCHS = (1, 2, 1, 2)


def write_staged(folder: Path, name: str, stages: list[dict], **changes) -> Path:
    """The tiny `gmu` recipe with concatenation, in stages, without layers that vary by chance."""
    file = write_recipe(folder / f"{name}.yaml", name, fusion="concat", stages=stages, **changes)
    values = yaml.safe_load(file.read_text())
    values["train"] |= {"batch_size": 8, "epochs": 1}
    file.write_text(yaml.safe_dump(values))
    return file


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def weights_of(run: Path) -> dict[str, list[np.ndarray]]:
    """Of a stored model, by layer."""
    model = keras.saving.load_model(run / "model.keras", compile=False)
    return {layer.name: layer.get_weights() for layer in model.layers}


def differ(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return any((a != b).any() for a, b in zip(one, other, strict=True))


@dataclass
class Staged:
    """A run in four stages.

    Args:
        run: its folder.
        shown: what was printed.
        handed: weights by layer, after each of the two stages of one branch.
        kept: weights of the whole model by layer, after each of the last two stages.
        killed: what would have been on disk had it been killed in the second epoch of a stage.
    """

    run: Path
    shown: str = ""
    handed: list[dict[str, list[np.ndarray]]] = field(default_factory=list)
    kept: list[dict[str, list[np.ndarray]]] = field(default_factory=list)
    killed: dict[str, Path] = field(default_factory=dict)


@pytest.fixture(scope="module")
def staged(shared: Path) -> Staged:
    made = Staged(shared / "saved_models" / "staged")

    def weights(model: keras.Model, names) -> dict[str, list[np.ndarray]]:
        return {name: model.get_layer(name).get_weights() for name in names}

    def remember_handed(source, target):
        names = hand_over(source, target)
        made.handed.append(weights(source, names))
        return names

    def remember_kept(model, *arguments, **options):
        rows = fit(model, *arguments, **options)
        if options["stage"] in NAMES[2:]:
            made.kept.append(weights(model, ("speech_encoder", "text_encoder", "logits")))
        return rows

    def copy_disk(progress, number, logs=None):
        stage = progress.prefix.strip()
        if (made.run / "checkpoint" / stage / "last.npz").is_file() and stage not in made.killed:
            made.killed[stage] = shared / f"killed-in-{stage}" / "staged"
            shutil.copytree(made.run, made.killed[stage])

    file = write_staged(shared, "staged", STAGES)
    with pytest.MonkeyPatch.context() as patch, cli.console.capture() as shown:
        patch.chdir(shared)
        patch.setattr(experiment, "hand_over", remember_handed)
        patch.setattr(fitting, "fit", remember_kept)
        patch.setattr(EpochProgress, "on_train_batch_end", copy_disk)
        assert command("train", "--config", file, *DATA, "--run", "staged", *FIGURES) == 0
    made.shown = shown.get()
    return made


# === Each stage, and what it leaves ===


@pytest.mark.slow
def test_stages_are_told_in_history_report_and_on_the_screen(staged: Staged):
    history = rows_of(staged.run / "history.csv")
    assert next(iter(history[0])) == "stage"
    expected = [
        (name, str(epoch + 1))
        for name, epochs in zip(NAMES, EPOCHS, strict=True)
        for epoch in range(epochs)
    ]
    assert [(row["stage"], row["epoch"]) for row in history] == expected
    told = read_json(staged.run / "report.json")["stages"]
    for name, epochs, entry in zip(NAMES, EPOCHS, told, strict=True):
        rows = [row for row in history if row["stage"] == name]
        best = max(rows, key=lambda row: (float(row["val_ua"]), -float(row["val_loss"])))
        assert entry == {
            "trains": name[2:], "epochs": epochs, "best_epoch": int(best["epoch"]),
            "validation_ua": float(best["val_ua"]),
        }  # fmt: skip
        assert f"{name}  epoch   1/{epochs}" in staged.shown
        assert list((staged.run / "tensorboard" / name / "train").glob("events.out.tfevents.*"))
    assert not (staged.run / "checkpoint").exists()


@pytest.mark.slow
def test_evaluating_again_tells_the_stages_too(staged: Staged, workplace: Path, own_runs: Path):
    run = shutil.copytree(staged.run, own_runs / "staged")
    (run / "report.json").unlink()
    assert command("evaluate", "--run", run, *FIGURES) == 0
    again, told = (read_json(at / "report.json") for at in (run, staged.run))
    assert again["stages"] == told["stages"] and list(again) == list(told)


@pytest.mark.slow
def test_encoders_are_handed_over_and_stand_still_until_all_are_trained(staged: Staged):
    voice, words = staged.handed
    assert set(voice) == {"standardise_log_mel", "speech_encoder", "speech_pooling"}
    assert set(words) == {"text_encoder", "text_pooling"}
    head, everything = staged.kept
    for handed, name in ((voice, "speech_encoder"), (words, "text_encoder")):
        assert not differ(head[name], handed[name])
        assert differ(everything[name], handed[name])
    assert differ(head["logits"], everything["logits"])
    stored = weights_of(staged.run)
    for name, weights in everything.items():
        assert not differ(stored[name], weights)


@pytest.mark.slow
def test_bundle_is_as_the_recipe_declares(staged: Staged):
    bundle = Bundle.load(staged.run)
    for layer in ("speech_encoder", "text_encoder"):
        assert not bundle.model.get_layer(layer).frozen
    (answer,) = bundle.predict([np.zeros(16_000, "float32")], ["never again"])
    assert sum(answer.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["4-all", "2-text"])
def test_killed_run_goes_on_in_its_stage(staged: Staged, workplace: Path, stage, capsys):
    run = staged.killed[stage]
    assert not (run / "model.keras").exists()
    arguments = (
        "--config",
        "staged.yaml",
        *DATA,
        "--runs",
        run.parent,
        "--run",
        "staged",
        *FIGURES,
    )
    assert command("train", *arguments) == 0
    shown = capsys.readouterr().out
    assert f"going on with {run}" in shown and f"{stage}  epoch   2/2" in shown
    assert f"{stage}  epoch   1/2" not in shown
    for earlier in NAMES[: NAMES.index(stage)]:
        assert f"{earlier}  epoch" not in shown
    resumed = weights_of(run)
    for layer, weights in weights_of(staged.run).items():
        assert not differ(resumed[layer], weights), layer
    for name in ("history.csv", "predictions.csv", "report.json"):
        assert (run / name).read_bytes() == (staged.run / name).read_bytes()


# === The leaky variant ===


@pytest.mark.slow
def test_leaky_run_differs_by_what_its_encoders_have_seen(
    workplace: Path, own_runs: Path, monkeypatch, capsys
):
    """Who trains what, and what is told of it; the fitting itself is left out."""
    read: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    ids: list[tuple[str, ...]] = []

    def remember(data, chosen, **options):
        ids.append(tuple(chosen))
        return make_dataset(data, chosen, **options)

    def skip(model, training_data, validation_data, *, folder, stage, **options):
        training_data(0)
        validation, training = ids[-2:]
        read[folder.name, stage] = [training, validation]
        (folder / "checkpoint").mkdir(exist_ok=True)
        return [{"stage": stage, "epoch": 1, "val_ua": 0.5, "val_loss": 1.0}]

    monkeypatch.setattr(fitting, "make_dataset", remember)
    monkeypatch.setattr(fitting, "fit", skip)
    file = write_staged(own_runs.parent, "leak", [{"trains": "text"}, {"trains": "head"}])
    arguments = ("--config", file, *DATA, "--runs", own_runs, "--run", "mine", *FIGURES, "--leaky")
    assert command("train", *arguments) == 0
    shown = capsys.readouterr().out
    assert {run.name for run in own_runs.iterdir()} == {"mine", "mine-leaky", "mine-leakage"}

    clean, leaky = (read_json(own_runs / name / "split.json") for name in ("mine", "mine-leaky"))
    encoders = leaky["encoder_split"]
    assert (encoders["protocol"], encoders["seed"]) == ("random", 1)
    assert "encoder_split" not in clean
    for stage, split in {
        ("mine", "1-text"): clean, ("mine", "2-head"): clean,
        ("mine-leaky", "1-text"): encoders, ("mine-leaky", "2-head"): clean,
    }.items():  # fmt: skip
        assert read[stage] == [tuple(split["train"]), tuple(split["validation"])]
    assert clean["test"] == leaky["test"]

    seen = set(leaky["test"]) & set(encoders["train"])
    note = (
        "leaky on purpose and no result: its encoders were trained on another split and have "
        f"seen {len(seen)} of the 12 test utterances"
    )
    assert len(seen) > 0
    reports = {name: read_json(own_runs / name / "report.json")
               for name in ("mine", "mine-leaky", "mine-leakage")}  # fmt: skip
    assert note in reports["mine-leaky"]["notes"] and note not in reports["mine"]["notes"]
    summary = reports["mine-leakage"]
    assert summary["runs"] == {"clean": ["mine"], "leaky": ["mine-leaky"]}
    assert summary["summary"]["leaky"]["ua"]["mean"] == reports["mine-leaky"]["ua"]
    assert summary["notes"] == [note]
    table = shown.split("mine-leakage\n")[-1]
    for kind, name in (("clean", "mine"), ("leaky", "mine-leaky")):
        (line,) = (line for line in table.splitlines() if f"│ {kind} " in line)
        assert f"{reports[name]['ua']:.3f}" in line and f"{reports[name]['wa']:.3f}" in line
    assert note in " ".join(table.split())

    before = (own_runs / "mine-leaky" / "model.keras").stat().st_mtime_ns
    assert command("train", *arguments) == 0  # all there: tabled anew, trained no more
    assert (own_runs / "mine-leaky" / "model.keras").stat().st_mtime_ns == before
    assert command("train", *arguments[:-4], "mine-leaky") == cli.USER_ERROR
    assert "is a run of another recipe, data set, split or seed" in capsys.readouterr().err


def test_leaky_runs_of_several_seeds_are_summed_up(workplace: Path, own_runs: Path, monkeypatch):
    """Names and sums alone: the trainings are made up."""
    plans = []

    def pretend(plan, execution):
        plans.append(plan)
        ua = 0.5 + 0.1 * plan.seed + (0.3 if plan.encoder_split else 0)
        plan.folder.mkdir(parents=True)
        lines = [f"{id},happy,happy,0.0,1.0,0.0,0.0" for id in plan.split.test]
        table = "\n".join(["id,label,predicted,angry,happy,neutral,sad", *lines, ""])
        (plan.folder / "predictions.csv").write_text(table)
        figures = dict.fromkeys(("wa", "macro_f1", "weighted_f1", "loss"), 0.5)
        return {**figures, "ua": ua, "n": 12, "fold": 0, "seed": plan.seed, "data": "tones",
                "run": plan.folder.name, "notes": list(plan.split.notes)}  # fmt: skip

    monkeypatch.setattr(experiment, "run", pretend)
    file = write_staged(own_runs.parent, "leak", [{"trains": "text"}, {"trains": "head"}])
    arguments = ("--config", file, *DATA, "--runs", own_runs, "--run", "m", "--seeds", "0,1")
    with cli.console.capture() as shown:
        assert command("train", *arguments, "--leaky") == 0
    assert [plan.folder.name for plan in plans] == [
        "m-fold0-seed0", "m-fold0-seed0-leaky", "m-fold0-seed1", "m-fold0-seed1-leaky",
    ]  # fmt: skip
    for name, mean in (("m", 0.55), ("m-leaky", 0.85)):
        report = read_json(own_runs / name / "report.json")
        assert report["summary"]["ua"]["mean"] == pytest.approx(mean)
    summary = read_json(own_runs / "m-leakage" / "report.json")["summary"]
    assert {kind: summary[kind]["ua"]["mean"] for kind in summary} == {
        "clean": pytest.approx(0.55), "leaky": pytest.approx(0.85),
    }  # fmt: skip
    assert "leaky, mean" in shown.get()


# === Mistakes ===


@pytest.mark.parametrize(
    ("stages", "arguments", "message"),
    [
        ([], ["--leaky"], "trains no encoder in a stage of its own"),
        ([{"trains": "all"}], ["--leaky"], "trains no encoder in a stage of its own"),
        (
            [{"trains": "head", "train": {"modality_dropout": 0.5}}],
            [],
            "stages.0.train.modality_dropout belongs to the model",
        ),
        (
            [],
            ["train.lowest_learning_rate=1"],
            "train.lowest_learning_rate must not be above learning_rate. Received: 1 and 0.01",
        ),
    ],
)
def test_mistake_is_answered_in_a_sentence(
    workplace: Path, own_runs: Path, stages, arguments, message, capsys
):
    file = write_staged(own_runs.parent, "mistaken", stages)
    code = command("train", "--config", file, *DATA, "--runs", own_runs, *arguments)
    assert code == cli.USER_ERROR
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not own_runs.exists()


# === Copies of the recordings, and the list ===


@pytest.mark.slow
def test_copies_are_made_and_trained_on(workplace: Path, own_runs: Path, monkeypatch):
    data, asked = own_runs.parent / "tones", []

    def remember(*arguments, **options):
        asked.append((options["training"], options.get("copies", 0)))
        return make_dataset(*arguments, **options)

    monkeypatch.setattr(fitting, "make_dataset", remember)
    shutil.copytree(workplace / "data" / "tones", data)
    recipe = write_recipe(own_runs.parent / "copied.yaml", "copied", text=None, fusion=None)
    arguments = ("--config", recipe, "--data", data, "--runs", own_runs, "train.epochs=1", *FIGURES)
    assert command("train", *arguments, "data.augmented_copies=2") == 0
    families = read_json(data / "dataset.json")["families"]
    assert {"log_mel", "log_mel_copy1", "log_mel_copy2"} <= set(families)
    assert set(asked) == {(True, 2), (False, 0)}


def test_list_shows_every_recipe_without_tensorflow(tmp_path: Path):
    code = (
        "import sys, runpy\n"
        "sys.argv = ['train', '--list']\n"
        "try: runpy.run_module('mmer_tf.train', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'librosa', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Piped, a line each.
    assert done.stdout.splitlines() == [
        f"{name}: {summary}. Published: {published}"
        for name, (summary, published) in list_models().items()
    ]


def test_list_fits_a_terminal_of_eighty_columns(monkeypatch):
    console = Console(record=True, width=80, force_terminal=True, file=io.StringIO())
    monkeypatch.setattr(cli, "console", console)
    assert command("train", "--list") == 0
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in list_models())
