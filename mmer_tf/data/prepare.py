"""From a corpus to a dataset folder, and one more feature for a folder that is finished."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmer_tf.audio.decode import AudioError
from mmer_tf.corpora.load import Corpus, load_corpus
from mmer_tf.corpora.synthetic import EMOTIONS, SPEAKERS, UTTERANCES_PER_CELL, speak_corpus
from mmer_tf.data.families import FeatureFamily, families_of, same_values
from mmer_tf.data.fingerprints import FINGERPRINTS
from mmer_tf.data.manifest import (
    CONVERTED,
    FORMAT,
    MANIFEST,
    REJECTED,
    SHARDS,
    UTTERANCES,
    Dataset,
    DatasetError,
    Family,
    counted,
    read_dataset,
    read_rejected,
    utterance_to_row,
    write_converted,
    write_dataset,
    write_rejected,
)
from mmer_tf.data.progress import Progress, silent
from mmer_tf.data.schema import TOKENS
from mmer_tf.data.shard_job import UTTERANCES as NO_FEATURE
from mmer_tf.data.shard_job import Runner, ShardReport
from mmer_tf.data.states import StatesFeature
from mmer_tf.data.writer import partition, tidy, write_shards
from mmer_tf.remote import RemotePath, remove_folder
from mmer_tf.text.normalise import Style
from mmer_tf.text.tokenizer import Tokenizer
from mmer_tf.types import Rejected, Utterance

Wanted = str | StatesFeature | FeatureFamily
"""A feature by its name (`lld`; `lld_copy1` for a perturbed copy), hidden states, or a family."""

TOKENIZER = "tokenizer"
"""Folder of the tokenizer behind stored tokens."""


def prepare_dataset(
    name: str,
    root: Path,
    out: Path,
    features: Sequence[Wanted],
    *,
    labels: str | None = None,
    options: Mapping[str, Any] | None = None,
    tokenizer: str | Path | None = None,
    max_tokens: int = 128,
    cleaning: Style = "sentences",
    utterances_per_shard: int | None = None,
    workers: int | None = None,
    runner: Runner | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Write a corpus's shards and their manifest, or go on where an earlier run stopped.

    A folder finished with the same corpus and settings is left as it is, but for features that
    it lacks.

    Args:
        name: one of `CORPORA`.
        root: folder of the corpus.
        out: dataset folder; made if need be.
        features: names of `FEATURES`, hidden states, copies of either; those of recordings are
            left out of a corpus that has none.
        labels: classes to keep and to merge, as "ang,hap+exc,sad,neu"; None keeps all.
        options: what the reader of this corpus takes besides.
        tokenizer: hub id or folder of a pretrained BERT, whose tokens are stored too.
        max_tokens: longest row of stored tokens.
        cleaning: of the transcripts before they are tokenised.
        utterances_per_shard: see `writer.partition`.
        workers: number of processes; None is one a core, 0 works in this process.
        runner: what writes the shards in place of these processes, perhaps on other machines.
        strict: stop at the first row with broken input, instead of counting it.
        overwrite: replace another dataset in `out`.
        progress: shows how far the work is.

    Raises:
        CorpusError: no such corpus in `root`.
        DatasetError: broken input and `strict`, nothing usable, or `out` holds something else.
        MissingExtraError: a feature needs an extra.
    """
    families = families_of(features)  # a wrong name is told before the corpus is read
    root = root.resolve()
    corpus = load_corpus(name, root, labels, **(options or {}))
    root = root if root.is_dir() else root.parent  # a table may be named itself
    if strict:
        _refuse_broken(corpus.rejected)
    heard = any(utterance.audio is not None for utterance in corpus.utterances)
    wanted = [family for family in families.values() if heard or not family.of_recording]
    _require_input(root, corpus.utterances, wanted)
    parts = partition(corpus.utterances, utterances_per_shard)
    digest = _digest(corpus, parts, root)
    word_pieces, tokens = None, {}
    if tokenizer is not None:  # one that is not to be had is told before `out` is touched
        word_pieces = Tokenizer.from_pretrained(tokenizer, max_tokens)
        tokens = {"tokenizer": str(tokenizer), "digest": word_pieces.digest, "cleaning": cleaning}
    if overwrite:
        _remove(out)
    elif (out / MANIFEST).is_file():
        _require_same(dataset := read_dataset(out), digest, tokens)
        if strict and dataset.rejected:
            _refuse_broken(read_rejected(out))
        return ensure_features(out, wanted, progress, workers, runner)
    elif out.is_dir() and any(out.iterdir()) and not (out / SHARDS).is_dir():
        raise DatasetError(f"{out} holds other files; choose an empty or a new folder")
    parameters = {family.name: family.parameters() for family in wanted}
    (out / SHARDS).mkdir(parents=True, exist_ok=True)  # first: it marks the folder as ours
    if word_pieces is not None:
        parameters[TOKENS] = tokens
        (out / TOKENIZER).mkdir(exist_ok=True)
        word_pieces.save(out / TOKENIZER)
    with progress(f"preparing {name}", len(corpus.utterances)) as advance:
        reports = write_shards(
            parts,
            out,
            wanted,
            digest=f"{digest} {_canonical(parameters)}",
            root=root,
            tokenizer=out / TOKENIZER if tokenizer is not None else None,
            cleaning=cleaning,
            workers=workers,
            runner=runner,
            strict=strict,
            progress=advance,
        )
    rows = tuple(row for report in reports for row in report.utterances)
    rejected = sorted(
        (*corpus.rejected, *(row for report in reports for row in report.rejected)),
        key=lambda row: (row.source, row.reason, row.detail),
    )
    if not rows:
        reasons = ", ".join(counted(row.reason for row in rejected))
        raise DatasetError(f"{root}: no usable recording ({reasons})")
    converted = sorted(
        (row for report in reports for row in report.converted),
        key=lambda row: (row.file, row.what),
    )
    dataset = Dataset(
        folder=out,
        name=name,
        root=root,
        options={"labels": labels, **(options or {})},
        labels=corpus.labels,
        rows=rows,
        records={row.id: i for i, row in enumerate(rows)},
        families=_families(reports, {NO_FEATURE: {}, **parameters}),
        dropped=counted(row.reason for row in rejected if row.kind == "dropped"),
        rejected=counted(row.reason for row in rejected if row.kind == "rejected"),
        conversions=counted(row.what for row in converted),
        digest=digest,
    )
    write_rejected(out, rejected)
    write_converted(out, converted)
    write_dataset(dataset)
    tidy(dataset)
    return dataset


def prepare_synthetic(
    out: Path,
    features: Sequence[Wanted],
    progress: Progress = silent,
    utterances_per_cell: int = UTTERANCES_PER_CELL,
    **settings: Any,
) -> Dataset:
    """Speak the synthetic corpus beside `out`, unless it is there, and prepare it.

    Args:
        out: dataset folder.
        features: as for `prepare_dataset`.
        progress: shows how far the work is.
        utterances_per_cell: utterances per speaker and emotion.
        settings: as for `prepare_dataset`.

    Raises:
        DatasetError: `out` is remote.
    """
    if isinstance(out, RemotePath):
        raise DatasetError(
            f"the synthetic corpus is spoken beside {out}, which is not on this machine; prepare "
            "it in a folder, and then with --root FOLDER-speech for the other place"
        )
    root = out.with_name(f"{out.name}-speech")
    if root.is_dir():
        speak_corpus(root, utterances_per_cell)  # checks that it is the corpus of this version
    else:
        total = len(SPEAKERS) * len(EMOTIONS) * utterances_per_cell
        with progress("speaking the synthetic corpus", total) as advance:
            speak_corpus(root, utterances_per_cell, lambda done, _: advance(done))
    return prepare_dataset("synthetic", root, out, features, progress=progress, **settings)


def missing_families(dataset: Dataset, features: Sequence[Wanted]) -> list[FeatureFamily]:
    """What `ensure_features` would compute: features that are not there, or of other settings."""
    return [
        family
        for family in families_of(features).values()
        if family.name not in dataset.families
        or not same_values(dataset.families[family.name].parameters, family.parameters())
    ]


def ensure_features(
    folder: Path,
    features: Sequence[Wanted],
    progress: Progress = silent,
    workers: int | None = None,
    runner: Runner | None = None,
) -> Dataset:
    """Read a dataset, after computing the features that it lacks, or has of other settings.

    What is there stays untouched; each new feature becomes a shard family of its own.

    Args:
        folder: dataset folder.
        features: names of `FEATURES`, hidden states, copies of either.
        progress: shows how far the work is.
        workers, runner: as for `prepare_dataset`.

    Raises:
        DatasetError: no finished dataset, or its recordings are gone or have changed.
        UnknownNameError: a name that is not in `FEATURES`.
    """
    dataset = read_dataset(folder)
    missing = missing_families(dataset, features)
    if not missing:
        return dataset
    _require_input(folder, dataset.rows, missing)
    names = ", ".join(family.name for family in missing)
    parameters = {family.name: family.parameters() for family in missing}
    parts, first = [], 0
    for shard in dataset.families[NO_FEATURE].shards:
        parts.append(dataset.rows[first : first + shard.count])
        first += shard.count
    try:
        with progress(f"adding {names}", len(dataset.rows)) as advance:
            reports = write_shards(
                parts,
                folder,
                missing,
                digest=f"{dataset.digest} {_canonical(parameters)}",
                root=dataset.root,
                with_utterances=False,
                workers=workers,
                runner=runner,
                strict=True,
                progress=advance,
            )
    except (AudioError, DatasetError) as error:
        raise DatasetError(f"{folder} lacks '{missing[0].name}', and {error}") from error
    for part, report in zip(parts, reports, strict=True):
        for before, after in zip(part, report.utterances, strict=True):
            if before.duration != after.duration:
                raise DatasetError(
                    f"{before.audio} has changed since {folder} was prepared; "
                    "prepare the corpus again with --overwrite"
                )
    families = {**dataset.families, **_families(reports, parameters)}
    dataset = dataclasses.replace(dataset, families=families)
    write_dataset(dataset)
    tidy(dataset)
    return dataset


def _require_same(dataset: Dataset, digest: str, tokens: Mapping[str, Any]) -> None:
    """Raise DatasetError unless the finished dataset is the one asked for."""
    stored = dataset.families[TOKENS].parameters if TOKENS in dataset.families else None
    if dataset.digest != digest:
        what = "another dataset"
    elif not tokens:
        return
    elif stored is None:
        what = "no tokens"
    elif any(stored[name] != tokens[name] for name in ("digest", "cleaning")):
        what = f"the tokens of another tokenizer, '{stored['tokenizer']}'"
        if stored["tokenizer"] == tokens["tokenizer"]:
            what = f"tokens of '{stored['tokenizer']}' as it was before, or of other settings"
    else:
        return
    raise DatasetError(
        f"{dataset.folder} holds {what} ({dataset.name}, {len(dataset.rows)} utterances); "
        "choose another --out, or replace it with --overwrite"
    )


def _refuse_broken(rows: Iterable[Rejected]) -> None:
    """Raise DatasetError for the first row with broken input."""
    for row in rows:
        if row.kind == "rejected":
            detail = f" ({row.detail})" if row.detail else ""
            raise DatasetError(f"{row.source}: {row.reason}{detail}")


def _require_input(
    place: Path, rows: Sequence[Utterance], families: Iterable[FeatureFamily]
) -> None:
    """Raise DatasetError for a feature that no utterance has."""
    for family in families:
        if family.of_recording and all(row.audio is None for row in rows):
            raise DatasetError(f"{place} holds no recordings, so no '{family.name}'")
        if not family.of_recording and not any(row.transcript.strip() for row in rows):
            raise DatasetError(f"{place} holds no transcripts, so no '{family.name}'")


def _remove(out: Path) -> None:
    """Delete a dataset, and nothing else that may lie in its folder."""
    for name in (MANIFEST, UTTERANCES, REJECTED, CONVERTED, FINGERPRINTS):
        (out / name).unlink(missing_ok=True)
    for name in (SHARDS, TOKENIZER):
        if (out / name).is_dir():
            remove_folder(out / name)


def _families(
    reports: Sequence[ShardReport], parameters: Mapping[str, Mapping[str, Any]]
) -> dict[str, Family]:
    return {
        name: Family(tuple(report.files[name] for report in reports), values)
        for name, values in parameters.items()
    }


def _digest(corpus: Corpus, parts: Sequence[Sequence[Utterance]], root: Path) -> str:
    """Differs when the corpus, its selection or its division into shards differs."""
    content = hashlib.sha256(_canonical([FORMAT, corpus.name, corpus.labels]).encode())
    for part in parts:
        rows = [utterance_to_row(utterance, root) for utterance in part]
        content.update(_canonical(rows).encode())
    return content.hexdigest()


def _canonical(values: Any) -> str:
    return json.dumps(values, sort_keys=True)
