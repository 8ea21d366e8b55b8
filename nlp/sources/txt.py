"""Reports as plain text files, one report a file.

A file's path below the given folder, without suffix, is its report id. In a sub-folder, that
folder's name is the patient id (`PATIENT/REPORT.txt`); otherwise each report is its own patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nlp.records import Rejected, Report
from nlp.sources.fields import Columns


def recognises(path: Path, head: bytes, columns: Columns) -> bool:
    """Whether it looks like text; asked last."""
    return b"\0" not in head


def read(
    path: Path, columns: Columns, encoding: str, *, root: Path | None = None
) -> Iterator[Report | Rejected]:
    """Read the one report of a file."""
    place = path.relative_to(root) if root else Path(path.name)
    report_id = place.with_suffix("").as_posix()
    try:
        text = path.read_bytes().decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        yield Rejected(file=str(path), line=1, reason=f"not in {encoding}; try --encoding")
        return
    if not text.strip():
        yield Rejected(file=str(path), line=1, reason="no text")
        return
    patient_id = place.parts[-2] if len(place.parts) > 1 else report_id
    yield Report(report_id=report_id, patient_id=patient_id, text=text, file=str(path), line=1)
