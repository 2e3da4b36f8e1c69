"""A published checkpoint, and its way into a layer: whole or not at all."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mmer_tf.hub import HubError, find_checkpoint
from mmer_tf.models.weights.configuration import COUNT, Kind, read_configuration, read_field

CONFIG, WEIGHTS = "config.json", "model.safetensors"

Transform = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Target:
    """Where one published array goes.

    Args:
        variable: of a Keras layer.
    """

    variable: Any
    transform: Transform = np.asarray
    """From the published layout to Keras'."""


def transposed(array: np.ndarray) -> np.ndarray:
    """Kernel of a linear layer: (out, in) -> (in, out)."""
    return array.T


def conv_kernel(array: np.ndarray) -> np.ndarray:
    """Kernel of a convolution: `(out, in, *window)` to `(*window, in, out)`."""
    return np.moveaxis(array, (0, 1), (-1, -2))


@dataclass(frozen=True)
class Checkpoint:
    """Published weights with their configuration.

    Args:
        source: folder, file or hub name, as it was given.
        file: the `.safetensors` file.
        config: content of `config.json`; empty where there is none.
    """

    source: str
    file: Path
    config: Mapping[str, Any]

    @classmethod
    def find(
        cls, source: str | Path, *, optional: Sequence[str] = (), needs_config: bool = True
    ) -> "Checkpoint":
        """Find `config.json` and `model.safetensors` in a folder or on the Hugging Face hub.

        A path to a `.safetensors` file is taken without a configuration.

        Args:
            source: folder, hub name, or file.
            optional: further files of the folder to fetch where they exist.
            needs_config: refuse a folder without a configuration; else it counts as empty.

        Raises:
            HubError: not to be had, or no such configuration.
        """
        file = Path(source).expanduser()
        if file.suffix == ".safetensors" and file.is_file():
            return cls(str(source), file, {})
        if needs_config:
            folder = find_checkpoint(source, (CONFIG, WEIGHTS), optional)
        else:
            folder = find_checkpoint(source, (WEIGHTS,), (CONFIG, *optional))
        config = read_configuration(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        return cls(str(source), folder / WEIGHTS, config)

    @property
    def folder(self) -> Path:
        """Where the file and what belongs to it lie."""
        return self.file.parent

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        """All arrays by their published names.

        Raises:
            HubError: the file is damaged.
        """
        try:
            return safetensors.numpy.load_file(self.file)
        except (safetensors.SafetensorError, TypeError) as error:
            raise HubError(f"{self.file} is damaged ({error}); download it again.") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal digits."""
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def field(self, field: str, kind: Kind = COUNT, default: Any = None) -> Any:
        """A field of `config.json`; see `read_field`.

        Raises:
            HubError: it is not there, or of another kind.
        """
        return read_field(self.config, self.folder / CONFIG, field, kind, default)

    def require_type(self, *model_types: str) -> None:
        """Refuse a configuration of another kind of model.

        Raises:
            HubError: a bare file was given, or `model_type` is none of these.
        """
        if Path(self.source).expanduser().is_file():
            raise HubError(
                f"{self.source} is a file; give the folder that holds {CONFIG} and {WEIGHTS}."
            )
        if (found := self.config.get("model_type")) not in model_types:
            raise HubError(f"{self.source} holds a model of type '{found}', not {model_types[0]}.")

    def assign(
        self,
        targets: Mapping[str, Target],
        *,
        prefixes: Sequence[str] = ("",),
        ignored: Sequence[str] = (),
        renamed: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Give every target its array, after all of them were checked.

        Args:
            targets: published name, without a prefix -> where it goes.
            prefixes: under one of which the published names stand, as `bert.`; the one that
                names the most targets is taken.
            ignored: regular expressions of names (with their prefix) that are not wanted, such
                as the head that the model was pretrained with.
            renamed: pairs of a regular expression and its replacement, from spellings of other
                versions to those of `targets`.

        Raises:
            HubError: a target has no array, an array no target, or shapes differ; every name is
                told, and nothing has been changed.
        """
        arrays = {}
        for name, array in self.tensors.items():
            for pattern, replacement in renamed:
                name = re.sub(pattern, replacement, name)
            arrays[name] = array
        prefix = max(prefixes, key=lambda p: sum(p + name in arrays for name in targets))
        wanted = {prefix + name: target for name, target in targets.items()}
        unwanted = [name for name in arrays if name not in wanted]
        unwanted = [n for n in unwanted if not any(re.fullmatch(p, n) for p in ignored)]
        values = {n: _in_place_of(t, arrays[n]) for n, t in wanted.items() if n in arrays}
        problems = {
            "missing": sorted(wanted.keys() - arrays.keys()),
            "unexpected": sorted(unwanted),
            "of another shape": [
                f"{name} {values[name].shape} instead of {tuple(wanted[name].variable.shape)}"
                for name in sorted(values)
                if values[name].shape != tuple(wanted[name].variable.shape)
            ],
        }
        if any(problems.values()):
            told = "; ".join(f"{kind}: {', '.join(n)}" for kind, n in problems.items() if n)
            raise HubError(f"{self.file} is not the checkpoint of this model ({told}).")
        for name, target in wanted.items():
            target.variable.assign(values[name])


def _in_place_of(target: Target, array: np.ndarray) -> np.ndarray:
    try:
        return target.transform(array)
    except (ValueError, IndexError):  # too few axes; the shapes will be compared
        return array
