"""Walking a corpus's folder: which files belong to it, and what their headers say."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmer_tf.audio.decode import AudioError, probe
from mmer_tf.corpora.errors import CorpusError
from mmer_tf.types import Rejected, Utterance


def require_folder(root: Path, title: str, expects: str) -> None:
    """Raise CorpusError unless `root` is a folder."""
    if not root.exists():
        raise CorpusError(
            f"{root}: no such folder; expected the root of {title}, which holds {expects}."
        )
    if not root.is_dir():
        raise CorpusError(
            f"{root}: a file where the root folder of {title} was expected, which holds {expects}."
        )


def not_this_corpus(root: Path, title: str, expects: str) -> CorpusError:
    """The error for a folder that exists but holds something else."""
    return CorpusError(
        f"{root}: no {title} here; expected {expects} somewhere in this folder. Check the root."
    )


def audio_files(root: Path) -> list[Path]:
    """WAV files below `root`, sorted, without the `._*` shadows that macOS leaves in archives."""
    return sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() == ".wav" and not file.name.startswith("._") and file.is_file()
    )


def _stem(file: Path) -> str:
    return file.stem


def coded_recordings(
    root: Path,
    pattern: re.Pattern[str],
    title: str,
    expects: str,
    describe: Callable[[re.Match[str]], dict[str, Any] | str],
    code: Callable[[Path], str] = _stem,
) -> Iterator[Utterance | Rejected]:
    """Utterances of a corpus that codes label, speaker and sentence in the names of its WAV files.

    Args:
        root: folder to search.
        pattern: what `code` must match in full.
        title: the corpus's name in messages.
        expects: a typical file, for messages.
        describe: from the match to the utterance's fields, or the reason to drop the file. The
            id is the name without suffix unless the fields say otherwise.
        code: what of the path the pattern is about; the name without suffix by default.

    Raises:
        CorpusError: `root` is no folder, or not one file follows the code.
    """
    require_folder(root, title, expects)
    matches = [(file, pattern.fullmatch(code(file))) for file in audio_files(root)]
    if not any(match for _, match in matches):
        raise not_this_corpus(root, title, expects)
    for file, match in matches:
        if not match:
            yield Rejected(
                str(file),
                "file name does not follow the corpus's code",
                "rejected",
                f"expected a name like {expects}",
            )
        elif isinstance(fields := describe(match), str):
            yield Rejected(str(file), fields, "dropped")
        else:
            yield recorded(file, **{"id": file.stem, **fields})


def recorded(audio: Path, **fields: Any) -> Utterance | Rejected:
    """The utterance with its recording's duration, or why the recording cannot be read."""
    try:
        duration = probe(audio).duration
    except AudioError as error:
        return Rejected(str(audio), error.reason, "rejected", error.detail)
    return Utterance(audio=audio, duration=duration, **fields)
