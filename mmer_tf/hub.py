"""Where published models lie: a folder in Hugging Face layout, or a name on its hub."""

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub

CONVERSION = (
    ", and one that is published as pytorch_model.bin or .pth alone must be converted once by the "
    'line in the README ("Published weights")'
)


class HubError(ValueError):
    """A published model that cannot be had or does not fit; the message says what to do."""


def find_checkpoint(source: str | Path, files: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """Folder that holds `files`, fetched from the hub unless `source` is a folder.

    What the hub's cache already holds is not fetched again and needs no network.

    Args:
        source: a folder, or a hub name such as `google-bert/bert-base-uncased`.
        files: what must be there, as `config.json`.
        optional: what is fetched besides, where it exists.

    Raises:
        HubError: no such folder, file or name, no network, or a file is missing.
    """
    folder = Path(source).expanduser()
    wanted = ", ".join(files or optional)
    if not folder.is_dir():
        if folder.exists():
            raise HubError(f"{source} is a file; give the folder that holds {wanted}.")
        if folder.suffix == ".safetensors":
            raise HubError(
                f"The file {source} does not exist; give one that does, or a folder that "
                f"holds {wanted}."
            )
        if folder.is_absolute() or str(source).startswith((".", "~")):  # no hub name does
            raise HubError(f"The folder {source} does not exist; give one that holds {wanted}.")
        try:
            folder = Path(
                huggingface_hub.snapshot_download(str(source), allow_patterns=[*files, *optional])
            )
        except (OSError, ValueError) as error:  # no network, no such name, not a name at all
            raise HubError(
                f"'{source}' is not a folder, and the Hugging Face hub did not give it "
                f"({_first_line(error)}). Run `hf download {source}` where there is a network "
                f"and copy the folder, or give a folder that holds {wanted}."
            ) from error
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        converted = "" if ".safetensors" not in "".join(missing) else CONVERSION
        raise HubError(
            f"{folder} lacks {', '.join(missing)}; `hf download <name> --local-dir {folder}` "
            f"fetches a whole checkpoint{converted}."
        )
    return folder


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
