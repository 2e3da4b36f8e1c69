"""Files that appear whole or not at all: a reader, or a kill, never meets half of one."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmer_tf.remote import RemotePath, move

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class StorageError(OSError):
    """A file that cannot be written, with what helps."""


@contextmanager
def replacing(file: Path, writer: str = "") -> Iterator[Path]:
    """Give a local path to write to, with the same suffix; it takes the file's place at the end.

    An error inside leaves the file as it was, and nothing of the new one.

    Args:
        file: local or remote.
        writer: stands for who writes, where several may write the same file at once.

    Raises:
        StorageError: the disk is full, or does not let write.
        RemoteError: a remote file cannot be written.
    """
    if isinstance(file, RemotePath):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / file.name
            yield temporary
            move(temporary, file)
        return
    temporary = file.with_name(f"partial-{writer}{file.name}")
    try:
        yield temporary
        move(temporary, file)
    except Exception as error:
        temporary.unlink(missing_ok=True)
        refusal = storage_refusal(error, file)
        if refusal is None or refusal is error:
            raise
        raise refusal from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def storage_refusal(error: BaseException, file: Path | str | None = None) -> StorageError | None:
    """One sentence about a file that cannot be written; None where an error says nothing of it.

    Args:
        error: its cause may tell what a library did not.
        file: what was to be written; None takes what the error says.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, StorageError):
            return cause
        number, place = _number_of(cause), file or getattr(cause, "filename", None)
        if number in FULL:
            return StorageError(
                f"{place or 'a file'} cannot be written, the disk is full or its quota used up; "
                "make room and start the same command again"
            )
        if number in FORBIDDEN and place:
            return StorageError(
                f"{place} may not be {'written' if file else 'read or written'}; change the "
                "permissions or choose another folder"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def _number_of(error: BaseException) -> int | None:
    """The system's number of an error; TensorFlow's errors tell it in words alone."""
    if type(error).__module__.startswith("tensorflow"):
        said = (number for number in FULL | FORBIDDEN if os.strerror(number) in str(error))
        return next(said, None)
    return getattr(error, "errno", None)


def write_text(file: Path, text: str) -> None:
    """Replace a file by UTF-8 text in one step."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
