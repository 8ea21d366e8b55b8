"""Reports as JSON, one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from nlp.errors import InputError
from nlp.records import Rejected, Report
from nlp.sources.fields import Columns, to_report


def recognises(path: Path, head: bytes, columns: Columns) -> bool:
    """Whether the first sign is one that opens a JSON object or list."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def read(path: Path, columns: Columns, encoding: str) -> Iterator[Report | Rejected]:
    """Read line by line; a line that is no object rejects only itself."""
    _refuse_other_json(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _read_line(line, columns, encoding, str(path), number)


def _read_line(
    line: bytes, columns: Columns, encoding: str, file: str, number: int
) -> Report | Rejected:
    try:
        record = json.loads(line.decode(encoding))
    except UnicodeDecodeError:
        return Rejected(file=file, line=number, reason=f"not in {encoding}; try --encoding")
    except (ValueError, RecursionError):
        return Rejected(file=file, line=number, reason="broken JSON")
    if not isinstance(record, dict):
        return Rejected(file=file, line=number, reason="no JSON object")
    return to_report(record, columns, file=file, line=number)


def _refuse_other_json(path: Path) -> None:
    with path.open("rb") as file:
        first = file.readline(1 << 16).strip(b"\xef\xbb\xbf \t\r\n")
    if first in (b"[", b"{") or first[:2] in (b"[{", b"[ "):
        raise InputError(
            f"{path} is one JSON document. Write one report object a line (JSON Lines)."
        )
