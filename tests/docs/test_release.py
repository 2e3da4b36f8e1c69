"""What is said of the version: changelog and citation agree with the package."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
VERSIONS = re.findall(
    r"(?m)^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$",
    (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
)

# Of the schema of the Citation File Format 1.2.0.
REQUIRED = {"authors", "cff-version", "message", "title"}
ALLOWED = REQUIRED | {
    *("abstract", "contact", "date-released", "doi", "identifiers", "keywords", "license", "type"),
    *("preferred-citation", "references", "repository-code", "url", "version"),
}


def test_citation_has_the_keys_of_its_format():
    assert CITATION.keys() >= REQUIRED and CITATION.keys() <= ALLOWED
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert all(author.keys() & {"name", "family-names"} for author in CITATION["authors"])
    assert len(set(CITATION["keywords"])) == len(CITATION["keywords"])


def test_version_and_licence_are_the_same_everywhere():
    assert CITATION["version"] == PROJECT["version"] == VERSIONS[0][0]
    assert str(CITATION["date-released"]) == VERSIONS[0][1]
    assert CITATION["license"] == PROJECT["license"]
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").strip().startswith("Apache License")


def test_versions_fall():
    numbers = [tuple(map(int, version.split("."))) for version, _ in VERSIONS]
    assert numbers == sorted(set(numbers), reverse=True)
