"""Reports as rows of a CSV table, with a header line."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from nlp.errors import InputError
from nlp.records import Rejected, Report
from nlp.sources.fields import REQUIRED, Columns, check_columns, to_report

csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def recognises(path: Path, head: bytes, columns: Columns) -> bool:
    """Whether the header names our columns, or the suffix says so."""
    line = next(iter(head.decode("utf-8-sig", errors="replace").splitlines()), "")
    names = next(csv.reader([line], delimiter=_delimiter(line)), [])
    required = {columns.get(name, name) for name in REQUIRED}
    return required <= set(names) or path.suffix.lower() in (".csv", ".tsv")


def read(path: Path, columns: Columns, encoding: str) -> Iterator[Report | Rejected]:
    """Read row by row; the header's separator is a comma, semicolon or tab."""
    encoding = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    with path.open("rb") as binary:
        delimiter = _delimiter(binary.readline().decode(encoding, errors="replace"))
        binary.seek(0)
        text = io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")
        rows = csv.reader((line.replace("\0", "") for line in text), delimiter=delimiter)
        yield from _read_rows(rows, columns, path)


def _read_rows(
    rows: Iterator[list[str]], columns: Columns, path: Path
) -> Iterator[Report | Rejected]:
    line = 1
    try:
        header = next(rows, [])
        check_columns(path, header, columns)
        line = 2
        for row in rows:
            if len(row) == len(header):
                record = dict(zip(header, row, strict=True))
                yield to_report(record, columns, file=str(path), line=line)
            elif row:
                reason = f"{len(row)} fields, and the header has {len(header)}"
                yield Rejected(file=str(path), line=line, reason=reason)
            line = rows.line_num + 1  # type: ignore[attr-defined]
    except csv.Error as error:
        raise InputError(
            f"{path} can't be read as CSV from line {line} on: {error}. Mend it, or cut it there."
        ) from error


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)
