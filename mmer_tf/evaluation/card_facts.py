"""What a model card says in words: model, data, evaluation, limits, sources."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmer_tf.corpora import CORPORA
from mmer_tf.evaluation.page import versions
from mmer_tf.evaluation.run_record import RunRecord
from mmer_tf.protocols.promises import DRAWN, PROMISES, PROMISES_TO_TRAINING

UNKNOWN = "unknown"

FEW_SPEAKERS = 10
MOST_NAMES = 12
"""Speakers that are named one by one."""


@dataclass(frozen=True)
class Verdict:
    """Whether the figures may be believed.

    Args:
        sentence: in plain words.
        leaks: what leaked, and how often.
        unknown: what could not be compared.
    """

    sentence: str
    leaks: Sequence[str] = ()
    unknown: Sequence[str] = ()


def verdict_of(report: Mapping[str, Any] | None) -> Verdict:
    """The first thing that a reader of a card must know."""
    if report is None:
        return Verdict("Not evaluated: how well it answers is unknown.")
    figures = f"UA {share(report['ua'])}, WA {share(report['wa'])} on {report['n']} utterances"
    audit = report.get("audit")
    drawn = _is_drawn(report["protocol"])
    if audit is None:
        told = "Nobody has looked for leaks: it is unknown whether these figures can be believed."
    elif audit["verdict"] == "leak":
        told = (
            "Do not believe these figures: the audit found a leak. The model, or what chose among "
            "its epochs, has seen of the test what it should not have seen."
        )
    elif audit["verdict"] == "unknown":
        told = "The audit cannot tell whether anything leaked from the test into the training."
    else:
        told = (
            "The audit found no leak: the test shares with training and validation nothing that "
            "the protocol promises to keep apart."
        )
    if drawn:
        told = (
            f"These figures are too good to be believed: the protocol {report['protocol']} draws "
            "utterances one by one, so that the speakers and sentences of the test were in the "
            "training too. They say nothing of people that the model has not heard."
            + (f" {told}" if audit is None or audit["verdict"] != "clean" else "")
        )
    leaks = [
        f"{one['message']} ({one['count']})"
        for one in (audit or {}).get("findings", ())
        if one["severity"] == "leak"
    ]
    return Verdict(f"{figures}. {told}", leaks, (audit or {}).get("unknown", ()))


def model_facts(record: RunRecord, report: Mapping[str, Any]) -> dict[str, str]:
    """What it is made of."""
    recipe = record.recipe
    if "members" in report:
        kind = f"ensemble of {len(report['members'])} runs, vote: {report['vote']}"
        return {"kind": kind, "recipe": "those of its members, whose cards tell them"} | _written()
    if not recipe:
        return {"recipe": UNKNOWN} | _written()
    facts = {"recipe": f"{recipe.get('name', UNKNOWN)}: {recipe.get('summary', UNKNOWN)}"}
    for branch, what in (("speech", "voice"), ("text", "words")):
        if recipe.get(branch):
            facts[what] = _branch(recipe[branch], record.encoders)
    facts["pooling, fusion"] = f"{recipe.get('pooling')}, {recipe.get('fusion') or 'none'}"
    facts["classes"] = ", ".join(report.get("labels", ())) or UNKNOWN
    data = recipe.get("data") or {}
    facts["input"] = (
        f"up to {data.get('max_seconds', UNKNOWN)} s; longer clips are judged by their middle"
    )
    if record.bytes is not None:
        count = UNKNOWN if record.weights is None else f"{record.weights:,}"
        facts["size"] = f"{count} weights, {record.bytes / 1e6:.2f} MB as model.keras"
    else:
        facts["size"] = UNKNOWN
    told = (
        f"{f'{stage}: ' if stage else ''}{count} epochs, the best of which was epoch {best}"
        for stage, (count, best) in record.epochs.items()
    )
    facts["training"] = "; ".join(told) or UNKNOWN
    if "runs" in report:
        facts["runs"] = (
            f"{len(report['runs'])} trainings of this recipe, figures of their pooled answers"
        )
    return facts | _written()


def data_facts(record: RunRecord, report: Mapping[str, Any]) -> dict[str, str]:
    """What it was trained on."""
    dataset = record.dataset
    if "members" in report:
        return {"training": "that of its members, whose cards tell it"}
    if dataset is None:
        place = record.stored.get("data")
        why = f"the data set {place} is gone or has changed" if place else "no split.json"
        return {"corpus": f"{UNKNOWN}: {why}", "licence": UNKNOWN}
    corpus = CORPORA.get(dataset.name)
    length = f"{dataset.seconds / 60:.0f} minutes of recordings"
    genders = ", ".join(f"{count} {name}" for name, count in dataset.count("gender").items())
    return {
        "corpus": f"{dataset.name}: {corpus.summary}" if corpus else dataset.name,
        "licence": licence(dataset.name) or UNKNOWN,
        "prepared": f"{len(dataset.rows)} utterances of these classes, {length}",
        "gender of the speakers": f"{genders} utterances" if genders else UNKNOWN,
        "age, origin, health of the speakers": UNKNOWN,
        "left behind": ", ".join(
            f"{count} {reason}" for reason, count in {**dataset.dropped, **dataset.rejected}.items()
        )
        or "nothing",
    }


def evaluation_facts(record: RunRecord, report: Mapping[str, Any] | None) -> dict[str, str]:
    """How it was tested."""
    if report is None:
        return {"figures": f"{UNKNOWN}: the run has no report.json"}
    facts = {
        "evaluated on": f"{report['data']}, {report['split']}",
        "protocol": f"{report['protocol']}, fold {report['fold']}, seed {_joined(report['seed'])}",
        "what it promises": promise(report["protocol"]),
    }
    if "members" not in report and "runs" not in report:
        facts["tested on"] = _tested(record, report)
        facts["epoch and temperature chosen on"] = _who(record, "validation")
    calibration = report.get("calibration")
    if calibration:
        temperature, before = calibration["temperature"], calibration["ece_uncalibrated"]
        facts["calibration"] = (
            f"expected calibration error {share(calibration['ece'])}"
            + ("" if before is None else f", {share(before)} without the temperature")
            + ("" if temperature is None else f"; temperature {temperature:.2f}")
        )
    if report.get("map"):
        told = (f"{own} = {'+'.join(theirs)}" for own, theirs in report["map"].items())
        facts["classes of the data"] = ", ".join(told)
    rows = report.get("robustness")
    if rows:
        worst = min(rows, key=lambda row: row["ua"])
        facts["distorted input"] = (
            f"{len(rows)} conditions; the lowest UA is {share(worst['ua'])}, {worst['condition']}"
        )
    verdict = (report.get("audit") or {}).get("verdict", "none was made")
    return facts | {"audit": verdict}


def limits(record: RunRecord, report: Mapping[str, Any] | None) -> list[str]:
    """What must not be concluded, and what was not tested."""
    told = []
    if record.dataset is not None and record.dataset.name == "synthetic":
        told.append(
            "Its corpus is synthetic: nobody felt or acted anything, and no figure of it is a "
            "scientific result."
        )
    told.append(
        "Labels are what the corpus gives: in acted corpora what the actor was asked to play, in "
        "others what annotators agreed on. Neither is what a person felt."
    )
    if report is not None:
        told += [f"{note[:1].upper()}{note[1:]}." for note in report.get("notes", ())]
        told += _of_few(report)
    if record.recipe and not (record.recipe.get("speech") and record.recipe.get("text")):
        hears = bool(record.recipe.get("speech"))
        told.append("It hears and does not read." if hears else "It reads and does not hear.")
    elif report is not None and report.get("modalities"):
        shares = {given: share(row["ua"]) for given, row in report["modalities"].items()}
        told.append(
            f"With one modality missing it answers otherwise: UA {shares['speech']} with the voice "
            f"alone, {shares['text']} with the words alone, {shares['both']} with both."
        )
    untested = "people, languages, rooms and ways of speaking that the corpus does not have"
    if report is None or not report.get("robustness"):
        untested += "; noise, telephones and wrong transcripts (`evaluate --robustness` tests them)"
    told.append(f"Not tested: {untested}.")
    return told


def sources(record: RunRecord) -> list[str]:
    """Whom to cite."""
    found = versions()
    told = [
        f"The mmer_tf authors: mmer_tf {found['mmer-tf']}. Apache-2.0; CITATION.cff has the entry."
    ]
    if published := record.recipe.get("published"):
        told.append(f"The system that the recipe follows; its authors' own score: {published}.")
    source = licence(record.dataset.name) if record.dataset else None
    if source:
        told.append(f"The corpus: {source}.")
    told.append("Who trained this run: unknown to these files; add it here.")
    return told


def promise(protocol: str) -> str:
    """What a protocol keeps apart, in plain words."""
    if _is_drawn(protocol):
        return "nothing: speakers and sentences of the test are in training too"
    if protocol == "predefined":
        return "what the corpus's authors saw to when they divided it"
    if protocol not in PROMISES:
        return UNKNOWN
    apart = " and no ".join(PROMISES[protocol])
    told = f"no {apart} of the test is in training or validation"
    more = set(PROMISES_TO_TRAINING[protocol]) - set(PROMISES[protocol])
    return told + "".join(f", and no {one} of it in training" for one in sorted(more))


def licence(corpus: str) -> str | None:
    """Where a corpus comes from and its licence, as the head of its reader says."""
    entry = CORPORA.get(corpus)
    head = sys.modules[entry.read.__module__].__doc__ if entry else None
    found = re.search(r"Source: (.+?)\.?$", head or "", re.MULTILINE)
    return found.group(1) if found else None


def share(value: float) -> str:
    """A figure with three digits."""
    return f"{value:.3f}"


def _branch(branch: Mapping[str, Any], encoders: Mapping[str, Mapping[str, Any]]) -> str:
    """An encoder, what it reads, and where its weights come from."""
    features = branch.get("feature")
    reads = f" on {_joined(features)}" if features else ""
    told = [f"{branch['encoder']}{reads}, {_weights(branch)}"]
    upstream = branch.get("upstream")
    if upstream:
        stored = encoders.get(f"{upstream['encoder']}_states", {})
        sha256 = f", SHA-256 {stored['sha256'][:16]}…" if "sha256" in stored else ""
        told.append(f"behind {upstream['encoder']}, {_weights(upstream)}{sha256}")
    return "; ".join(told)


def _weights(part: Mapping[str, Any]) -> str:
    weights = part.get("weights")
    if isinstance(weights, Mapping):
        weights = ", ".join(f"{name} from {place}" for name, place in weights.items())
    frozen = ", frozen" if part.get("frozen") else ""
    return f"weights from {weights}{frozen}" if weights else f"trained from scratch{frozen}"


def _tested(record: RunRecord, report: Mapping[str, Any]) -> str:
    own = Path(str(record.stored.get("data"))).name == report["data"]
    if own and report["split"] in record.stored:
        return _who(record, report["split"])
    speakers = len(report.get("per_speaker") or ()) or UNKNOWN
    return f"{report['n']} utterances, speakers: {speakers}"


def _who(record: RunRecord, part: str) -> str:
    ids = record.stored.get(part)
    if ids is None:
        return UNKNOWN
    speakers = record.speakers(part)
    if speakers is None:
        return f"{len(ids)} utterances, speakers {UNKNOWN}"
    named = ", ".join(speakers[:MOST_NAMES])
    more = len(speakers) - MOST_NAMES
    return f"{len(ids)} utterances of {len(speakers)} speakers: {named}" + (
        f" and {more} more" if more > 0 else ""
    )


def _of_few(report: Mapping[str, Any]) -> list[str]:
    told = []
    around = report.get("intervals") or {}
    if around.get("over") == "speakers" and around["groups"] < FEW_SPEAKERS:
        told.append(
            f"Tested on {around['groups']} speakers: they tell little about others, and the "
            "intervals are too narrow."
        )
    elif around.get("over") == "utterances":
        told.append("The speakers of the test are unknown: the intervals say nothing about others.")
    genders = list(report.get("per_gender") or {})
    if len(genders) == 1:
        told.append(f"Tested on {genders[0]} voices alone.")
    elif not genders:
        told.append("The gender of the tested speakers is unknown.")
    return told


def _is_drawn(protocol: str) -> bool:
    return any(one in DRAWN for one in protocol.split(", "))


def _joined(values: Any) -> str:
    return str(values) if isinstance(values, str | int) else ", ".join(map(str, values))


def _written() -> dict[str, str]:
    found = versions()
    return {
        "version": f"mmer_tf {found['mmer-tf']}; this card was written with TensorFlow "
        f"{found['tensorflow']}, Keras {found['keras']}",
        "licence of the model": UNKNOWN + "; that of the corpus may bind it",
    }
