"""Where published weights lie: a folder in Hugging Face layout, or a name on its hub."""

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; the message says what to do."""


def find_checkpoint(weights: str, files: Sequence[str]) -> Path:
    """Folder that holds `files`, fetched from the hub unless `weights` is a folder.

    What the hub's cache already holds is not fetched again and needs no network.

    Args:
        weights: a folder, or a hub name such as `google-bert/bert-base-uncased`.
        files: what must be there, as `config.json`.

    Raises:
        WeightsError: no such folder or name, no network, or a file is missing.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise WeightsError(
                f"{weights} is a file; give the folder that holds {', '.join(files)}."
            )
        try:
            folder = Path(huggingface_hub.snapshot_download(weights, allow_patterns=list(files)))
        except (OSError, ValueError) as error:  # no network, no such name, not a name at all
            raise WeightsError(
                f"No weights for '{weights}': it is not a folder, and the Hugging Face hub did "
                f"not give it ({_first_line(error)}). Run `hf download {weights}` where there is "
                "a network and copy the folder, or give a folder that holds "
                f"{', '.join(files)}."
            ) from error
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} lacks {', '.join(missing)}; `hf download <name> --local-dir {folder}` "
            "fetches a whole checkpoint."
        )
    return folder


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
