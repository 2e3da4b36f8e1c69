"""Files that are not on this machine's disk: `gs://bucket/data`, through TensorFlow's file systems.

`as_path` gives a path that is used as any other, whatever its place. pathlib itself turns `gs://`
into `gs:/`. Such files are read and written whole: they are read into memory, and
`atomic.replacing` makes them on the local disk first.
"""

import errno
import fnmatch
import importlib
import io
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from typing import IO, Any


class RemoteError(OSError):
    """A remote file that cannot be reached; says why."""


def as_path(place: str | Path) -> Path:
    """The path behind a name, remote where it begins as an address does.

    >>> as_path("gs://bucket/data") / "dataset.json"
    RemotePath('gs://bucket/data/dataset.json')
    >>> as_path("data/emodb").name
    'emodb'
    """
    if not isinstance(place, str):
        return place
    place = place.removeprefix("file://")
    return RemotePath(place) if re.match(r"[a-z][a-z0-9+.-]+://", place) else Path(place)


class RemotePath(PosixPath):
    """A path on one of TensorFlow's file systems; to be made by `as_path`.

    Raises:
        RemoteError: from everything that looks at the file, where it cannot be reached.
    """

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Kind, size and time of change.

        Raises:
            FileNotFoundError: there is none.
        """
        del follow_symlinks
        with _answering(self):
            found = _gfile().stat(str(self))
        kind = stat.S_IFDIR if found.is_directory else stat.S_IFREG
        seconds = found.mtime_nsec // 1_000_000_000
        values = (kind, 0, 0, 1, 0, 0, found.length, seconds, seconds, seconds)
        return os.stat_result(values, {"st_mtime_ns": found.mtime_nsec})

    def open(  # type: ignore[override]
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """The whole content, in memory.

        Raises:
            FileNotFoundError: there is none.
            ValueError: `mode` is not to read.
        """
        del buffering
        if mode not in ("r", "rb"):
            raise ValueError(f'`mode` must be "r" or "rb". Received: mode="{mode}".')
        with _answering(self), _gfile().GFile(str(self), "rb") as file:
            content = io.BytesIO(file.read())
        return content if mode == "rb" else io.TextIOWrapper(content, encoding, errors, newline)

    def iterdir(self) -> "Iterator[RemotePath]":
        """What lies in this folder."""
        with _answering(self):
            names = _gfile().listdir(str(self))
        return (self / name.rstrip("/") for name in names)

    def glob(self, pattern: str) -> "Iterator[RemotePath]":  # type: ignore[override]
        """What fits a pattern below this folder."""
        with _answering(self):
            found = _gfile().glob(str(self / pattern))
        return map(RemotePath, found)

    def rglob(self, pattern: str) -> "Iterator[RemotePath]":  # type: ignore[override]
        """What fits a pattern of names anywhere below this folder."""
        with _answering(self):
            for folder, folders, files in _gfile().walk(str(self)):
                names = (name.rstrip("/") for name in (*folders, *files))
                yield from (
                    RemotePath(folder) / name for name in names if fnmatch.fnmatch(name, pattern)
                )

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make this folder and those above it, unless they are there."""
        del mode, parents, exist_ok
        with _answering(self):
            _gfile().makedirs(str(self))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file."""
        try:
            with _answering(self):
                _gfile().remove(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def is_absolute(self) -> bool:
        """An address is."""
        return True

    def absolute(self) -> "RemotePath":
        """The address itself."""
        return self

    def resolve(self, strict: bool = False) -> "RemotePath":
        """The address itself."""
        del strict
        return self


def move(file: Path, target: Path) -> None:
    """Put a local file in the place of another, which may be remote, in one step."""
    if isinstance(target, RemotePath):
        # Not every file system lets a file appear at once when it is copied; each renames so.
        arriving = target.with_name(f"partial-{uuid.uuid4().hex}-{target.name}")
        with _answering(target):
            _gfile().copy(str(file), str(arriving))
            _gfile().rename(str(arriving), str(target), overwrite=True)
        file.unlink()
    else:
        file.replace(target)


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it."""
    if isinstance(folder, RemotePath):
        with _answering(folder):
            _gfile().rmtree(str(folder))
    else:
        shutil.rmtree(folder)


def _tensorflow() -> Any:
    # By name and late: what describes a data set does without TensorFlow, if the data are here.
    return importlib.import_module("tensorflow")


def _gfile() -> Any:
    return _tensorflow().io.gfile


def _schemes() -> list[str]:
    return sorted(filter(None, _gfile().get_registered_schemes()))


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    """Tell TensorFlow's errors as those of files."""
    errors = _tensorflow().errors
    try:
        yield
    except errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    except errors.UnimplementedError as error:
        known = ", ".join(f"{name}://" for name in _schemes())
        raise RemoteError(
            f"{path}: TensorFlow reaches no such file system, only {known}"
        ) from error
    except errors.OpError as error:
        said = str(error.message).strip().partition("\n")[0].rstrip(".")
        raise RemoteError(f"{path} cannot be reached ({said})") from error
