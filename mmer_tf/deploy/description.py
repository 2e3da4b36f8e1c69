"""What lies beside an exported model, and where; read without TensorFlow."""

import json
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1
"""Of what `assets.extra/mmer_tf.json` says; a reader refuses one that is newer than it knows."""

EXTRA = "assets.extra"
DESCRIPTION = "mmer_tf.json"
WARM_UP = "tf_serving_warmup_requests"


class ServedModelError(ValueError):
    """A folder that holds no model that could be served."""


def version_folder(folder: Path) -> Path:
    """The newest version in a folder of versions; a version itself is returned as it is.

    Raises:
        ServedModelError: no exported model there.
    """
    if (folder / "saved_model.pb").is_file():
        return folder
    if not folder.is_dir():
        raise ServedModelError(
            f"{folder}: no such folder; write it with `python -m mmer_tf.export`"
        )
    versions = [one for one in folder.iterdir() if one.name.isdecimal()]
    finished = [one for one in versions if (one / "saved_model.pb").is_file()]
    if not finished:
        raise ServedModelError(
            f"{folder}: holds no version of a model; write one with "
            f"`python -m mmer_tf.export --out {folder}`"
        )
    return max(finished, key=lambda one: int(one.name))


def read_description(version: Path) -> dict[str, Any]:
    """What `export` wrote of one version; empty for a SavedModel that it did not write.

    Raises:
        ServedModelError: damaged, or written by a newer version of this package.
    """
    file = version / EXTRA / DESCRIPTION
    if not file.is_file():
        return {}
    try:
        described = dict(json.loads(file.read_text(encoding="utf-8")))
        written = int(described["format_version"])
        if written <= FORMAT_VERSION:
            _ = [described[name] for name in ("labels", "modalities", "max_seconds")]
    except (ValueError, KeyError, TypeError) as error:
        raise ServedModelError(f"{file}: damaged; export the run again") from error
    if written > FORMAT_VERSION:
        raise ServedModelError(
            f"{version}: exported in format {written}, this version reads "
            f"up to {FORMAT_VERSION}; update mmer-tf"
        )
    return described
