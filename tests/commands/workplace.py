"""What the tests of the commands do as a user does: type, prepare tones, write a recipe."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from mmer_tf import audit, cli, evaluate, export, ladder, predict, train
from mmer_tf.data.prepare import prepare_dataset
from mmer_tf.recipe import load_recipe, recipe_to_mapping, shipped_recipes
from mmer_tf.types import SAMPLE_RATE

LABELS = ("angry", "happy", "neutral", "sad")
WORDS = ("table", "window", "never", "again", "morning", "please", "yellow", "answer")
BOTH = ("--model", "gmu", "--tiny")
OVERRIDES = ("train.epochs=2", "train.batch_size=4", "train.learning_rate=0.01")
"""Three steps an epoch, and weights that move."""

FIGURES = ("--report", "figures")
"""Trains without drawing, which takes longer than the training."""

COMMANDS = {
    "audit": audit,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "predict": predict,
    "ladder": ladder,
}


def command(name: str, *arguments: str | Path) -> int:
    """A command as typed, in this process."""
    module = COMMANDS[name]
    return cli.run(module.main, module.make_parser(), [str(entry) for entry in arguments])


def command_of_a_stranger(name: str, *arguments: str | Path, cwd: Path):
    """A command in a process of its own, without what our tests put into the environment."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("TF_CPP")}
    typed = [sys.executable, "-m", f"mmer_tf.{name}", *map(str, arguments)]
    return subprocess.run(typed, capture_output=True, text=True, cwd=cwd, env=environment)


def tone(seconds: float, number: int) -> np.ndarray:
    """A tone in noise, its own for each number; 16 kHz."""
    random = np.random.default_rng(number)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = 0.3 * np.sin(2 * np.pi * random.uniform(100, 900) * time)
    return wave + random.normal(0, 0.02, len(time))


def write_tones(
    out: Path, labels: Sequence[str] = LABELS, change: Callable[[dict], None] | None = None
) -> Path:
    """Prepare speakers a, b and c, 0.3 to 0.9 s a clip; c is never heard with the last label.

    Args:
        out: dataset folder; the recordings lie beside it.
        labels: the four classes.
        change: alters a row (`id, text, label, speaker`, and `number`, which makes the sound).
    """
    root = out.with_name(f"{out.name}-recordings")
    root.mkdir(parents=True)
    rows = []
    for number in range(36):
        words = np.random.default_rng(100 + number).choice(WORDS, 4)
        row = {
            "id": f"u{number:02d}",
            "text": " ".join(words),
            "label": labels[number % 4],
            "speaker": "abc"[number // 12],
            "number": number,
        }
        if (row["speaker"], row["label"]) == ("c", labels[-1]):
            continue
        if change:
            change(row)
        sound = row.pop("number")
        row["file"] = f"{row['id']}.wav"
        soundfile.write(root / row["file"], tone(0.3 + sound % 7 / 10, sound), SAMPLE_RATE)
        rows.append(row)
    (root / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare_dataset("table", root, out, ["log_mel"], workers=0)
    return out


def write_recipe(file: Path, name: str, **changes) -> Path:
    """The tiny `gmu` recipe with some fields changed, as a user's own file."""
    values = recipe_to_mapping(load_recipe(shipped_recipes()["gmu"], OVERRIDES, tiny=True))
    file.write_text(yaml.safe_dump(values | {"name": name, "tiny": {}} | changes))
    return file


def train_shared(folder: Path, recipe: str, *arguments: str) -> Path:
    """Train in the shared folder and tell where the run is."""
    before = set(folder.glob("saved_models/*/model.keras"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        typed = ("--config", recipe, "--data", "data/tones", *FIGURES, *arguments)
        assert command("train", *typed) == 0
    (new,) = set(folder.glob("saved_models/*/model.keras")) - before
    return new.parent


def read_json(file: Path):
    """What a JSON file holds."""
    return json.loads(file.read_text(encoding="utf-8"))
