"""One run at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nlp.errors import InputError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep two runs from writing into the same folder, which is made if it is missing.

    Raises:
        InputError: If another run is at it, or the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise InputError(f"Another run is writing {folder}. Wait until it is done.") from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise InputError(f"Can't write to the folder {folder}: {error.strerror}.") from error
