"""Report readers, one module per format; `SOURCES` names them.

A reader recognises its files by content. It yields a `Report` for each good record and a
`Rejected` for each bad one, and reads on; only what spoils a whole file raises.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from nlp.errors import InputError
from nlp.records import Rejected, Report
from nlp.sources import csv_table, jsonl, parquet, txt
from nlp.sources.fields import FIELDS, Columns

# In the order in which they are asked whether they recognise a file.
SOURCES: Final[dict[str, ModuleType]] = {
    "parquet": parquet,
    "jsonl": jsonl,
    "csv": csv_table,
    "txt": txt,
}
_HEAD_BYTES: Final = 1 << 16


def read_reports(
    paths: Iterable[Path],
    *,
    source: str | None = None,
    columns: Columns | None = None,
    encoding: str = "utf-8",
) -> Iterator[Report | Rejected]:
    """Read the reports of files and folders, one at a time.

    Args:
        paths: Files, or folders, which are searched in sorted order, hidden files aside.
        source: A format of `SOURCES`. Default: each file's own, by content.
        columns: Our field names -> the names in the input, where they differ.
        encoding: Of text, CSV and JSON Lines.

    Raises:
        InputError: For what spoils a whole file or folder, and for unknown names.
    """
    columns = columns or {}
    _check_names(source, columns, encoding)
    for path in paths:
        for file in _files(path):
            try:
                yield from _read_file(file, path, source, columns, encoding)
            except OSError as error:
                raise InputError(f"Can't read {file}: {error.strerror}.") from error


def recognise(path: Path, columns: Columns | None = None) -> str:
    """The name of the source that recognises a file."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for name, module in SOURCES.items():
        if module.recognises(path, head, columns or {}):
            return name
    raise InputError(
        f"Can't read {path}: no report source recognises it. Known sources: {', '.join(SOURCES)}. "
        "Choose one with --source, or add one (docs/extending.md, 'A new report source')."
    )


def _check_names(source: str | None, columns: Columns, encoding: str) -> None:
    if source is not None and source not in SOURCES:
        raise InputError(f"There is no source '{source}'. Known sources: {', '.join(SOURCES)}.")
    if unknown := set(columns) - set(FIELDS):
        raise InputError(
            f"--column {sorted(unknown)[0]}=...: a report has the fields {', '.join(FIELDS)}."
        )
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(f"There is no encoding '{encoding}'. Try utf-8 or cp1252.") from None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.is_file() and not _is_hidden(p, path)]
        if not found:
            raise InputError(f"The folder {path} holds no file. Give a folder with reports.")
        yield from sorted(found)
    elif path.exists():
        yield path
    else:
        raise InputError(f"There is no file or folder {path}.")


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _read_file(
    file: Path, path: Path, source: str | None, columns: Columns, encoding: str
) -> Iterator[Report | Rejected]:
    name = source or recognise(file, columns)
    if name == "txt" and path.is_dir():
        yield from txt.read(file, columns, encoding, root=path)
    else:
        yield from SOURCES[name].read(file, columns, encoding)
