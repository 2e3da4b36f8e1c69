"""A run as `.tflite` files for phones: converted, compared with the run, and described."""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmer_tf.atomic import write_text
from mmer_tf.bundle import Bundle
from mmer_tf.deploy.lite_convert import Quantisation, Shapes, convert_apart
from mmer_tf.deploy.lite_file import LiteFile
from mmer_tf.deploy.lite_graph import LiteGraph
from mmer_tf.deploy.lite_inputs import LiteInputs
from mmer_tf.deploy.tflite import LiteRTClassifier
from mmer_tf.evaluation.model_card import model_card
from mmer_tf.models.encoders.recurrent import PackedBLSTM
from mmer_tf.text.expansions import EXPANSIONS
from mmer_tf.types import SAMPLE_RATE, Seconds

LEAST_AGREEMENT = 0.98
"""Share of labels that are those of the run; a file with less is warned of."""

Example = tuple[np.ndarray | None, str]
"""Waveform and transcript of one utterance."""

Converter = Callable[[Path, Quantisation, Shapes, Path | None], bytes]
"""`lite_convert.convert_apart`, or `lite_convert.convert`."""


def default_quantisation(bundle: Bundle) -> Quantisation:
    """`dynamic` for a model with LSTMs, `none` for others."""
    layers = bundle.model._flatten_layers()
    return "dynamic" if any(isinstance(layer, PackedBLSTM) for layer in layers) else "none"


class LiteExport:
    """A bundle, traced once, to be written in as many quantisations as are wanted.

    A context: its end removes the traced graph.

    Args:
        bundle: a finished run.
        max_seconds: longest recording; at most the recipe's `data.max_seconds` counts.
        converter: by default in a process of its own.

    Raises:
        BundleError: a part of the recipe runs in no graph.
        HubError: weights of stored hidden states that cannot be had.
    """

    def __init__(
        self, bundle: Bundle, max_seconds: Seconds = 10.0, converter: Converter = convert_apart
    ):
        self.bundle = bundle
        self.graph = LiteGraph(bundle, max_seconds)
        self.converter = converter
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> "LiteExport":
        self.graph.save(self._saved_model)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def _saved_model(self) -> Path:
        return Path(self._folder.name) / "saved_model"

    def write(
        self, file: Path, quantisation: Quantisation, calibration: Sequence[Example] = ()
    ) -> LiteFile:
        """Convert and write one file.

        Args:
            file: to be written.
            quantisation: of it.
            calibration: utterances of the training split, for "int8".

        Returns:
            What was written; the run's model card lies beside it, as `FILE.md`.

        Raises:
            ConversionError: the converter does not take the graph.
        """
        lite = self._described(quantisation)
        examples = None
        if quantisation == "int8" and calibration:
            inputs = LiteInputs.of(lite)
            examples = Path(self._folder.name) / "examples.npz"
            rows = [inputs(*example) for example in calibration]
            np.savez(examples, **{name: _stacked([row[name] for row in rows]) for name in rows[0]})
        model = self.converter(self._saved_model, quantisation, self.graph.shapes, examples)
        lite = dataclasses.replace(lite, model=model)
        lite.write(file)
        if self.bundle.folder is not None:
            write_text(file.with_name(f"{file.name}.md"), model_card(self.bundle.folder))
        return lite

    def _described(self, quantisation: Quantisation) -> LiteFile:
        recipe, raw, folder = self.bundle.recipe, self.graph.raw, self.bundle.folder
        description: dict[str, Any] = {
            "recipe": recipe.name,
            "run": None if folder is None else folder.name,
            "quantisation": quantisation,
            "labels": list(self.bundle.labels),
            "modalities": [name for name in ("speech", "text") if getattr(recipe, name)],
            "temperature": self.bundle.temperature,
            "inputs": {
                spec.name: {"shape": list(self.graph.shapes[spec.name]), "dtype": spec.dtype.name}
                for spec in self.graph.specs
            },
        }
        if self.bundle.hears:
            description |= {"sample_rate": SAMPLE_RATE, "window": self.graph.window}
        if not self.bundle.reads:
            return LiteFile(b"", description, self.bundle.labels)
        tokenizer = raw.tokenizer
        settings = {"lower_case": tokenizer.lower_case, "strip_accents": tokenizer.strip_accents}
        description |= {
            "cleaning": recipe.data.cleaning,
            "max_tokens": tokenizer.max_tokens,
            "tokenizer": {"max_tokens": tokenizer.max_tokens, **settings},
        }
        words = (tokenizer.vocabulary, EXPANSIONS)
        return LiteFile(b"", description, self.bundle.labels, *words)


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of one input, zeros behind the shorter ones: [(1, …)] -> (rows, 1, …).

    Examples must be of one shape: the calibrator changes those of the inputs one by one, and
    stumbles over what does not fit in between.
    """
    longest = np.max([row.shape for row in rows], axis=0)
    return np.stack(
        [
            np.pad(row, [(0, most - n) for most, n in zip(longest, row.shape, strict=True)])
            for row in rows
        ]
    )


@dataclass(frozen=True)
class Figures:
    """What a `.tflite` file is worth, beside the run that it was made of.

    Args:
        utterances: how many were compared.
        largest_difference: of two probabilities of one class.
        agreement: share of the utterances with the same label.
        milliseconds: of one answer on one thread of this machine, the median.
    """

    utterances: int
    largest_difference: float
    agreement: float
    milliseconds: float


def measure(bundle: Bundle, file: Path, examples: Sequence[Example]) -> Figures:
    """Compare a file with the bundle that it was made of.

    Args:
        bundle: in float, by Keras.
        file: written by `LiteExport`.
        examples: utterances, of the test split where there is one; at least one.
    """
    classifier = LiteRTClassifier(file)
    waveforms, transcripts = zip(*examples, strict=True)
    expected = bundle.predict_probabilities(waveforms, transcripts)
    found, seconds = [], []
    for waveform, transcript in examples:
        start = time.perf_counter()
        (answer,) = classifier.predict([waveform], [transcript])
        seconds.append(time.perf_counter() - start)
        found.append(list(answer.probabilities.values()))
    probabilities = np.array(found)
    return Figures(
        utterances=len(examples),
        largest_difference=float(np.abs(probabilities - expected).max()),
        agreement=float(np.mean(probabilities.argmax(axis=1) == expected.argmax(axis=1))),
        milliseconds=1e3 * float(np.median(seconds)),
    )


def add_figures(lite: LiteFile, file: Path, figures: Figures) -> dict[str, Any]:
    """Write figures into a file, and all that it says of itself into `FILE.json` beside it.

    Returns:
        What stands there, the size in bytes included.
    """
    described = {**lite.description, "measured": asdict(figures)}
    dataclasses.replace(lite, description=described).write(file)
    described = LiteFile.read(file).description | {"bytes": file.stat().st_size}
    beside = file.with_name(f"{file.name}.json")
    write_text(beside, json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return described
