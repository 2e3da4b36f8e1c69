"""A run as a SavedModel: raw audio and text in, emotion out, for TensorFlow Serving.

The folder `NAME/VERSION/` holds `saved_model.pb` and, in `assets.extra/`, what a reader may want
beside it: `mmer_tf.json`, the labels, the recipe, the model card, and requests that warm the server
up.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from mmer_tf.bundle import Bundle, BundleError
from mmer_tf.deploy.description import DESCRIPTION, EXTRA, FORMAT_VERSION, WARM_UP
from mmer_tf.deploy.raw_graph import RawGraph, Tensors
from mmer_tf.deploy.warm_up import write_warm_up
from mmer_tf.evaluation.model_card import MODEL_CARD, model_card
from mmer_tf.recipe import save_recipe
from mmer_tf.types import SAMPLE_RATE

_VOICE = (
    tf.TensorSpec((None, None), tf.float32, "waveform"),
    tf.TensorSpec((None,), tf.int32, "num_samples"),
)
_DESCRIPTORS = (
    tf.TensorSpec((None, None, 65), tf.float32, "lld"),
    tf.TensorSpec((None,), tf.int32, "num_frames"),
)
_WAV = (tf.TensorSpec((None,), tf.string, "wav"),)
_TRANSCRIPT = tf.TensorSpec((None,), tf.string, "transcript")


def export_saved_model(bundle: Bundle, folder: Path, version: int | None = None) -> Path:
    """Write a bundle as a SavedModel.

    Signatures: `serving_default` takes `waveform` float32 (batch, samples) in [-1, 1] at 16 kHz,
    `num_samples` int32 (batch,) and `transcript` string (batch,); `wav` takes the bytes of WAV
    files (16 kHz, mono, 16 bits) in place of the first two; `features` takes what the shards hold,
    by the names of the data contract. A bundle of one modality takes its own inputs alone; one
    that reads openSMILE's descriptors takes `lld` and `num_frames` in place of the waveform.

    Args:
        bundle: a finished run.
        folder: of the versions; its name is the name of the served model.
        version: None takes the next one, whatever other exports take meanwhile.

    Returns:
        The folder of the version.

    Raises:
        BundleError: a part of the recipe runs in no graph, or the version is there already.
        HubError: weights of stored hidden states that cannot be had.
    """
    if folder.exists() and not folder.is_dir():
        raise BundleError(f"{folder} is a file; name a folder, which will hold the versions")
    if version is not None and (folder / str(version)).exists():
        raise _taken(folder / str(version))
    folder.mkdir(parents=True, exist_ok=True)  # told before the work: it may not be written
    graph = RawGraph(bundle)
    archive = keras.export.ExportArchive()
    for trackable in graph.trackables:
        archive.track(trackable)
    signatures = make_signatures(graph)
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, specs)
    # Another export may write here at the same moment; the model server looks at numbers alone.
    with tempfile.TemporaryDirectory(
        prefix="partial-", dir=folder, ignore_cleanup_errors=True
    ) as own:
        unfinished = Path(own) / "version"  # one below, since `own` is closed to other users
        archive.write_out(str(unfinished), verbose=False)
        extra = unfinished / EXTRA
        extra.mkdir()
        described = describe(bundle) | {"signatures": sorted(signatures)}
        (extra / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        save_recipe(bundle.recipe, extra / "recipe.yaml")
        labels = "".join(f"{label}\n" for label in bundle.labels)
        (extra / "labels.txt").write_text(labels, encoding="utf-8")
        if bundle.folder is not None:
            (extra / MODEL_CARD).write_text(model_card(bundle.folder), encoding="utf-8")
        specs = {signature: of_one for signature, (_, of_one) in signatures.items()}
        write_warm_up(extra / WARM_UP, folder.name, specs)
        return _published(unfinished, folder, version)


def _published(finished: Path, folder: Path, version: int | None) -> Path:
    """Move a finished version to its place; None takes the next one that nobody else takes."""
    while True:
        target = folder / str(next_version(folder) if version is None else version)
        try:
            return finished.replace(target)
        except OSError as error:  # no folder takes the place of one that holds something
            if not target.exists():
                raise
            if version is not None:
                raise _taken(target) from error


def _taken(target: Path) -> BundleError:
    return BundleError(f"{target} is there already; export another version")


def next_version(folder: Path) -> int:
    """One more than the highest version in a folder, 1 where there is none."""
    present = [int(one.name) for one in folder.glob("*") if one.name.isdecimal()]
    return max(present, default=0) + 1


def describe(bundle: Bundle) -> dict[str, object]:
    """What a client must know of an exported bundle."""
    recipe = bundle.recipe
    return {
        "format_version": FORMAT_VERSION,
        "recipe": recipe.name,
        "run": None if bundle.folder is None else bundle.folder.name,
        "labels": list(bundle.labels),
        "modalities": [name for name in ("speech", "text") if getattr(recipe, name) is not None],
        "sample_rate": SAMPLE_RATE,
        "max_seconds": recipe.data.max_seconds,
        "temperature": bundle.temperature,
    }


Signature = tuple[Callable[..., Tensors], Sequence[tf.TensorSpec]]
"""A function to be exported, and its arguments."""


def make_signatures(graph: RawGraph) -> dict[str, Signature]:
    """What is exported, by the signature's name."""
    if graph.hears_descriptors:
        return {
            "serving_default": _answering(graph, _DESCRIPTORS, graph.of_descriptors),
            "features": _from_features(graph),
        }
    signatures = {"serving_default": _answering(graph, _VOICE, graph.of_voice)}
    if graph.bundle.hears:
        signatures["wav"] = _answering(graph, _WAV, lambda wav: graph.of_voice(*_decode(wav)))
    return signatures | {"features": _from_features(graph)}


def _answering(
    graph: RawGraph, voice: Sequence[tf.TensorSpec], hear: Callable[..., tuple[Tensors, tf.Tensor]]
) -> Signature:
    """From the arguments of the voice, where the model has ears, and the transcript, where it
    reads, to the answer."""
    voice = tuple(voice) if graph.bundle.hears else ()

    def answer(*arguments: tf.Tensor) -> Tensors:
        inputs, present = {}, []
        if graph.bundle.hears:
            inputs, heard = hear(*arguments[: len(voice)])
            present.append(heard)
        if graph.bundle.reads:
            words, read = graph.of_transcript(arguments[-1])
            inputs = {**inputs, **words}
            present.append(read)
        return graph.answer(inputs, tf.reduce_any(tf.stack(present), axis=0))

    return answer, (*voice, *([_TRANSCRIPT] if graph.bundle.reads else []))


def _from_features(graph: RawGraph) -> Signature:
    tensors = graph.bundle.model.inputs
    specs = [tf.TensorSpec(one.shape, one.dtype, one.name) for one in tensors]

    def answer(*arguments: tf.Tensor) -> Tensors:
        names = (spec.name for spec in specs)
        return graph.answer(dict(zip(names, arguments, strict=True)))

    return answer, specs


def _decode(wav: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bytes of WAV files to (batch, samples) and (batch,); empty bytes are no recording."""

    def decode_one(content: tf.Tensor) -> tf.Tensor:
        samples, rate = tf.audio.decode_wav(content)
        wrong = "the signature `wav` takes WAV files of 16 kHz, mono, 16 bits"
        with tf.control_dependencies(
            [
                tf.debugging.assert_equal(rate, SAMPLE_RATE, wrong),
                tf.debugging.assert_equal(tf.shape(samples)[1], 1, wrong),
            ]
        ):
            return tf.identity(samples[:, 0])

    def decode_or_nothing(content: tf.Tensor) -> tf.Tensor:
        return tf.cond(content != "", lambda: decode_one(content), lambda: tf.zeros([0]))

    spec = tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0)
    rows = tf.map_fn(decode_or_nothing, wav, fn_output_signature=spec)
    return rows.to_tensor(), tf.cast(rows.row_lengths(), tf.int32)
