"""The golden arrays: options, inputs, weights and outputs of one table entry at a tiny size."""

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checks
import keras
import numpy as np
import safetensors.numpy

FOLDER = Path(__file__).resolve().parents[1] / "golden"


@dataclass(frozen=True)
class Golden:
    """One file of `tests/golden`; its format is told by the script beside it."""

    options: dict[str, Any]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    weights: list[np.ndarray]
    checkpoint: dict[str, np.ndarray]
    config: str

    @classmethod
    def load(cls, table: str, entry: str) -> "Golden":
        with np.load(FOLDER / f"{table}_{entry}.npz") as arrays:

            def group(prefix: str) -> dict[str, np.ndarray]:
                names = (name for name in arrays if name.startswith(f"{prefix}/"))
                return {name.partition("/")[2]: arrays[name] for name in names}

            return cls(
                options=json.loads(str(arrays["options"])),
                inputs=group("input"),
                outputs=group("output"),
                weights=list(group("weight").values()),
                checkpoint=group("checkpoint"),
                config=str(arrays["config"]),
            )

    def write_checkpoint(self, folder: Path) -> Path:
        """Lay the published checkpoint out as the Hugging Face hub does."""
        if self.config:
            (folder / "config.json").write_text(self.config, encoding="utf-8")
        safetensors.numpy.save_file(self.checkpoint, folder / "model.safetensors")
        return folder

    def create(self, layer_class: type, folder: Path) -> keras.layers.Layer:
        """The layer with the golden weights, under the current dtype policy.

        Published weights decide the sizes, and the other options remain.
        """
        if self.checkpoint:
            free = inspect.signature(layer_class.from_pretrained).parameters
            options = {name: value for name, value in self.options.items() if name in free}
            return layer_class.from_pretrained(str(self.write_checkpoint(folder)), **options)
        layer = layer_class(**self.options)
        checks.call(layer, self.inputs)  # builds
        layer.set_weights(self.weights)
        return layer
