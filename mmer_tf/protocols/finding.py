"""What an audit says: findings, what it could not compare, and the verdict over both."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["leak", "note"]
Verdict = Literal["clean", "leak", "unknown"]

EXAMPLES = 5
"""Examples that a finding shows."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in which parts of a split are not apart, or not alike.

    Args:
        kind: what it is about, such as "speaker" or "identical audio"; see docs/audit.md.
        severity: "leak" where it makes the figures of the test untrue, else "note".
        message: one phrase, the same for every split in which this happens.
        count: how many of what the message speaks of; 0 only where a single fact is told.
        examples: some of them.
    """

    kind: str
    severity: Severity
    message: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be compared, in one phrase."""

    message: str


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit.

    Args:
        findings: leaks first.
        unknown: what could not be compared.
    """

    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, told: Iterable[Finding | Unknown]) -> "Audit":
        """Sort out what the checks tell; what is told twice is kept once."""
        told = list(dict.fromkeys(told))
        findings = [one for one in told if isinstance(one, Finding)]
        return cls(
            tuple(sorted(findings, key=lambda finding: finding.severity != "leak")),
            tuple(one.message for one in told if isinstance(one, Unknown)),
        )

    @property
    def verdict(self) -> Verdict:
        """A leak outweighs what is unknown; notes do not count."""
        if any(finding.severity == "leak" for finding in self.findings):
            return "leak"
        return "unknown" if self.unknown else "clean"

    def joined(self, told: Iterable[Finding | Unknown]) -> "Audit":
        """The same with more to tell."""
        return Audit.of([*self.findings, *map(Unknown, self.unknown), *told])

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, as `report.json` keeps them."""
        findings = [dataclasses.asdict(finding) for finding in self.findings]
        for finding in findings:
            finding["examples"] = list(finding["examples"])
        return {"verdict": self.verdict, "findings": findings, "unknown": list(self.unknown)}


@dataclass
class _Joined:
    """One kind of finding over several audits."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


def joint_audit(audits: Sequence[tuple[str, Mapping[str, Any] | None]]) -> dict[str, Any]:
    """The audit of figures that are pooled from several runs or folds.

    Args:
        audits: what each is called, and its `Audit.to_mapping()`; None where it has none.

    Returns:
        The same keys: the worst verdict; each finding once, with the sum of its counts and,
        under `runs`, where it was found; what is unknown once, saying of whom unless of all.
    """
    joined: dict[tuple[str, str, str], _Joined] = {}
    unknown: dict[str, list[str]] = {}
    for name, audit in audits:
        if audit is None:
            unknown.setdefault("was not audited", []).append(name)
            continue
        for message in audit["unknown"]:
            unknown.setdefault(message, []).append(name)
        for finding in audit["findings"]:
            identity = (finding["severity"], finding["kind"], finding["message"])
            entry = joined.setdefault(identity, _Joined())
            entry.count += finding["count"]
            entry.examples += [e for e in finding["examples"] if e not in entry.examples]
            entry.runs += finding.get("runs", [name])
    findings = [
        {
            "kind": kind,
            "severity": severity,
            "message": message,
            "count": entry.count,
            "examples": entry.examples[:EXAMPLES],
            "runs": entry.runs,
        }
        for (severity, kind, message), entry in sorted(
            joined.items(), key=lambda item: item[0][0] != "leak"
        )
    ]
    leaky = any(finding["severity"] == "leak" for finding in findings)
    return {
        "verdict": "leak" if leaky else "unknown" if unknown else "clean",
        "findings": findings,
        "unknown": [
            message if len(names) == len(audits) else f"{', '.join(names)}: {message}"
            for message, names in unknown.items()
        ],
    }


def some(examples: Iterable[str]) -> tuple[str, ...]:
    """The first few in sorted order."""
    return tuple(sorted(examples)[:EXAMPLES])
